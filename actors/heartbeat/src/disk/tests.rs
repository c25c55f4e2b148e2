use std::fs::File;
use std::sync::Arc;

use model::Severity;
use tokio::sync::watch;
use wire::Dialect;

use super::*;

use crate::beat::Beat;
use crate::testing::{Bench, SECRET, Told, deployed_full, node, ping, ping_at, ping_of};

/// A device of three slots, in a file.
fn device(folder: &tempfile::TempDir) -> String {
    let path = folder.path().join("device");
    File::create(&path).unwrap().set_len(8 << 20).unwrap();
    path.display().to_string()
}

fn bench(dev: &str) -> Bench {
    Bench::new(&format!("type = disk\ndev = {dev}\ninterval = 20ms\ntimeout = 5"), "")
}

fn at(dev: &str) -> Device {
    Device::new(PathBuf::from(dev))
}

fn message(from: &str) -> Message {
    let frame = ping(from, SECRET, Dialect::Sealed);
    let msg = String::from_utf8(frame).unwrap().trim_end_matches('\0').to_owned();
    Message { msg, updated: clock::now().0 }
}

#[test]
fn a_slot_is_written_by_who_it_belongs_to_only() {
    let folder = tempfile::tempdir().unwrap();
    let dev = device(&folder);
    let mut device = at(&dev);
    assert_eq!(device.names().unwrap().free, Some(0));
    device.write_name(0, "n2").unwrap();
    device.write_name(1, "n1").unwrap();
    let names = device.names().unwrap();
    assert_eq!((names.slot("n1"), names.slot("n2"), names.free), (Some(1), Some(0), Some(2)));
    assert_eq!(device.read_message(1).unwrap(), None);
    let long = Message { msg: "x".repeat(100_000), updated: 1.5 };
    assert_eq!(device.write_message(1, "n1", &long).unwrap().map(|done| done.is_ok()), Some(true));
    assert_eq!(device.read_message(1).unwrap(), Some(long));
    let short = Message { msg: "short".into(), updated: 2.5 };
    device.write_message(1, "n1", &short).unwrap();
    assert_eq!(device.read_message(1).unwrap(), Some(short.clone()));
    assert_eq!(device.write_message(1, "n3", &short).unwrap(), None);
    let endless = Message { msg: "x".repeat(2 << 20), updated: 1.5 };
    assert!(matches!(device.write_message(1, "n1", &endless).unwrap(), Some(Err(_))));
    assert!(at("/nonexistent/device").names().is_err());
}

#[actix::test]
async fn a_node_takes_a_slot_and_another_one_when_it_loses_it() {
    let folder = tempfile::tempdir().unwrap();
    let dev = device(&folder);
    at(&dev).write_name(0, "n2").unwrap();
    let mut bench = bench(&dev);
    let (beats, receiver) = watch::channel(None);
    let outbox =
        Outbox { section: bench.section.clone(), beats: receiver, notes: bench.notes.clone() };
    let _task = actix_rt::spawn(transmit(outbox));
    let is_slot = |slot| move |note: &Note| *note == Note::Slot { node: node("n1"), slot };
    bench.note(is_slot(1)).await;
    let send = || beats.send_replace(Some(Arc::new(Beat::of(b"frame\0", &[]))));
    send();
    let is_beat = |note: &Note| *note == Note::BeatToAll { bytes: 5 };
    bench.note(is_beat).await;
    assert_eq!(at(&dev).read_message(1).unwrap().unwrap().msg, "frame");
    at(&dev).write_name(1, "n3").unwrap();
    send();
    bench.note(is_slot(2)).await;
    send();
    bench.note(is_beat).await;
    assert_eq!(at(&dev).read_message(2).unwrap().unwrap().msg, "frame");
}

/// Names the slots of three nodes.
fn name_slots(dev: &str) {
    for (slot, name) in ["n1", "n2", "n3"].into_iter().enumerate() {
        at(dev).write_name(slot, name).unwrap();
    }
}

/// Writes on into a slot, as a node that lives.
fn keep_writing(
    dev: &str,
    slot: usize,
    name: &str,
    say: impl Fn() -> Message + 'static,
) -> actix_rt::task::JoinHandle<()> {
    let (dev, name) = (dev.to_owned(), name.to_owned());
    actix_rt::spawn(async move {
        loop {
            at(&dev).write_message(slot, &name, &say()).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
}

#[actix::test]
async fn changes_of_slots_are_heard_and_what_was_there_at_first_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let dev = device(&folder);
    name_slots(&dev);
    at(&dev).write_message(1, "n2", &message("n2")).unwrap();
    let mut bench = bench(&dev);
    let _task = actix_rt::spawn(receive(bench.inbox()));
    // Its slot is read after that of n2.
    let writer = keep_writing(&dev, 2, "n3", || message("n3"));
    let of_n3 = Told::Heard(node("n3"), ping_of("n3"));
    for _ in 0..3 {
        assert_eq!(bench.told().await, of_n3);
    }
    writer.abort();
    at(&dev).write_message(1, "n2", &message("n2")).unwrap();
    let mut told = bench.told().await;
    while told == of_n3 {
        told = bench.told().await;
    }
    assert_eq!(told, Told::Heard(node("n2"), ping_of("n2")));
}

#[actix::test]
async fn a_peer_is_heard_whose_clock_is_an_hour_off() {
    for (dialect, off) in [Dialect::Sealed, Dialect::Classic]
        .into_iter()
        .flat_map(|dialect| [-3_600.0, 3_600.0].map(|off| (dialect, off)))
    {
        let folder = tempfile::tempdir().unwrap();
        let dev = device(&folder);
        name_slots(&dev);
        let envelope = if dialect == Dialect::Classic { "envelope = any" } else { "" };
        let keywords = format!("type = disk\ndev = {dev}\ninterval = 20ms\ntimeout = 1");
        let mut bench = Bench::new(&keywords, envelope);
        let _task = actix_rt::spawn(receive(bench.inbox()));
        let writer = keep_writing(&dev, 1, "n2", move || {
            let updated = clock::now().0 + off;
            match dialect {
                Dialect::Sealed => Message { updated, ..message("n2") },
                Dialect::Classic => classic("n2", updated),
            }
        });
        assert_eq!(bench.told().await, Told::Heard(node("n2"), ping_of("n2")), "{dialect:?} {off}");
        writer.abort();
    }
}

/// A message of a deployed agent by this clock.
fn classic(from: &str, updated: f64) -> Message {
    let frame = ping_at(from, SECRET, Dialect::Classic, updated);
    let msg = String::from_utf8(frame).unwrap().trim_end_matches('\0').to_owned();
    Message { msg, updated }
}

#[test]
fn a_slot_beats_when_it_changes_after_it_was_seen_once() {
    let mut sights = Sights::default();
    let says = |msg: &str, updated| Some(Message { msg: msg.to_owned(), updated });
    let mut is_change = |node_name: &str, slot, message: Option<Message>| {
        sights.is_change(&node(node_name), slot, message.as_ref())
    };
    assert!(!is_change("n2", 1, says("a", 5.0)), "it may be of a node that is gone");
    assert!(!is_change("n2", 1, says("a", 5.0)));
    assert!(is_change("n2", 1, says("b", 4.0)), "its clock was set back");
    assert!(is_change("n2", 1, says("c", 4.0)), "its clock stands");
    assert!(!is_change("n2", 2, says("d", 6.0)), "another slot is seen for the first time");
    assert!(!is_change("n3", 3, None));
    assert!(is_change("n3", 3, says("a", 5.0)), "the first message of a new node");
}

#[test]
fn a_clock_that_is_off_is_told_and_what_wavers_is_not() {
    let told = |age| clock_alert(&node("n2"), age, 15.0);
    assert_eq!((told(14.0), told(-14.0)), (None, None));
    let Alert { severity, message } = told(-3_601.0).unwrap();
    assert_eq!((severity, message.contains("by 3600 s")), (Severity::Warning, true), "{message}");
}

#[actix::test]
async fn a_device_that_is_not_there_is_told() {
    let bench = bench("/nonexistent/device");
    let reason = receive(bench.inbox()).await;
    assert!(reason.starts_with("disk /nonexistent/device: No such file"), "{reason}");
    let bench = Bench::new("type = disk\ndev = /dev/dm-0", "");
    let reason = receive(bench.inbox()).await;
    assert!(reason.contains("/dev/mapper"), "{reason}");
}

#[actix::test]
async fn a_full_that_a_deployed_agent_writes_again_is_a_beat() {
    let folder = tempfile::tempdir().unwrap();
    let dev = device(&folder);
    at(&dev).write_name(0, "n2").unwrap();
    let keywords = format!("type = disk\ndev = {dev}\ninterval = 20ms\ntimeout = 5");
    let mut bench = Bench::new(&keywords, "envelope = any");
    let _task = actix_rt::spawn(receive(bench.inbox()));
    let msg = String::from_utf8(deployed_full("n2")).unwrap().trim_end_matches('\0').to_owned();
    let say = move || Message { msg: msg.clone(), updated: clock::now().0 };
    let writer = keep_writing(&dev, 0, "n2", say);
    for _ in 0..3 {
        bench.note(|note| matches!(note, Note::Beat { .. })).await;
    }
    writer.abort();
}
