//! Lines as a log stream (V2) of Convex writes them, each different from all others.

/// What is counted, as labels name it.
pub(crate) const OUTCOMES: [&str; 3] = ["direct", "http-fallback", "direct-failed"];

/// When the first line was logged.
const FIRST_MS: u64 = 1_795_422_441_000;

/// What an access is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) deployment: &'a str,
    pub(crate) outcome: &'a str,
    pub(crate) size_bytes: u64,
}

/// A storage access, with its newline. The number makes the line's times and its request.
pub(crate) fn access(access: Access<'_>, number: u64) -> String {
    let (second, milliseconds) = (number / 1000, number % 1000);
    let time = format!("2026-11-23T08:{:02}:{:02}.{milliseconds:03}Z", second / 60 % 60, second % 60);
    access_at(access, number, FIRST_MS + number, &time)
}

/// One that happened some milliseconds ago.
pub(crate) fn access_ago(access: Access<'_>, number: u64, ago_ms: i64) -> String {
    let milliseconds = jiff::Timestamp::now().as_millisecond() - ago_ms;
    let time = jiff::Timestamp::from_millisecond(milliseconds).unwrap();
    access_at(access, number, milliseconds as u64, &format!("{time:.3}"))
}

fn access_at(access: Access<'_>, number: u64, milliseconds: u64, time: &str) -> String {
    let Access { deployment, outcome, size_bytes } = access;
    let level = if outcome == "direct-failed" { "ERROR" } else { "LOG" };
    let detail = match outcome {
        "direct" => r#"\"note\":\"Production path - optimal performance\""#,
        "http-fallback" => r#"\"reason\":\"ECONNREFUSED on direct access (expected in self-hosted)\""#,
        _ => r#"\"error\":\"Transient error while running storage get url: Internal Server Error\""#,
    };
    let storage = format!("kg2{number:029}");
    let text = format!(
        r#"\"message\":\"Storage access: {outcome}\",\"metadata\":{{\"storageId\":\"{storage}\",\"size\":{size_bytes},{detail}}}"#
    );
    console(deployment, level, &text, number, milliseconds, time)
}

/// A line that is no access, and comes as close to one as lines do.
pub(crate) fn noise(deployment: &str, number: u64) -> String {
    let text = match number % 4 {
        0 => r#"\"message\":\"Fetching ZIP file from storage\""#,
        1 => r#"\"message\":\"ZIP buffer loaded\",\"metadata\":{\"byteLength\":12345,\"storageMethod\":\"direct\"}"#,
        2 => r#"\"message\":\"Starting ZIP processing\",\"metadata\":{\"versionId\":\"jd7\",\"storageId\":\"kg2\"}"#,
        _ => r#"\"message\":\"Seen before\",\"metadata\":{\"quoted\":\"Storage access: direct\"}"#,
    };
    let (second, milliseconds) = (number / 1000, number % 1000);
    let time = format!("2026-11-23T08:{:02}:{:02}.{milliseconds:03}Z", second / 60 % 60, second % 60);
    console(deployment, "DEBUG", text, number, FIRST_MS + number, &time)
}

fn console(deployment: &str, level: &str, text: &str, number: u64, milliseconds: u64, time: &str) -> String {
    let convex = format!(
        r#"{{"deployment_name":"{deployment}","deployment_type":"prod","deployment_ref":"production","project_name":"Artifact Review","project_slug":"artifact-review","deployment_region":"aws-us-east-1"}}"#
    );
    format!(
        r#"{{"timestamp":{milliseconds},"topic":"console","function":{{"path":"zipProcessor:processZipFile","type":"action","cached":false,"request_id":"{number:016x}","mutation_queue_length":null,"mutation_retry_count":null}},"log_level":"{level}","message":"'{{\"timestamp\":\"{time}\",\"level\":\"info\",\"topic\":\"ARTIFACT\",\"context\":\"zipProcessor.processZipFile\",{text}}}'","is_truncated":false,"system_code":null,"convex":{convex}}}{newline}"#,
        newline = '\n'
    )
}

#[test]
fn each_line_is_read_as_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lines.log");
    let mut text = String::new();
    for number in 0..300 {
        let outcome = OUTCOMES[number as usize % 3];
        text.push_str(&access(Access { deployment: "happy-otter-1", outcome, size_bytes: 1 << (number % 48) }, number));
        text.push_str(&noise("happy-otter-2", number));
    }
    std::fs::write(&path, &text).unwrap();
    let events = crate::support::events(&path, &[]);
    assert_eq!(events.len(), 300);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["deployment"], "happy-otter-1", "{event}");
        assert_eq!(event["hosting"], "cloud", "{event}");
        assert_eq!(event["outcome"], OUTCOMES[number % 3], "{event}");
        assert_eq!(event["size_bytes"], 1_u64 << (number % 48), "{event}");
    }
    let unique: std::collections::BTreeSet<_> = text.lines().collect();
    assert_eq!(unique.len(), 600);
}
