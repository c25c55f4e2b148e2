use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

use model::NodeName;
use tokio::sync::watch;
use wire::Dialect;

use super::*;

use crate::beat::Beat;
use crate::testing::{Bench, PATIENCE, SECRET, Told, frame, node};

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

/// A socket that sends to the group from an address of the loopback.
fn from_address(bench: &Bench, last: u8) -> UdpSocket {
    let group = Group::of(&bench.section).unwrap();
    let socket = group.socket().unwrap();
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
    socket.connect(&SocketAddr::from(group.address).into()).unwrap();
    UdpSocket::from_std(socket.into()).unwrap()
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

#[actix::test]
async fn a_flood_to_the_group_costs_no_member_a_beat_though_nothing_tells_its_address() {
    let mut receiving = Receiving::new(free_port()).await;
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    // 20,000 in a second, from one address: half of them whole messages that name n2, half begin a long one.
    let flooding = from_address(&receiving.bench, 77).into_std().unwrap();
    let wrong =
        frame("n2", "81ec81d6e68c11f1ae3f02fcffffffff", Dialect::Sealed, &full("n2", 1, 100));
    let whole = split(wrong.strip_suffix(b"\0").unwrap(), "x").unwrap().remove(0);
    let end = is_over.clone();
    let flood = std::thread::spawn(move || {
        let (begin, mut sent) = (Instant::now(), 0_u32);
        while !end.load(std::sync::atomic::Ordering::Relaxed) {
            while f64::from(sent) < begin.elapsed().as_secs_f64() * 20_000.0 {
                let begun = format!("{{\"id\": \"{sent}\", \"i\": 1, \"n\": 900, \"c\": \"x\"}}\0");
                let datagram = if sent.is_multiple_of(2) { begun.as_bytes() } else { &whole };
                _ = flooding.send(datagram);
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        sent
    });
    // The burst of strangers is used up.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let member = from_address(&receiving.bench, 12);
    let mut missed = 0;
    for generation in 1..=30 {
        let message = full("n2", generation, 100);
        let frame = frame("n2", SECRET, Dialect::Sealed, &message);
        for datagram in split(frame.strip_suffix(b"\0").unwrap(), "one").unwrap() {
            member.send(&datagram).await.unwrap();
        }
        let told = tokio::time::timeout(Duration::from_secs(2), heard(&mut receiving.bench)).await;
        missed += u32::from(told != Ok((node("n2"), message["labels"]["long"].clone())));
    }
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    let sent = flood.join().unwrap();
    assert!(sent > 20_000, "{sent}");
    // The socket itself may overflow on a busy machine. One budget for all strangers lost nine of ten.
    assert!(missed <= 10, "{missed} of 30 beats were lost");
}

#[actix::test]
async fn two_containers_of_one_name_on_one_kernel_are_told_and_a_recording_is_not() {
    let mut bench = bench(free_port());
    let inbox = bench.inbox();
    let take = async |frame: &[u8], origin: Origin| {
        inbox.take(frame.strip_suffix(b"\0").unwrap().to_vec(), origin).await
    };
    let from = |last: u8| Origin::Datagram([10, 0, 0, last].into());
    let mut generation = 0;
    let mut message = move || {
        generation += 1;
        full("n2", generation, 100)
    };
    let is_alert =
        |note: &Note| matches!(note, Note::Alert { about, .. } if about == "namesake n2");
    for dialect in [Dialect::Sealed, Dialect::Classic] {
        for _ in 0..10 {
            let frame = frame("n2", SECRET, dialect, &message());
            take(&frame, from(2)).await;
            // Sent again by whoever heard it.
            take(&frame, from(66)).await;
            if dialect == Dialect::Sealed {
                take(&frame, Origin::Connection([10, 0, 0, 67].into())).await;
            }
        }
    }
    while let Ok(note) = bench.noted.try_recv() {
        assert!(!is_alert(&note), "{note:?}");
    }
    for last in [2, 3].into_iter().cycle().take(10) {
        take(&frame("n2", SECRET, Dialect::Sealed, &message()), from(last)).await;
    }
    let Note::Alert { alert: Some(alert), .. } = bench.note(is_alert).await else { panic!() };
    let text = format!("{alert:?}");
    assert!(text.contains("two machines call themselves so, 10.0.0.2 and 10.0.0.3"), "{text}");
}
