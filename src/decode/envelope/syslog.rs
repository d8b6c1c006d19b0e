//! Syslog on disk: RFC 5424, RFC 3164, the ISO variant of the latter that rsyslog writes today, and `journalctl`'s
//! short forms, which look the same.

use super::{End, Opened, leading_timestamp};
use crate::event::{Layer, PHRASE, Timestamp};
use std::borrow::Cow;

pub(super) fn open(line: &str) -> Option<Opened<'_>> {
    // RFC 6587 counts each message's bytes before it.
    let digits = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
    let line = match line.get(digits..) {
        Some(rest) if digits > 0 && digits < 8 && rest.starts_with(" <") => rest.get(1..)?,
        _ => line,
    };
    if let Some(rest) = line.strip_prefix('<') {
        let (priority, rest) = rest.split_once('>')?;
        if priority.is_empty() || priority.len() > 3 || !priority.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        return match rest.strip_prefix("1 ") {
            Some(rest) => open_5424(rest),
            None => open_3164(rest, true),
        };
    }
    open_3164(line, false)
}

/// `TIME HOST APP PROCID MSGID [SD] MSG`, the version taken off.
fn open_5424(rest: &str) -> Option<Opened<'_>> {
    let mut fields = rest.splitn(6, ' ');
    let (time, host, app, process) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    fields.next()?;
    let data = fields.next()?;
    let message = match data.strip_prefix('-') {
        Some(rest) => rest,
        None => skip_structured_data(data)?,
    };
    let message = message.strip_prefix(' ').unwrap_or(message);
    Some(opened(message, Timestamp::parse(time), format!("{host} {app} {process}")))
}

/// Steps over `[id name="value" …][…]`, in which `"`, `\` and `]` may be escaped.
fn skip_structured_data(data: &str) -> Option<&str> {
    let bytes = data.as_bytes();
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        let mut quoted = false;
        loop {
            at += 1;
            match bytes.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
        }
        at += 1;
    }
    (at > 0).then(|| data.get(at..))?
}

/// `Jan 30 02:26:40 host tag[pid]: line`, or the same with an ISO time stamp. Without a priority and without a process
/// number, only the classical time stamp is telling enough.
fn open_3164(line: &str, has_priority: bool) -> Option<Opened<'_>> {
    let (time, classical, rest) = if let Some(rest) = classical_time(line) {
        (None, true, rest)
    } else if let Some((time, rest)) = leading_timestamp(line).or_else(|| short_iso(line)) {
        (Some(time), false, rest)
    } else {
        return None;
    };
    if rest.starts_with(PHRASE) {
        return None;
    }
    let (host, rest) = rest.split_once(' ')?;
    let (tag, payload) = rest.split_once(": ").or_else(|| rest.strip_suffix(':').map(|tag| (tag, "")))?;
    let plain = |text: &str| {
        !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic() && !b"'\"`{}".contains(&b))
    };
    let (name, has_process) = match tag.strip_suffix(']').and_then(|tag| tag.rsplit_once('[')) {
        Some((name, process)) => (name, !process.is_empty() && process.bytes().all(|b| b.is_ascii_digit())),
        None => (tag, false),
    };
    if !plain(host) || !plain(name) || name.contains('[') || !(has_priority || classical || has_process) {
        return None;
    }
    Some(opened(payload, time, format!("{host} {tag}")))
}

/// `Jan 30 02:26:40 `: no year and no zone, so it tells no time.
fn classical_time(line: &str) -> Option<&str> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let bytes = line.as_bytes();
    let shape = bytes.len() > 16
        && bytes[3] == b' '
        && (bytes[4] == b' ' || bytes[4].is_ascii_digit())
        && bytes[5].is_ascii_digit()
        && bytes[6] == b' '
        && bytes[9] == b':'
        && bytes[12] == b':';
    if !shape || !MONTHS.contains(&line.get(..3)?) {
        return None;
    }
    // `journalctl -o short-precise` adds a fraction.
    line.get(15..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()).strip_prefix(' ')
}

/// `2026-01-30T02:26:40+0000 `, the zone without its colon, as `journalctl -o short-iso` prints it.
fn short_iso(line: &str) -> Option<(Timestamp, &str)> {
    let end = memchr::memchr(b' ', line.as_bytes().get(..line.len().min(40))?)?;
    let (date, zone) = line.get(..end)?.split_at_checked(end.checked_sub(2)?)?;
    Some((Timestamp::parse(&format!("{date}:{zone}"))?, line.get(end + 1..)?))
}

fn opened(payload: &str, time: Option<Timestamp>, owner: String) -> Opened<'_> {
    let payload = payload.strip_prefix('\u{feff}').unwrap_or(payload);
    // Daemons that keep a record on one line write control characters as `#` and three octal digits.
    let payload = if payload.contains("#033[") || payload.contains("#012") || payload.contains("#011") {
        Cow::Owned(payload.replace("#033", "\u{1b}").replace("#012", "\n").replace("#011", "\t"))
    } else {
        Cow::Borrowed(payload)
    };
    Opened { layer: Layer::Syslog, payload, time, owner: Cow::Owned(owner), stream: Cow::Borrowed(""), end: End::Line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, payload: &str, owner: &str) {
        let opened = open(line).unwrap_or_else(|| panic!("{line}"));
        assert_eq!((opened.payload.as_ref(), opened.owner.as_ref()), (payload, owner), "{line}");
    }

    #[test]
    fn every_form() {
        check("<34>Jan 30 02:26:40 host app[12]: [LOG] x", "[LOG] x", "host app[12]");
        check("Jan  3 02:26:40 host app: x: y", "x: y", "host app");
        check("Jan 30 02:26:40.123456 host app[1]: x", "x", "host app[1]");
        check("2026-01-30T02:26:40.123456+00:00 host app[1]: x", "x", "host app[1]");
        check("2026-01-30T02:26:40+0000 host app[1]: x", "x", "host app[1]");
        check("<165>1 2026-01-30T02:26:40.1Z host app 12 ID47 - x", "x", "host app 12");
        check("<165>1 2026-01-30T02:26:40Z h a - - [a b=\"\\]\\\"\"][c] \u{feff}x", "x", "h a -");
        check("52 <165>1 2026-01-30T02:26:40Z h a - - - x y", "x y", "h a -");
        check("Jan 30 02:26:40 h a[1]: #033[36m[LOG]#033[39m x", "\u{1b}[36m[LOG]\u{1b}[39m x", "h a[1]");
    }

    #[test]
    fn what_only_looks_alike() {
        for line in [
            "2026-01-30T02:26:40Z Storage access: direct",
            "Jan 30 02:26:40 Storage access: direct",
            "2026-01-30T02:26:40Z Uncaught Error: x",
            "<1234>Jan 30 02:26:40 host app: x",
            "Janet said",
            "<",
        ] {
            assert_eq!(open(line), None, "{line}");
        }
    }
}
