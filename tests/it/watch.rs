//! `watch` as a black box: files grow, rotate and vanish, processes are killed, disks fill up, and every count is exact.

mod daemon;
#[cfg(random_programs)]
mod directory;
mod disk;
mod exposition;
mod http;
mod input;
#[cfg(random_programs)]
mod kills;
mod lines;
#[cfg(random_programs)]
mod model;
#[cfg(random_programs)]
mod programs;
mod prometheus;
mod scraper;
mod state;
#[cfg(random_programs)]
mod steps;
mod waiting;
