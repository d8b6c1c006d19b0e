//! What is shipped for Prometheus and Alertmanager, put to work.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A shipped file in which times pass sooner; each must be there.
pub(crate) fn shipped(path: &str, changes: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(path)).unwrap();
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{path} does not say {from}");
        text.replace(from, to)
    })
}

/// A Prometheus with the shipped rules; it ends when it is dropped.
pub(crate) struct Prometheus(Child);

impl Prometheus {
    pub(crate) fn start(directory: &Path, target: SocketAddr, alertmanager: SocketAddr) -> Self {
        let rules = shipped("prometheus/storagewatch.rules.yml", &[("keep_firing_for: 2m", "keep_firing_for: 2s")]);
        fs::write(directory.join("rules.yml"), rules).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
             scrape_configs: [{{job_name: storagewatch, static_configs: [{{targets: ['{target}']}}]}}]\n"
        );
        fs::write(directory.join("prometheus.yml"), config).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("prometheus.log")).unwrap())
            .spawn()
            .expect("this test runs Debian's prometheus, which tests/run installs");
        Self(child)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
