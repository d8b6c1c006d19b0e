//! A hundred logs in which nothing happens: what watching them costs.

use crate::Options;
use crate::process::{peak_mib, processor_seconds, scheduled_seconds};
use crate::rig::daemon::{self, Daemon};
use crate::rig::lines;
use std::fs;
use std::thread;
use std::time::Duration;

const FILES: u64 = 100;

pub(crate) fn run(options: &Options) {
    let root = tempfile::tempdir().unwrap();
    let logs = root.path().join("logs");
    fs::create_dir(&logs).unwrap();
    for number in 0..FILES {
        let text: String = (0..100).map(|line| lines::noise("quiet-otter-1", number * 100 + line)).collect();
        fs::write(logs.join(format!("app{number}.log")), text).unwrap();
    }
    let mut command = daemon::command();
    command.arg(logs.join("*.log")).args(["--listen", "127.0.0.1:0", "--state-dir"]).arg(root.path().join("state"));
    let mut daemon = Daemon::start(&mut command);
    daemon.wait_until_ready();
    thread::sleep(Duration::from_secs(1));
    let process = daemon.child.id();
    let before = (processor_seconds(process), scheduled_seconds(process));
    thread::sleep(Duration::from_secs(options.seconds));
    let after = (processor_seconds(process), scheduled_seconds(process));
    let ticks: f64 = (0..2).map(|at| after.0[at] - before.0[at]).sum();
    let exact = (after.1 - before.1) * 1e3;
    let share = exact / 10.0 / options.seconds.max(1) as f64;
    println!("\n| quiet files | seconds | processor, ms | of a core, % | in ticks, ms | peak, MiB |");
    println!("|--:|--:|--:|--:|--:|--:|");
    println!(
        "| {FILES} | {} | {exact:.1} | {share:.3} | {:.0} | {:.0} |",
        options.seconds,
        ticks * 1e3,
        peak_mib(process)
    );
    daemon.stop();
}
