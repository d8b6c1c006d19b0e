//! What chats are sent, where a log holds what steers them.

use super::stage::Stage;
use crate::watch::receiver::Receiver;
use crate::watch::waiting::{PATIENCE, wait_for};
use serde_json::{Value, json};

const HOSTILE: &str = "<!channel> @everyone *b* [x](https://evil.example) & `c`";

/// The body that a webhook of a format is sent when somebody logs hostile texts.
fn told(format: &str, alerting: &str) -> Value {
    let stage = Stage::new();
    let webhook = Receiver::start();
    stage.secret("url", &webhook.url());
    stage.configure(
        "deployment = \"<@U024BE7LH>\"\nhosting = \"cloud\"",
        &format!("[alert]\n{alerting}[[alert.webhook]]\nformat = \"{format}\"\nurl = \"file:url\"\n"),
    );
    let daemon = stage.start();
    let error = serde_json::to_string(&format!("{HOSTILE} {}", "<".repeat(3000))).unwrap();
    stage.append(&format!("Storage access: direct-failed {{\"error\":{error}}}\n"));
    let told = wait_for("it to be told", PATIENCE, || webhook.requests().first().cloned().ok_or("nothing".to_owned()));
    daemon.stop();
    told.body
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(all) => all.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn slack_is_sent_text_and_no_markup() {
    let body = told("slack", "");
    for text in texts(&body) {
        assert!(!text.contains(['<', '>']), "{text}");
    }
    assert_eq!(body["text"], "critical: Storage access failed in &lt;@U024BE7LH&gt;");
    assert_eq!((&body["mrkdwn"], &body["parse"], &body["link_names"]), (&json!(false), &json!("none"), &json!(false)));
    let attachment = &body["attachments"][0];
    assert_eq!((&attachment["color"], &attachment["mrkdwn_in"]), (&json!("danger"), &json!([])));
    assert!(attachment["title_link"].as_str().unwrap().ends_with("/#alerts"), "{attachment}");
    let fields = attachment["fields"].as_array().unwrap();
    let error = fields.iter().find(|field| field["title"] == "error").unwrap()["value"].as_str().unwrap();
    assert!(error.starts_with("&lt;!channel&gt; @everyone *b*") && error.contains(" &amp; "), "{error}");
    assert!(error.len() < 3000, "it is bounded");
    assert!(fields.iter().any(|field| field["title"] == "advice"), "{fields:?}");
}

#[test]
fn discord_is_sent_text_and_mentions_nobody() {
    let body = told("discord", "");
    assert_eq!(body["allowed_mentions"], json!({"parse": []}));
    let embed = &body["embeds"][0];
    assert_eq!(embed["title"], "critical\\: Storage access failed in \\<\\@U024BE7LH\\>");
    let text = embed["description"].as_str().unwrap();
    assert!(
        text.contains("\\<!channel\\> \\@everyone \\*b\\* \\[x\\]\\(https\\://evil.example\\) & \\`c\\`"),
        "{text}"
    );
    let all: usize = ["title", "description"].iter().map(|key| embed[*key].as_str().unwrap().chars().count()).sum();
    assert!(all * 3 < 6000 && text.chars().count() <= 4096, "{all}");
    assert!(embed["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(embed["url"].as_str().unwrap().ends_with("/#alerts"), "{embed}");
}

#[test]
fn discord_is_given_no_link_that_it_would_refuse() {
    let body = told("discord", "external_url = \"http://storagewatch:10045\"\n");
    let embed = &body["embeds"][0];
    assert_eq!(embed.get("url"), None, "{embed}");
    let text = embed["description"].as_str().unwrap();
    assert!(text.ends_with("\nhttp\\://storagewatch\\:10045/\\#alerts"), "{text}");
    assert!(text.contains("storage access failed") && text.chars().count() <= 1700, "{text}");
}

#[test]
fn a_chat_that_was_away_hears_that_it_fired_and_is_over() {
    for (format, color, headline) in [("slack", json!("danger"), "text"), ("discord", json!(0xd0_0a_00), "title")] {
        let mut stage = Stage::new();
        let webhook = Receiver::start();
        webhook.answer(503);
        stage.secret("url", &webhook.url());
        let receiver = format!("[[alert.webhook]]\nformat = \"{format}\"\nurl = \"file:url\"\n");
        stage.configure("", &format!("[alert]\nwindow = \"1s\"\n{receiver}"));
        let daemon = stage.start();
        stage.fail("happy-otter-1");
        daemon.wait_for_words("an alert is resolved", 1);
        let tried = webhook.requests().len();
        webhook.answer(200);
        let told =
            wait_for("it to be told", PATIENCE, || webhook.requests().get(tried).cloned().ok_or("nothing".to_owned()));
        daemon.stop();
        let part = [&told.body["attachments"][0], &told.body["embeds"][0]].into_iter().find(|part| part.is_object());
        let part = part.unwrap();
        assert_eq!(part["color"], color, "{part}");
        let shown = |text: &str| text.replace('\\', "");
        let title = if headline == "text" { &told.body["text"] } else { &part["title"] };
        assert_eq!(shown(title.as_str().unwrap()), "critical, over by now: Storage access failed in happy-otter-1");
        let texts = shown(&texts(part).join("\n"));
        assert!(texts.contains("It fired from 20") && texts.contains(", while you could not be told."), "{texts}");
        assert!(texts.contains("The backend answered"), "what to do: {texts}");
    }
}
