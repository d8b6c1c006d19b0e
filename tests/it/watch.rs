//! `watch` as a black box: files grow, rotate and vanish, processes are killed, disks fill up, and every count is exact.

pub(crate) mod alertmanager;
pub(crate) mod daemon;
pub(crate) mod directory;
pub(crate) mod disk;
pub(crate) mod exposition;
pub(crate) mod http;
mod input;
mod kills;
pub(crate) mod lines;
mod model;
mod programs;
mod prometheus;
pub(crate) mod receiver;
mod scraper;
pub(crate) mod sender;
pub(crate) mod shipped;
mod state;
pub(crate) mod steps;
pub(crate) mod waiting;
pub(crate) mod webhook;
mod webhook_faults;
