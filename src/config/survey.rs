//! What a configuration leads to on this machine, now: for a person who has just written it.
//!
//! Enters sources; leaves sentences about what would surprise. None of it is an error, since files come and go.

use super::{File, Watched};
use crate::alert::Receiver;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// Says which paths lead to no file, which files cannot be read, and which belong to two sources.
pub fn survey<'s>(sources: impl IntoIterator<Item = (&'s str, &'s [Watched])>) -> Vec<String> {
    let mut said = Vec::new();
    let mut owners: HashMap<PathBuf, &str> = HashMap::new();
    for (name, paths) in sources {
        for watched in paths {
            let (files, unseen) = watched.find();
            for (path, error) in &unseen {
                said.push(format!("source '{name}': {}: {}", path.display(), remedy(error)));
            }
            if files.is_empty() && unseen.is_empty() {
                said.push(format!("source '{name}': {watched}: no such file yet; it is followed once it is there"));
            }
            for file in files {
                if let Err(error) = try_open(&file) {
                    said.push(format!("source '{name}': {}: {}", file.display(), remedy(&error)));
                }
                let identity = file.canonicalize().unwrap_or(file);
                let owner = *owners.entry(identity.clone()).or_insert(name);
                if owner != name {
                    let path = identity.display();
                    said.push(format!(
                        "source '{name}': {path}: source '{owner}' has it already; name it in one of them"
                    ));
                }
            }
        }
    }
    said
}

impl File {
    /// Says what would surprise in the sources of this file.
    pub fn survey(&self) -> Vec<String> {
        if self.sources.is_empty() && self.webhooks.is_empty() && self.convex.is_empty() && self.probes.is_empty() {
            return vec!["no source; add a [[source.file]] or another, or name files on the command line".to_owned()];
        }
        let mut said = survey(self.sources.iter().map(|source| (source.name.as_str(), &*source.paths)));
        said.extend(self.convex.iter().flat_map(super::remote::ConvexSection::survey));
        said.extend(super::remote::ProbeSection::survey(&self.probes));
        said.extend(self.receivers().iter().filter_map(|receiver| receiver.address.trouble()));
        let listen = self.ingest_listen.unwrap_or(super::webhook::DEFAULT_LISTEN);
        for webhook in &self.webhooks {
            said.extend(webhook.clone().resolve().survey(listen));
        }
        said
    }

    /// Who would be told of alerts.
    pub fn receivers(&self) -> Vec<Receiver> {
        self.alert.clone().resolve(None).receivers
    }

    /// The address of the status page that those who are told are given.
    pub fn page(&self) -> String {
        let listen = self.listen.unwrap_or(super::file::DEFAULT_LISTEN);
        self.alert.external_url.clone().unwrap_or_else(|| format!("http://{listen}"))
    }
}

impl super::Config {
    /// Says what would surprise in the sources and receivers.
    pub fn survey(&self) -> Vec<String> {
        let mut said = survey(self.sources.iter().map(|source| (source.name.as_str(), &*source.paths)));
        said.extend(self.convex.iter().flat_map(super::remote::ConvexSource::survey));
        said.extend(super::remote::ProbeSource::survey(&self.probes));
        said.extend(self.webhooks.iter().flat_map(super::webhook::WebhookSource::surprises));
        let receivers = &self.alerting.receivers;
        said.extend(receivers.iter().filter_map(|receiver| receiver.address.trouble()));
        said
    }
}

/// Opens a file, and leaves alone what is none: opening a pipe would wait for its writer.
fn try_open(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_file() {
        std::fs::File::open(path)?;
    }
    Ok(())
}

/// Why something cannot be read, and what helps.
pub(crate) fn remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied; let the program's user read it".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Whether a plain path can never come to be as things stand: its directory is not there either.
pub fn leads_nowhere(path: &Path) -> bool {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    path.symlink_metadata().is_err() && parent.is_some_and(|parent| !parent.exists())
}
