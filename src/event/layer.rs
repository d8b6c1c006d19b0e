//! What stood around a log message, layer by layer.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One layer that a record was unwrapped through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layer {
    /// Docker's `json-file` driver.
    Docker,
    /// A time stamp before the line, as `docker logs -t` and `kubectl logs --timestamps` print it.
    Timestamps,
    /// A service's name before the line, as `docker compose logs` prints it.
    Compose,
    /// Kubernetes' container runtime interface.
    Cri,
    /// `journalctl -o json`.
    Journald,
    /// RFC 3164, RFC 5424, or `journalctl`'s short form.
    Syslog,
    /// A JSON array of records: a webhook's body.
    Array,
    /// A body of the log API.
    Entries,
    /// Axiom's wrapping of a log stream event.
    Axiom,
    /// Datadog's wrapping of a log stream event.
    Datadog,
    /// OpenTelemetry's logs, as PostHog receives them.
    Otlp,
    /// Another program's JSON around a line that shows by itself what it is.
    WrappedJson,
    /// A log stream event.
    LogStream,
    /// A log stream event as it was before May 2024.
    LogStreamV1,
    /// An entry of the log API, or of `convex logs --jsonl`.
    ConvexRecord,
    /// A line that the Node executor hands to the backend.
    NodeExecutor,
    /// A line that Convex's command-line client prints.
    ConvexText,
    /// A console line without Convex's prefix: `[LOG] …`.
    Console,
    /// The application's own JSON.
    AppJson,
    /// Text without any prefix.
    Text,
    /// The backend's own tracing.
    Tracing,
    /// What the command-line client prints above the logs it follows.
    Banner,
}

impl Layer {
    /// The name in the column `format`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Timestamps => "timestamps",
            Self::Compose => "compose",
            Self::Cri => "cri",
            Self::Journald => "journald",
            Self::Syslog => "syslog",
            Self::Array => "array",
            Self::Entries => "entries",
            Self::Axiom => "axiom",
            Self::Datadog => "datadog",
            Self::Otlp => "otlp",
            Self::WrappedJson => "wrapped-json",
            Self::LogStream => "log-stream",
            Self::LogStreamV1 => "log-stream-v1",
            Self::ConvexRecord => "convex-record",
            Self::NodeExecutor => "node-executor",
            Self::ConvexText => "convex-text",
            Self::Console => "console",
            Self::AppJson => "app-json",
            Self::Text => "text",
            Self::Tracing => "tracing",
            Self::Banner => "banner",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many layers are unwrapped at the most.
pub const MAX_LAYERS: usize = 12;

/// The layers of a record, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Layers {
    layers: [Option<Layer>; MAX_LAYERS],
}

impl Layers {
    /// Adds the next layer inwards. Past [`MAX_LAYERS`] nothing is added.
    #[must_use]
    pub fn and(mut self, layer: Layer) -> Self {
        if let Some(free) = self.layers.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(layer);
        }
        self
    }

    /// The layers, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = Layer> + '_ {
        self.layers.iter().flatten().copied()
    }

    /// Whether there is room for no further layer.
    pub fn is_full(&self) -> bool {
        self.layers[MAX_LAYERS - 1].is_some()
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, layer) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(">")?;
            }
            f.write_str(layer.as_str())?;
        }
        Ok(())
    }
}
