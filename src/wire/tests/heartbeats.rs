//! Heartbeats of deployed agents as recorded (vectors/heartbeats.json), by each driver, and of our own.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Seeded, T, keyring, list, moment, sender, text};
use serde_json::{Value, json};
use wire::heartbeat::Unheard;
use wire::heartbeat::disk::{self, Message, Names};
use wire::heartbeat::multicast::{Reassembly, Standing, split};
use wire::{Beat, Dialect, Envelope, Form, Freshness, Keyring, Kind, Prepared, Refusal, Source};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/heartbeats.json")).unwrap()
}

fn opened(frame: &[u8]) -> Value {
    let heard = keyring().open_heartbeat(frame, Kind::Heartbeat, |node| node.starts_with("n2"));
    heard.unwrap().read().unwrap()
}

#[test]
fn every_recorded_message_opens() {
    let vectors = vectors();
    for recorded in list(&vectors, "messages") {
        assert_eq!(opened(text(recorded, "frame").as_bytes()), recorded["message"]);
    }
}

#[test]
fn recorded_datagrams_make_their_frame_and_are_cut_as_recorded() {
    let vectors = vectors();
    for recorded in list(&vectors, "multicast") {
        let datagrams: Vec<Vec<u8>> = list(recorded, "datagrams_base64")
            .iter()
            .map(|datagram| STANDARD.decode(datagram.as_str().unwrap()).unwrap())
            .collect();
        let mut reassembly = Reassembly::default();
        let mut whole = None;
        for datagram in &datagrams {
            assert_eq!(whole, None, "whole before the last fragment");
            let completed =
                reassembly.take(std::time::Duration::ZERO, &1, Standing::Proven, datagram);
            whole = completed.and_then(|mut completed| completed.frames.pop());
        }
        let frame = text(recorded, "frame").as_bytes();
        assert_eq!(whole.as_deref(), Some(frame));
        assert_eq!(opened(frame), recorded["message"]);
        let first: Value =
            serde_json::from_slice(datagrams[0].strip_suffix(b"\0").unwrap()).unwrap();
        assert_eq!(split(frame, text(&first, "id")), Some(datagrams));
    }
}

#[test]
fn the_recorded_device_is_read() {
    let vectors = vectors();
    let recorded = &vectors["disk"];
    let packed = STANDARD.decode(text(recorded, "image_gzip_base64")).unwrap();
    let mut device = vec![];
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut device).unwrap();
    let names = Names::read(&device[..disk::META]);
    let mut sorted = names.names.clone();
    sorted.sort();
    assert_eq!(sorted, ["n21", "n22", "n23"]);
    assert_eq!((names.free, names.duplicates()), (Some(3), vec![]));
    for (slot, name) in names.names.iter().enumerate() {
        let at = usize::try_from(disk::message_offset(slot)).unwrap();
        let message = Message::read(&device[at..at + disk::SLOT]).unwrap();
        let read = opened(message.msg.as_bytes());
        assert!(read["gen"][name].is_u64(), "{read}");
        // Written again, it is the same bytes.
        let mut slot = vec![0; disk::SLOT];
        let length = message.write(&mut slot).unwrap();
        assert_eq!(slot[..length], device[at..at + length]);
    }
}

#[test]
fn what_the_relay_carried_opens() {
    let vectors = vectors();
    let mut carried = 0;
    for recorded in list(&vectors, "relay") {
        for frame in [&recorded["request"]["options"]["msg"], &recorded["reply"]["data"]] {
            if let Some(frame) = frame.as_str() {
                assert_eq!(opened(frame.as_bytes()), recorded["carried_message"]);
                carried += 1;
            }
        }
    }
    assert!(carried >= 2, "{carried}");
}

fn sealed(dialect: Dialect, from: &str) -> Vec<u8> {
    let random = Seeded::new(7);
    let form = Form::heartbeat(dialect, Kind::Heartbeat, moment(T), &random);
    let body = Prepared::new(&json!({"kind": "ping", "gen": {"n12": 5}}));
    sender("demo", from, common::SECRET).seal(&form, &body, &random).unwrap()
}

#[test]
fn who_does_not_take_part_is_ignored_before_anything_is_opened() {
    let is_peer = |node: &str| node == "n12";
    let of_cluster = |name: &str| Keyring {
        own: sender(name, "n11", "another secret of 32 bytes......"),
        ..keyring()
    };
    for dialect in [Dialect::Classic, Dialect::Sealed] {
        assert!(
            keyring().open_heartbeat(&sealed(dialect, "n12"), Kind::Heartbeat, is_peer).is_ok()
        );
        for stranger in ["n11", "n13"] {
            let heard =
                keyring().open_heartbeat(&sealed(dialect, stranger), Kind::Heartbeat, is_peer);
            assert_eq!(heard, Err(Unheard::Foreign));
        }
        let heard =
            of_cluster("other").open_heartbeat(&sealed(dialect, "n12"), Kind::Heartbeat, is_peer);
        assert_eq!(heard, Err(Unheard::Foreign), "their key does not matter");
        let heard =
            of_cluster("demo").open_heartbeat(&sealed(dialect, "n12"), Kind::Heartbeat, is_peer);
        assert_eq!(heard, Err(Unheard::Refused(Refusal::NotOpened)));
    }
    let heard = keyring().open_heartbeat(b"{", Kind::Heartbeat, is_peer);
    assert_eq!(heard, Err(Unheard::Refused(Refusal::Json)));
}

#[test]
fn a_sealed_cluster_hears_no_classic_beat_and_the_others_hear_both() {
    for (envelope, hears_classic) in
        [(Envelope::Sealed, false), (Envelope::Any, true), (Envelope::Classic, true)]
    {
        let keyring = Keyring { envelope, ..keyring() };
        let hears = |dialect| {
            keyring.open_heartbeat(&sealed(dialect, "n12"), Kind::Heartbeat, |_| true).is_ok()
        };
        assert_eq!((hears(Dialect::Classic), hears(Dialect::Sealed)), (hears_classic, true));
    }
}

#[test]
fn a_sealed_beat_that_comes_again_or_late_is_none() {
    let mut freshness = Freshness::new(30_000);
    let opened = |t_ms| {
        let form = Form::heartbeat(Dialect::Sealed, Kind::Heartbeat, moment(t_ms), &Seeded::new(7));
        let body = Prepared::new(&json!({"kind": "ping"}));
        let own = sender("demo", "n12", common::SECRET);
        let frame = own.seal(&form, &body, &Seeded::new(8)).unwrap();
        keyring().open_heartbeat(&frame, Kind::Heartbeat, |_| true).unwrap()
    };
    let mut take = |t_ms, now_ms| {
        let beat = Beat { section: "hb#1", timeout_us: 15_000_000 };
        let (opened, source) = (opened(t_ms), Source::Member("n12"));
        let taken = freshness.take(&moment(now_ms), source, opened.stamp().unwrap(), Some(beat));
        taken.map(|_| ())
    };
    assert_eq!(take(T, T), Ok(()));
    assert_eq!(take(T, T + 100), Err(Refusal::Replayed));
    assert_eq!(take(T + 1_000, T + 15_900), Ok(()));
    assert_eq!(take(T + 2_000, T + 17_100), Err(Refusal::Late { seconds: 16 }));
    assert_eq!(take(T + 500, T + 1_000), Err(Refusal::Late { seconds: 1 }));
}
