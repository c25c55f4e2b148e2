use std::fs::File;
use std::sync::Arc;

use tokio::sync::watch;
use wire::Dialect;

use super::*;
use crate::heartbeat::beat::Beat;
use crate::heartbeat::testing::{Bench, SECRET, Told, node, ping, ping_of};

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

#[actix::test]
async fn new_messages_of_peers_are_heard_and_old_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let dev = device(&folder);
    for (slot, name) in ["n1", "n2", "n3"].into_iter().enumerate() {
        at(&dev).write_name(slot, name).unwrap();
    }
    let old = Message { updated: clock::now().0 - 60.0, ..message("n3") };
    at(&dev).write_message(2, "n3", &old).unwrap();
    at(&dev).write_message(1, "n2", &message("n2")).unwrap();
    let mut bench = bench(&dev);
    let _task = actix_rt::spawn(receive(bench.inbox()));
    assert_eq!(bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
    at(&dev).write_message(2, "n3", &message("n3")).unwrap();
    assert_eq!(bench.told().await, Told::Heard(node("n3"), ping_of("n3")));
    at(&dev).write_message(1, "n2", &message("n2")).unwrap();
    assert_eq!(bench.told().await, Told::Heard(node("n2"), ping_of("n2")));
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
