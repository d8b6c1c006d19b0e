//! The keeper's state as rows of the store, and back.

use super::{FAILURES, KEYS, Keeper};
use crate::ledger::bodies::Bodies;
use crate::ledger::counts::{Place, SourceState};
use crate::ledger::store::{Rows, Write};
use crate::row::Row;
use std::sync::Arc;

impl Keeper {
    pub(super) fn load(&mut self, rows: Rows) -> Result<(), (String, serde_json::Error)> {
        for (key, value) in rows.places {
            let place: Place = serde_json::from_str(&key).map_err(|error| (key.clone(), error))?;
            let counts = serde_json::from_str(&value).map_err(|error| (key, error))?;
            self.deployments.insert(Arc::clone(&place.deployment));
            self.places.insert(place, Arc::new(counts));
        }
        for (key, value) in rows.sources {
            let counts = serde_json::from_str(&value).map_err(|error| (key.clone(), error))?;
            self.sources.insert(Arc::from(key), counts);
        }
        for (key, value) in rows.known {
            let (evidence, hosting) = serde_json::from_str(&value).map_err(|error| (key.clone(), error))?;
            self.known.learn(Arc::from(key), evidence, hosting);
        }
        for (number, (key, seen)) in rows.keys {
            self.dedupe.note(key);
            self.keys_seen.insert(number, seen);
            self.next_key = number + 1;
        }
        self.bodies = Bodies::of(rows.bodies);
        let mut heard = None;
        for (key, value) in rows.meta {
            match key.as_str() {
                "scrapers" => self.scrapers = serde_json::from_str(&value).map_err(|error| (key, error))?,
                "notifications" => {
                    self.next.notifications = serde_json::from_str(&value).map_err(|error| (key, error))?;
                }
                "heard" => heard = Some(value),
                _ => {}
            }
        }
        self.alerts.load(rows.alerts, heard.as_deref())?;
        for (number, value) in rows.failures {
            let (event, attribution, source, expects_direct) =
                serde_json::from_str(&value).map_err(|error| (format!("failure {number}"), error))?;
            self.next.failures.push_front(Arc::new(Row { event, attribution, source, expects_direct }));
            self.next_failure = number + 1;
        }
        self.next.failures.truncate(FAILURES);
        self.next.places = self.places.clone();
        self.next.sources = self
            .sources
            .iter()
            .map(|(name, counts)| (Arc::clone(name), (counts.clone(), SourceState::default())))
            .collect();
        self.cursors = rows.cursors;
        Ok(())
    }

    pub(super) fn write(&self) -> Write {
        // What is counted here has nothing that JSON could not say.
        fn json(value: &impl serde::Serialize) -> String {
            serde_json::to_string(value).unwrap_or_default()
        }
        let pending = &self.pending;
        let mut meta = Vec::new();
        if !self.scrapers.is_empty() {
            meta.push(("scrapers", json(&self.scrapers)));
        }
        if pending.notifications {
            meta.push(("notifications", json(&self.next.notifications)));
        }
        meta.extend(self.alerts.heard().map(|heard| ("heard", heard)));
        let failure = |(number, row): &(u64, Arc<Row>)| {
            (*number, json(&(&row.event, &row.attribution, &row.source, row.expects_direct)))
        };
        Write {
            meta,
            places: pending.places.iter().filter_map(|p| Some((json(p), json(&**self.places.get(p)?)))).collect(),
            sources: pending.sources.iter().filter_map(|s| Some((s.to_string(), json(self.sources.get(s)?)))).collect(),
            known: pending.known.iter().map(|(name, known)| (name.to_string(), json(known))).collect(),
            cursors: pending.cursors.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
            keys: pending.keys.clone(),
            keys_from: self.next_key.saturating_sub(KEYS as u64),
            alerts: self.alerts.rows(),
            failures: pending.failures.iter().map(failure).collect(),
            failures_from: self.next_failure.saturating_sub(FAILURES as u64),
            bodies: pending.bodies.clone(),
            bodies_from: self.bodies.gone(),
        }
    }
}
