//! A sender that behaves as Convex's does, against a receiver that is killed, whose disk is full, or that has too much to
//! do: whatever the sender takes for delivered counts once, and nothing counts twice.

use super::daemon::Daemon;
use super::disk::Disk;
use super::exposition::{ACCESSES, Exposition};
use super::sender::{BATCH, Fate, Sender, array, json_lines};
use super::waiting::{PATIENCE, wait_for, wait_until};
use super::webhook::{CLOUD, Place, SECRET, intake};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Kills at the least, and what is to be delivered meanwhile; there are more kills until it is, for so long.
const KILLS: usize = 30;
const DELIVERED: usize = 200;
const TIME: Duration = Duration::from_mins(2);

const SENDERS: u64 = 8;

/// Convex waits a second and more between attempts; the tests do not have that much time.
const HASTE: f64 = 0.1;

/// A batch as its sender sees it. Each has a deployment of its own, so that it can be told apart.
struct Sent {
    events: u64,
    fate: Fate,
}

fn deployment(thread: u64, number: u64) -> String {
    format!("tall-heron-{thread}-{number}")
}

fn body(deployment: &str, number: u64) -> (Vec<u8>, u64) {
    let events = 1 + number * 37 % BATCH;
    let make = if number.is_multiple_of(2) { array } else { json_lines };
    (make(deployment, 0..events), events)
}

/// Compares what was counted with what was sent.
fn check(metrics: &Exposition, sent: &BTreeMap<String, Sent>) {
    let mut counted: BTreeMap<String, u64> = BTreeMap::new();
    for ((deployment, _), count) in metrics.counts() {
        *counted.entry(deployment).or_default() += count;
    }
    for (deployment, Sent { events, fate }) in sent {
        let counted = counted.remove(deployment).unwrap_or(0);
        let right = counted == *events || (counted == 0 && *fate != Fate::Delivered);
        assert!(right, "{deployment}: {fate:?}, {counted} of {events} are counted");
        // Convex's bodies are never refused for good.
        assert!(!matches!(fate, Fate::Dropped(_)), "{deployment}: {fate:?}");
    }
    assert!(counted.is_empty(), "nobody sent {counted:?}");
}

/// An address whose port the system gives to nobody by chance while nobody listens there.
fn fixed_address() -> SocketAddr {
    let first = 20_000 + std::process::id() as u16 % 10_000;
    (first..first + 1000)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|at| TcpListener::bind(at).is_ok())
        .unwrap()
}

#[test]
fn kills_lose_and_double_nothing_that_was_delivered() {
    let place = Place::new(&format!("{CLOUD}[limits]\ndeployments = 100000\n"));
    let address = fixed_address();
    let (ends, delivered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut daemon = Daemon::start(&mut place.command_at(address));
    let (sent, mut daemon) = std::thread::scope(|scope| {
        let send = |thread: u64| {
            let mut sender = Sender::new(address, "/ingest/cloud", SECRET).with_pauses_of(thread);
            sender.haste = HASTE;
            let (mut sent, mut number) = (BTreeMap::new(), 0);
            while !ends.load(Ordering::Relaxed) {
                let deployment = deployment(thread, number);
                let (body, events) = body(&deployment, number);
                let fate = sender.deliver(&body);
                delivered.fetch_add(usize::from(fate == Fate::Delivered), Ordering::Relaxed);
                sent.insert(deployment, Sent { events, fate });
                number += 1;
                std::thread::sleep(Duration::from_millis(number * 7 % 20));
            }
            sent
        };
        let senders: Vec<_> = (0..SENDERS).map(|thread| scope.spawn(move || send(thread))).collect();
        let end = End(&ends);
        let (began, mut kills) = (Instant::now(), 0);
        while kills < KILLS || (delivered.load(Ordering::Relaxed) < DELIVERED && began.elapsed() < TIME) {
            std::thread::sleep(Duration::from_millis(30 + (kills as u64 * 97) % 350));
            daemon.kill();
            kills += 1;
            std::thread::sleep(Duration::from_millis((kills as u64 * 53) % 90));
            daemon = Daemon::start(&mut place.command_at(address));
        }
        drop(end);
        let sent: BTreeMap<_, _> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
        (sent, daemon)
    });
    check(&daemon.metrics(), &sent);
    let delivered = delivered.into_inner();
    assert!(delivered >= DELIVERED, "{delivered} of {} were delivered: the test shows little", sent.len());
    daemon.stop();
}

/// Ends the sending when it is dropped, also by a panic.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Takes all the room that there is.
fn fill(filler: &Path) {
    let mut file = fs::File::options().append(true).create(true).open(filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

#[test]
fn a_full_disk_is_no_success_and_what_comes_again_counts_once() {
    let place = Place::new(&format!("{CLOUD}[limits]\ndeployments = 100000\n"));
    let disk = Disk::new(&place.state, 8 << 20);
    let mut daemon = Daemon::start(&mut disk.command(&place.command()));
    let address = intake(&daemon);
    let filler = disk.seen_from_outside(daemon.child.id()).join("filler");
    let mut sender = Sender::new(address, "/ingest/cloud", SECRET);
    let mut sent = BTreeMap::new();
    // What was set aside before may hold some commits; then there is no success any more.
    let began = Instant::now();
    let mut number = 0;
    let refused = loop {
        assert!(began.elapsed() < PATIENCE * 3, "{number} bodies found room on a full disk");
        fill(&filler);
        let deployment = deployment(0, number);
        let (body, events) = body(&deployment, number);
        let answer = sender.post(&body).unwrap();
        number += 1;
        if answer.status == 503 {
            let took = began.elapsed();
            assert!(answer.headers.contains_key("retry-after"), "{answer:?} after {took:?}");
            sent.insert(deployment, Sent { events, fate: Fate::GivenUp });
            break body;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        sent.insert(deployment, Sent { events, fate: Fate::Delivered });
    };
    assert_eq!(daemon.status("/-/healthy"), 200, "it still runs");
    // Many more come than may wait: they hear soon that there is no room.
    let (soon, late) = (AtomicU64::new(0), AtomicU64::new(0));
    let stands_still = |daemon: &mut Daemon| daemon.metrics().sum(ACCESSES, &[]) as u64;
    let before = stands_still(&mut daemon);
    std::thread::scope(|scope| {
        for thread in 1..=200 {
            let (soon, late) = (&soon, &late);
            scope.spawn(move || {
                let (body, _) = body(&deployment(thread, 0), thread);
                let began = Instant::now();
                let answer = Sender::new(address, "/ingest/cloud", SECRET).post(&body).unwrap();
                assert_eq!(answer.status, 503, "{answer:?}");
                let took = began.elapsed().as_secs();
                assert!(took < 20, "{took} s");
                if took < 8 { soon } else { late }.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert!(soon.load(Ordering::Relaxed) >= 20 && late.load(Ordering::Relaxed) >= 20, "{soon:?} soon, {late:?} late");
    assert_eq!(stands_still(&mut daemon), before);
    assert_eq!(daemon.status("/-/healthy"), 200, "it still runs");
    fs::remove_file(&filler).unwrap();
    wait_until("it to commit again", PATIENCE, || daemon.log().contains("commits again"));
    // What was answered with 503 comes again, and is known if it counted meanwhile.
    assert_eq!(sender.status(&refused), 200);
    let again: Vec<_> = (1..=200).collect();
    std::thread::scope(|scope| {
        let senders = again.chunks(25).map(|threads| {
            scope.spawn(move || {
                let mut sender = Sender::new(address, "/ingest/cloud", SECRET);
                sender.haste = HASTE;
                threads
                    .iter()
                    .map(|thread| {
                        // Its events are logged anew; only bytes that are equal are a repeat.
                        let name = deployment(*thread, 1);
                        let (body, events) = body(&name, *thread);
                        let fate = sender.deliver(&body);
                        assert_eq!((fate, sender.status(&body)), (Fate::Delivered, 200));
                        (name, Sent { events, fate })
                    })
                    .collect::<Vec<_>>()
            })
        });
        let senders: Vec<_> = senders.collect();
        sent.extend(senders.into_iter().flat_map(|sender| sender.join().unwrap()));
    });
    sent.entry(deployment(0, number - 1)).and_modify(|sent| sent.fate = Fate::Delivered);
    for thread in 1..=200 {
        let (_, events) = body("", thread);
        sent.insert(deployment(thread, 0), Sent { events, fate: Fate::GivenUp });
    }
    // Newborn deployments are shown a scrape later.
    let expected: u64 = sent.values().filter(|sent| sent.fate == Fate::Delivered).map(|sent| sent.events).sum();
    daemon.wait_for_metrics("all that was delivered", PATIENCE, |metrics| {
        let counted = metrics.sum(ACCESSES, &[]) as u64;
        if counted >= expected { Ok(()) } else { Err(format!("{counted} of {expected}")) }
    });
    wait_for("the newborn to be shown", PATIENCE, || {
        let (one, other) = (daemon.metrics(), daemon.metrics());
        if one.counts() == other.counts() { Ok(()) } else { Err("they still change".to_owned()) }
    });
    check(&daemon.metrics(), &sent);
    daemon.stop();
}

#[test]
fn too_many_senders_at_once_lose_and_double_nothing_and_fill_no_memory() {
    let place = Place::new(&format!("{CLOUD}[limits]\ndeployments = 100000\n"));
    let mut daemon = Daemon::start(&mut place.command());
    let address = intake(&daemon);
    let sent: BTreeMap<_, _> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..300)
            .map(|thread| {
                scope.spawn(move || {
                    let mut sender = Sender::new(address, "/ingest/cloud", SECRET).with_pauses_of(thread);
                    sender.haste = HASTE;
                    let send = |number| {
                        let name = deployment(thread, number);
                        let (body, events) = body(&name, thread + number);
                        (name, Sent { events, fate: sender.deliver(&body) })
                    };
                    (0..3).map(send).collect::<Vec<_>>()
                })
            })
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    check(&daemon.metrics(), &sent);
    let delivered = sent.values().filter(|sent| sent.fate == Fate::Delivered).count();
    assert!(delivered > 300, "{delivered} of {} were delivered: the test shows little", sent.len());
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 300 << 10, "{peak} KiB");
    daemon.stop();
}
