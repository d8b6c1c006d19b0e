//! The same over TLS: what the system trusts is trusted, and nothing else.

use super::backend::{Backend, KEY};
use crate::watch::daemon::{self, Daemon};
use crate::watch::waiting::{PATIENCE, wait_until};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server for TLS before another, in Node: it passes on what it is asked.
const PROXY: &str = r#"
const { readFileSync } = require("node:fs");
const http = require("node:http");
const [directory, port] = process.argv.slice(1);
const keys = { key: readFileSync(`${directory}/server.key`), cert: readFileSync(`${directory}/server.pem`) };
const server = require("node:https").createServer(keys, (request, response) => {
  const { url: path, method, headers } = request;
  http.request({ host: "127.0.0.1", port, path, method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  }).on("error", () => response.destroy()).end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

/// Makes an authority, and a server's certificate that it has signed.
fn certificates(directory: &Path) {
    let extensions = "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n";
    std::fs::write(directory.join("extensions"), extensions).unwrap();
    for arguments in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=tests",
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile extensions",
    ] {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
        let output = output.expect("openssl, of the Debian package of that name");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_authority_that_the_system_trusts_is_trusted_and_no_other() {
    let backend = Backend::start();
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let directory = directory.path().to_str().unwrap();
    let mut node = Command::new("node");
    node.args(["-e", PROXY, directory, &backend.address.port().to_string()]).stdout(Stdio::piped());
    let mut proxy = Proxy(node.spawn().expect("node, of the Debian package nodejs"));
    let mut port = String::new();
    BufReader::new(proxy.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let url = format!("https://localhost:{}", port.trim());
    let start = |trusted: Option<&str>| {
        let mut command = daemon::command();
        command.args(["--listen", "127.0.0.1:0", "--convex", &url]).env("CONVEX_DEPLOY_KEY", KEY);
        command.env_remove("CONVEX_SELF_HOSTED_ADMIN_KEY").env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
        for proxy in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        trusted.map(|file| command.env("SSL_CERT_FILE", format!("{directory}/{file}")));
        Daemon::start(&mut command)
    };
    let daemon = start(None);
    wait_until("it to say so", PATIENCE, || daemon.log().contains("certificate"));
    assert!(backend.asked().is_empty(), "a key went to somebody who is not trusted");
    daemon.stop();
    let mut daemon = start(Some("ca.pem"));
    wait_until("a question for logs", PATIENCE, || !backend.polls().is_empty());
    backend.access("direct");
    daemon.wait_for_accesses("quiet-lemur", 1);
    daemon.stop();
}
