//! A browser that does what it is told: Chromium without a window, driven by Node.

use crate::support::node;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How long a page may take to show something, in milliseconds.
const PATIENCE: u64 = 20_000;

/// What a page is looked at with.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) dark: bool,
    pub(crate) script: bool,
}

pub(crate) const DESKTOP: Screen = Screen { width: 1280, dark: false, script: true };
pub(crate) const PHONE: Screen = Screen { width: 360, ..DESKTOP };
pub(crate) const DARK: Screen = Screen { dark: true, ..DESKTOP };

/// A browser with a page at most, which ends when it is dropped.
pub(crate) struct Browser {
    child: Child,
    steps: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/page/drive.mjs");
        let child = Command::new("node")
            .arg(driver)
            .arg(node::packages())
            .arg(chromium())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("node, of the Debian package nodejs, which tests/run installs");
        let steps = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, steps, answers }
    }

    /// One step, and what came of it.
    fn step(&mut self, step: &str, mut what: Value) -> Result<Value, String> {
        what["step"] = json!(step);
        writeln!(self.steps.as_mut().unwrap(), "{what}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("the browser has ended: {line:?}"));
        match answer.get_mut("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["ok"].take()),
        }
    }

    fn must(&mut self, step: &str, what: Value) -> Value {
        self.step(step, what).unwrap_or_else(|error| panic!("{step}: {error}"))
    }

    /// Opens a page of a server, in place of the one before.
    pub(crate) fn open(&mut self, address: SocketAddr, path: &str, screen: Screen) {
        let Screen { width, dark, script } = screen;
        let url = format!("http://{address}{path}");
        self.must("open", json!({"url": url, "width": width, "height": 800, "dark": dark, "script": script}));
    }

    /// Waits until an expression is true; says what the page shows if it never is.
    pub(crate) fn wait(&mut self, until: &str) {
        if let Err(error) = self.step("wait", json!({"until": until, "patience": PATIENCE})) {
            panic!("{until}: {error}; the page shows\n{}", self.text("body"));
        }
    }

    /// What an expression is.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        self.must("evaluate", json!({"expression": expression}))
    }

    /// The text that can be seen of an element.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector({}).innerText", json!(selector)));
        text.as_str().unwrap().to_owned()
    }

    pub(crate) fn press(&mut self, key: &str) {
        self.must("press", json!({"key": key}));
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.must("type", json!({"text": text}));
    }

    /// What a screen reader is told.
    pub(crate) fn accessibility(&mut self) -> String {
        self.must("accessibility", json!({})).as_str().unwrap().to_owned()
    }

    /// A picture of the whole page, where the environment variable says that somebody wants to look.
    pub(crate) fn picture(&mut self, name: &str) {
        if let Some(directory) = std::env::var_os("STORAGEWATCH_TEST_PICTURES") {
            let path = Path::new(&directory).join(format!("{name}.png"));
            self.must("picture", json!({"path": path}));
        }
    }

    /// Nothing is wrong with contrast, labels, roles and the like.
    pub(crate) fn check_accessibility(&mut self) {
        let found = self.must("axe", json!({}));
        assert_eq!(found["violations"], json!([]), "{found:#}");
        assert_eq!(found["incomplete"], json!([]), "{found:#}");
        let passes = found["passes"].as_array().unwrap();
        for rule in ["color-contrast", "document-title", "html-has-lang", "link-name", "landmark-one-main", "list"] {
            assert!(passes.contains(&json!(rule)), "{rule} was not checked: {passes:?}");
        }
    }

    /// No page has asked another host for anything, been refused anything, or said anything on its console.
    pub(crate) fn check_quiet(&mut self, address: SocketAddr) {
        let noted = self.must("noted", json!({}));
        let own = format!("http://{address}/");
        let requests = noted["requests"].as_array().unwrap();
        assert!(requests.iter().all(|url| url.as_str().unwrap().starts_with(&own)), "{requests:#?}");
        assert!(requests.contains(&json!(format!("{own}page.css"))), "{requests:#?}");
        assert_eq!(noted["refused"], json!([]));
        assert_eq!(noted["console"], json!([]));
    }

    /// The page needs no sideways scrolling.
    pub(crate) fn check_width(&mut self) {
        let root = self.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]");
        assert!(root[0].as_u64() <= root[1].as_u64(), "{root}: {}", self.evaluate(WIDEST));
    }
}

/// The elements that are too wide.
const WIDEST: &str = "[...document.body.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > \
     document.documentElement.clientWidth + 1).map((e) => e.outerHTML.slice(0, 120))";

impl Drop for Browser {
    fn drop(&mut self) {
        // At the end of its input it closes the browser and ends.
        drop(self.steps.take());
        let _ = self.child.wait();
    }
}

fn chromium() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("chromium")).find(|path| path.is_file());
    let path = found.expect("chromium, of the Debian package chromium, which tests/run installs");
    path.to_str().unwrap().to_owned()
}
