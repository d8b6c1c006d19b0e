//! What the tests of `watch` drive it with.

#![allow(dead_code, reason = "the tests use the rest")]

#[path = "../../tests/it/watch/alertmanager.rs"]
pub(crate) mod alertmanager;
#[path = "../../tests/it/watch/daemon.rs"]
pub(crate) mod daemon;
#[path = "../../tests/it/watch/exposition.rs"]
pub(crate) mod exposition;
#[path = "../../tests/it/watch/http.rs"]
pub(crate) mod http;
#[path = "../../tests/it/watch/lines.rs"]
pub(crate) mod lines;
#[path = "../../tests/it/watch/receiver.rs"]
pub(crate) mod receiver;
#[path = "../../tests/it/watch/scraper.rs"]
pub(crate) mod scraper;
#[path = "../../tests/it/watch/sender.rs"]
pub(crate) mod sender;
#[path = "../../tests/it/watch/shipped.rs"]
pub(crate) mod shipped;
#[path = "../../tests/it/watch/waiting.rs"]
pub(crate) mod waiting;
