//! storagewatch counts how Convex applications read their stored blobs, in whatever log the messages reach.
//!
//! bytes → [`scan`] → candidate lines → [`decode`] → records and events → [`attribute`] → whose, and where it runs →
//! [`policy`] → what it means.
//!
//! Saved logs take the way [`source`] → [`read`] → [`report`], or [`row`]s; live ones [`source`] → [`ledger`] → [`metrics`],
//! put together by [`watch`].
//!
//! * [`event`]: the words of the program as types
//! * [`source`]: where bytes come from
//! * [`read`]: all inputs through all cores, in order
//! * [`scan`]: finds the lines that can matter, and keeps the bounds
//! * [`decode`]: unwraps them, layer by layer, to the log message
//! * [`attribute`]: whose event it is, and where that runs
//! * [`policy`]: what an outcome means there
//! * [`probe`]: what the application's own diagnostic endpoints say
//! * [`dedupe`]: recognises records that were read before
//! * [`filter`], [`row`]: which events are wanted, and the table they are in
//! * [`report`]: the summary, for persons and programs
//! * [`ledger`]: what was counted, exactly once
//! * [`alert`]: which alerts fire, and who is told
//! * [`metrics`], [`serve`]: what a scraper and a person are shown of it
//! * [`runbook`]: what each alert means, and what to do
//! * [`config`]: what `watch` is told, checked and resolved
//! * [`secret`]: where a secret is, and its value
//! * [`plain`]: texts and numbers as a person is shown them
//! * `fetch`: one bounded HTTP request
//! * [`watch`]: the threads of a running program, from start to stop
//! * [`cli`]: the command line

pub mod alert;
pub mod attribute;
pub mod cli;
pub mod config;
pub mod decode;
pub mod dedupe;
pub mod event;
mod fetch;
pub mod filter;
pub mod ledger;
pub mod metrics;
pub mod plain;
pub mod policy;
pub mod probe;
pub mod read;
pub mod report;
pub mod row;
pub mod runbook;
pub mod scan;
pub mod secret;
pub mod serve;
pub mod source;
pub mod watch;
