//! What a process has used, as `/proc` tells it.

use std::fs;
use std::process::Command;

/// Processor time of a process, its threads included, in seconds: in user code and in the kernel. It is counted in ticks
/// of usually ten milliseconds.
pub(crate) fn processor_seconds(process: u32) -> [f64; 2] {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The second field is the program's name in parentheses, which may hold anything.
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = ticks_per_second();
    [fields[11], fields[12]].map(|field| field.parse::<f64>().unwrap() / ticks)
}

/// The same to the nanosecond, of the threads that live.
pub(crate) fn scheduled_seconds(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    threads.filter_map(of_thread).sum::<f64>() / 1e9
}

fn ticks_per_second() -> f64 {
    let output = Command::new("getconf").arg("CLK_TCK").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
}

/// The most memory that a process ever had resident, in MiB.
pub(crate) fn peak_mib(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    mark.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
