//! What Discord's webhooks are sent: an embed an alert, in which nothing is markup and nobody is mentioned.

use super::Notice;
use super::alertmanager::origin;
use super::slack::{headline, late};
use super::text::annotations;
use crate::event::clip;
use crate::policy::Severity;
use reqwest::Url;
use serde_json::{Value, json};

/// Alerts in one message at the most: all of a message's embeds together may have 6,000 characters.
pub(super) const AT_ONCE: usize = 3;

/// The longest title and text of an embed, in bytes as they are shown. Escaped they are twice as long at the most:
/// 3 × 2 × (100 + 850) and the footers stay below 6,000.
const TITLE: usize = 100;
const TEXT: usize = 850;

/// The longest address that is shown as a part of that text, in bytes.
const ADDRESS: usize = 250;

/// The annotations that are shown, in this order.
const SHOWN: [&str; 6] = ["description", "function", "storage_id", "request_id", "error", "advice"];

/// The body.
pub(super) fn body(notices: &[Notice], page: &str) -> Value {
    json!({
        "embeds": notices.iter().map(|notice| embed(notice, page)).collect::<Vec<_>>(),
        "allowed_mentions": {"parse": []},
    })
}

fn embed(notice: &Notice, page: &str) -> Value {
    let alert = &notice.alert;
    let annotations = annotations(alert, page);
    let lines = SHOWN.iter().filter_map(|wanted| {
        let (name, value) = annotations.iter().find(|(name, _)| name == wanted)?;
        match *name {
            "description" => Some(value.clone()),
            // What to do about it is of no use any more to who knew of it.
            "advice" if notice.is_all_clear() => None,
            "advice" => Some(value.clone()),
            _ => Some(format!("{}: {value}", name.replace('_', " "))),
        }
    });
    let text = late(notice).into_iter().chain(lines).collect::<Vec<_>>().join("\n");
    let origin = origin(alert, page);
    let is_link = is_link(&origin);
    // What cannot be a link is there to be copied.
    let address = if is_link { String::new() } else { clip(&format!("\n{origin}"), ADDRESS) };
    let text = clip(&text, TEXT - address.len());
    let mut embed = json!({
        "title": escaped(&clip(&headline(notice), TITLE)),
        "description": format!("{}{}", escaped(&text), escaped(&address)),
        "color": color(notice),
        "footer": {"text": alert.key.name.as_str()},
        "timestamp": notice.ended.unwrap_or(alert.since).to_string(),
    });
    if is_link {
        embed["url"] = origin.into();
    }
    embed
}

/// Whether Discord takes an address for the link of an embed: it refuses a message, with all that is in it, where the host
/// is a name without a dot.
fn is_link(address: &str) -> bool {
    let has_dot = |name: &str| name.trim_end_matches('.').contains('.');
    Url::parse(address).is_ok_and(|url| url.domain().map_or(url.has_host(), has_dot))
}

fn color(notice: &Notice) -> u32 {
    match (notice.is_all_clear(), notice.alert.key.severity) {
        (true, _) => 0x2e_b8_86,
        (false, Severity::Critical) => 0xd0_0a_00,
        (false, Severity::Warning) => 0xda_a0_38,
        (false, Severity::Info) => 0x43_9f_e0,
    }
}

/// A text as Discord shows it letter by letter: every letter that begins markup or a mention is escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if "\\*_~`|>#-[]()<@:".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_an_address_or_a_name_with_a_dot() {
        for (address, expected) in [
            ("http://127.0.0.1:10045/#alerts", true),
            ("http://[::1]:10045/#alerts", true),
            ("https://watch.example.org/sw/#alerts", true),
            ("http://storagewatch:10045/#alerts", false),
            ("http://localhost.:10045/#alerts", false),
            ("no address", false),
        ] {
            assert_eq!(is_link(address), expected, "{address}");
        }
    }
}
