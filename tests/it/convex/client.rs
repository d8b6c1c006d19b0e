//! The `convex` client of npm itself, pointed at the same backend and piped into `watch -`: it counts the same.

use super::backend::{Backend, KEY};
use crate::support::node::packages;
use crate::watch::daemon::{self, Daemon};
use crate::watch::exposition::ACCESSES;
use std::process::{Child, Command, Stdio};

struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `convex logs`, whose standard output is piped on. It never ends by itself.
fn logs(backend: &Backend, more: &[&str]) -> (Client, Stdio) {
    let packages = packages();
    let mut command = Command::new("node");
    command.arg("node_modules/convex/bin/main.js").args(["logs", "--history"]).args(more);
    command.args(["--url", &backend.url(), "--admin-key", KEY]).current_dir(&packages);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CONVEX_") || name.to_lowercase().ends_with("_proxy")) {
            command.env_remove(name);
        }
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("node, of the Debian package nodejs");
    let out = Stdio::from(child.stdout.take().unwrap());
    (Client(child), out)
}

#[test]
fn the_client_piped_in_counts_what_polling_counts() {
    for more in [&[][..], &["--jsonl"]] {
        let backend = Backend::start();
        for outcomes in [&["direct"][..], &["http-fallback"], &["direct-failed", "direct"], &["direct"]] {
            backend.action(outcomes);
        }
        let mut polling = Daemon::start(super::command(&backend, None).args(["--from", "beginning"]));
        let (client, out) = logs(&backend, more);
        let mut command = daemon::command();
        command.args(["-", "--listen", "127.0.0.1:0", "--deployment", "quiet-lemur", "--hosting", "self_hosted"]);
        let mut piped = Daemon::start(command.stdin(out));
        piped.wait_for_accesses("quiet-lemur", 5);
        // What comes while it follows, after a restart of the backend, too.
        backend.idle_queries(30);
        backend.access("http-fallback");
        piped.wait_for_accesses("quiet-lemur", 6);
        polling.wait_for_accesses("quiet-lemur", 6);
        backend.restart();
        backend.access("direct-failed");
        piped.wait_for_accesses("quiet-lemur", 7);
        polling.wait_for_accesses("quiet-lemur", 7);
        assert_eq!(piped.metrics().counts(), polling.metrics().counts(), "{more:?}");
        let causes = |daemon: &mut Daemon| {
            daemon.metrics().sum("convex_storage_access_failures_total", &[("cause", "connection_refused")]) as u64
        };
        assert_eq!((causes(&mut piped), causes(&mut polling)), (2, 2), "{more:?}");
        let place = [("deployment", "quiet-lemur"), ("hosting", "self_hosted")];
        assert_eq!(polling.metrics().sum(ACCESSES, &place) as u64, 7);
        assert_eq!(piped.metrics().sum(ACCESSES, &place) as u64, 7);
        drop(client);
        piped.child.wait().unwrap();
        polling.stop();
    }
}
