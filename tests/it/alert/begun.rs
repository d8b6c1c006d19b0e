//! What a follower tells of a line whose end is not written yet: it waits for its writer, and nothing waits for the reader.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;
use storagewatch::event::Timestamp;
use storagewatch::source::follow::{Follower, Options};

#[test]
fn a_line_that_is_only_begun_is_told_apart_from_what_was_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let mut file = File::create(&path).unwrap();
    let options = Options {
        name: Arc::from("files"),
        paths: vec![path.to_str().unwrap().to_owned()],
        from_beginning: true,
        deployment: None,
        hosting: None,
        hosting_is_configured: false,
    };
    let mut follower = Follower::new(options, Vec::new()).unwrap();
    let mut state = None;
    for (text, expected) in [("whole\nonly beg", 8), ("un", 10), ("\n", 0), ("a", 1)] {
        file.write_all(text.as_bytes()).unwrap();
        for _ in 0..4 {
            follower.turn(true, Timestamp(1_795_422_500_000), Instant::now(), &mut |batch| {
                state = Some((batch.state.lag_bytes, batch.state.begun_bytes));
                true
            });
        }
        assert_eq!(state, Some((expected, expected)), "{text:?}");
    }
}
