//! Whose the first record of an input is, whether it matters or not: so a deployment is known before its first event.

use super::convex::lane_name;
use super::convex::log_stream::{named, origin_of, otlp_origin, unflatten};
use super::json::{self, Json, Parsed};
use super::shape::Body;
use super::{Decoder, Frame, Item, readable};
use crate::event::Origin;
use memchr::memchr;
use std::sync::Arc;

/// How many lines of an input are looked at.
const LINES: usize = 64;

/// What the first record says of its origin, or the banner above it; none if no record is there yet. Records that name
/// no deployment give an origin without one.
pub fn first_origin(bytes: &[u8]) -> Option<Arc<Origin>> {
    let mut decoder = Decoder::at_start().of_everything().naming();
    let mut rest = bytes;
    let mut offset = 0;
    let mut first = None;
    for _ in 0..LINES {
        let end = memchr(b'\n', rest)?;
        let line = rest.get(..end).unwrap_or_default();
        decoder.feed(line, offset, &mut |item| {
            first.get_or_insert(item);
        });
        if let Some(named) = decoder.take_named() {
            return Some(Arc::new(named));
        }
        match first.take() {
            Some(Item::Banner { lane, banner, .. }) => {
                let origin = Origin { deployment: banner.deployment, url: banner.url, lane, ..Origin::default() };
                return Some(Arc::new(origin));
            }
            Some(Item::Record(_)) => return Some(Arc::default()),
            _ => {}
        }
        offset += end as u64 + 1;
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    None
}

/// How much of a body is looked at first: a record is larger only now and then.
const BEGINNING: usize = 64 * 1024;

/// What the first record of a body says of its origin; none if there is no record. Only that record is parsed.
pub fn body_origin(body: &[u8]) -> Option<Arc<Origin>> {
    let beginning = body.get(..BEGINNING).and_then(first_in);
    beginning.or_else(|| first_in(body))
}

fn first_in(body: &[u8]) -> Option<Arc<Origin>> {
    // Brackets, blanks and line ends are what may stand before it.
    let text = readable(body);
    let mut rest = text.trim_start();
    while let Some(body) = Body::of(rest) {
        rest = body.items.trim_start();
    }
    match json::parse(rest) {
        Parsed::Whole(value, _) | Parsed::Deep(value) => Some(Arc::new(origin_in(&value, &Frame::outermost(0)))),
        Parsed::Cut(_) | Parsed::Invalid => None,
    }
}

/// What a value says of its origin, in whichever shape it does.
pub(super) fn origin_in(value: &Json<'_>, frame: &Frame<'_>) -> Origin {
    let flat = unflatten(value);
    let value = flat.as_ref().unwrap_or(value);
    let data = value.get("data");
    let convex = value.get("convex").or_else(|| data.and_then(|data| data.get("convex")));
    let mut origin = origin_of(convex);
    if let Some(resources) = value.get("resourceLogs").and_then(Json::as_array) {
        origin = otlp_origin(resources.first().and_then(|resource| resource.get("resource")));
    }
    if origin.deployment.is_none() && value.text("ddsource").is_some() {
        origin.deployment = value.text("hostname").and_then(named);
    }
    if origin.deployment.is_none() && !frame.owner.is_empty() {
        origin.lane = Some(lane_name(&frame.owner));
    }
    origin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_of_a_body_names_its_deployment() {
        let name = |body: &str| {
            let origin = body_origin(body.as_bytes())?;
            Some(origin.deployment.clone().unwrap_or_else(|| "-".to_owned()))
        };
        let event = r#"{"topic":"verification","timestamp":1,"message":"x","convex":{"deployment_name":"a-b-123"}}"#;
        for body in [
            event.to_owned(),
            format!("[{event}]"),
            format!(" [\n  {event},\n{{\"topic\":"),
            format!("{event}\n{{\"convex\":{{\"deployment_name\":\"other\"}}}}"),
            r#"[{"ddsource":"convex","hostname":"a-b-123"}]"#.to_owned(),
            r#"[{"_time":1,"data":{"topic":"console"},"convex":{"deployment_name":"a-b-123"}}]"#.to_owned(),
            format!("[{event},{}", " ".repeat(BEGINNING)),
            format!("[{},{{}}]", event.replace("\"x\"", &format!("\"{}\"", "x".repeat(BEGINNING)))),
        ] {
            assert_eq!(name(&body).as_deref(), Some("a-b-123"), "{body}");
        }
        assert_eq!(name("[{\"topic\":\"console\"}]").as_deref(), Some("-"));
        for nothing in ["", "[]", "[", "{", "{\"topic\":", "x"] {
            assert_eq!(name(nothing), None, "{nothing}");
        }
    }

    /// The deployment's name; `-` where a record names none.
    fn name(text: &str) -> Option<String> {
        let origin = first_origin(text.as_bytes())?;
        Some(origin.deployment.clone().unwrap_or_else(|| "-".to_owned()))
    }

    #[test]
    fn the_first_record_names_its_deployment_even_if_it_does_not_count() {
        let event = r#"{"topic":"verification","timestamp":1,"message":"x","convex":{"deployment_name":"a-b-123"}}"#;
        assert_eq!(name(&format!("{event}\n")), Some("a-b-123".to_owned()));
        assert_eq!(name(&format!("[{event}]\n")), Some("a-b-123".to_owned()));
        let docker =
            serde_json::json!({"log": format!("{event}\n"), "stream": "stdout", "time": "2026-11-23T08:27:21Z"});
        assert_eq!(name(&format!("{docker}\n")), Some("a-b-123".to_owned()));
        assert_eq!(name("[LOG] 'x'\n"), Some("-".to_owned()));
        assert_eq!(name("[LOG] 'x'"), None);
        assert_eq!(name(""), None);
    }
}
