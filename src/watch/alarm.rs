//! What a source's thread holds, so that its end by a panic is heard of.

use tokio::sync::mpsc;

/// Says so when the thread that holds it panics: a source that is dead and not missed would be the worst of faults.
#[derive(Clone)]
pub(super) struct Alarm(mpsc::Sender<()>);

impl Alarm {
    /// An alarm that rings here.
    pub(super) fn new(bell: mpsc::Sender<()>) -> Self {
        Self(bell)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.try_send(());
        }
    }
}
