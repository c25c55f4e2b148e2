use std::sync::Arc;

use model::NodeName;
use tokio::sync::watch;
use wire::Dialect;

use super::*;
use crate::heartbeat::beat::Beat;
use crate::heartbeat::testing::{Bench, PATIENCE, SECRET, Told, frame, node};

/// A receiver n1 of a group of its own on the loopback.
struct Receiving {
    bench: Bench,
    _task: tokio::task::JoinHandle<String>,
}

fn bench(port: u16) -> Bench {
    Bench::new(
        &format!("type = multicast\naddr = 239.255.77.1\nintf = lo\nport = {port}"),
        "envelope = any",
    )
}

/// A port that nothing uses now, by UDP.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    socket.local_addr().unwrap().port()
}

impl Receiving {
    async fn new(port: u16) -> Self {
        let mut bench = bench(port);
        let _task = actix_rt::spawn(receive(bench.inbox()));
        // The group is joined when the driver says so.
        bench.note(|note| matches!(note, Note::Config(_))).await;
        Self { bench, _task }
    }
}

/// A full with labels that do not compress well.
fn full(from: &str, generation: u64, length: usize) -> Value {
    let mut state = generation.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    serde_json::json!({
        "compat": 10, "gen": {from: generation}, "updated": generation, "monitor": {},
        "labels": {"long": text}, "services": {"config": {}, "status": {}},
    })
}

/// The label of what was heard of a node.
async fn heard(bench: &mut Bench) -> (NodeName, Value) {
    loop {
        if let Told::Heard(from, message) = bench.told().await {
            return (from, message["labels"]["long"].clone());
        }
    }
}

/// Sends datagrams to the group from a socket of its own.
async fn send(bench: &Bench, datagrams: impl IntoIterator<Item = Vec<u8>>) {
    let (socket, _) = Group::of(&bench.section).unwrap().sender().unwrap();
    for (at, datagram) in datagrams.into_iter().enumerate() {
        if at % BURST == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        socket.send(&datagram).await.unwrap();
    }
}

#[actix::test]
async fn a_message_of_hundreds_of_fragments_arrives_whole_in_both_dialects() {
    let port = free_port();
    let mut receiving = Receiving::new(port).await;
    let sending = bench(port);
    let (beats, receiver) = watch::channel(None);
    let (section, notes) = (sending.section.clone(), sending.notes.clone());
    let _task = actix_rt::spawn(transmit(Outbox { section, beats: receiver, notes }));
    for (generation, dialect) in [(1, Dialect::Sealed), (2, Dialect::Classic)] {
        let message = full("n2", generation, 400_000);
        let frame = frame("n2", SECRET, dialect, &message);
        let fragments = split(frame.strip_suffix(b"\0").unwrap(), "one").unwrap().len();
        assert!(fragments > 200, "{fragments}");
        // Kept, or the driver ends.
        beats.send_replace(Some(Arc::new(Beat::of(&frame, &[]))));
        let heard = tokio::time::timeout(PATIENCE, heard(&mut receiving.bench)).await.unwrap();
        assert_eq!(heard, (node("n2"), message["labels"]["long"].clone()));
    }
    // What is too long for any receiver is told, and not sent.
    let mut sending = sending;
    let mut long = vec![b'x'; 1_000_001];
    long.push(0);
    beats.send_replace(Some(Arc::new(Beat::of(&long, &[]))));
    let is_alert = |note: &Note| matches!(note, Note::Alert { about, .. } if about == "length");
    sending.note(|note| is_alert(note) && matches!(note, Note::Alert { alert: Some(_), .. })).await;
}

#[actix::test]
async fn a_lost_fragment_loses_its_message_only_and_order_does_not_matter() {
    let mut receiving = Receiving::new(free_port()).await;
    let datagrams = |from: &str, generation| {
        let message = full(from, generation, 20_000);
        let frame = frame(from, SECRET, Dialect::Sealed, &message);
        let id = format!("{from} {generation}");
        (message["labels"]["long"].clone(), split(frame.strip_suffix(b"\0").unwrap(), &id).unwrap())
    };
    // One fragment of each is lost, over more messages than are kept.
    for generation in 1..=110 {
        let (_, mut lost) = datagrams("n2", generation);
        lost.truncate(2);
        send(&receiving.bench, lost).await;
    }
    let ((second, mut n2), (third, n3)) = (datagrams("n2", 200), datagrams("n3", 1));
    n2.reverse();
    // Two senders at once, as their fragments meet in the socket.
    let (bench, other) = (&receiving.bench, &receiving.bench);
    tokio::join!(send(bench, n2), send(other, n3));
    let mut all = vec![heard(&mut receiving.bench).await, heard(&mut receiving.bench).await];
    all.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(all, [(node("n2"), second), (node("n3"), third)]);
}
