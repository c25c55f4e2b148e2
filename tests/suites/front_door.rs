//! The front door, and whoever tries to break it: every case ends, takes nobody down, and others are answered meanwhile.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PREFACE,
    PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, farewell, frame,
};
use harness::{Http, Node, read_until, wait_for};
use serde_json::json;

/// `GET /whoami`, as a block of headers.
const WHOAMI: &[u8] = b"\x82\x86\x44\x07/whoami";

/// A connection that has said hello.
fn opened(http: &Http) -> UnixStream {
    let mut stream = http.connect();
    stream.write_all(PREFACE).expect("sent");
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).expect("sent");
    stream
}

/// Whether the node answers others, at once.
fn assert_answered(http: &Http) {
    let begin = Instant::now();
    assert_eq!(http.get("/whoami").status, 200);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// Sends all of it, or as much as is taken, and reads until the node closes.
fn ended(http: &Http, bytes: &[u8]) -> Vec<u8> {
    let mut stream = opened(http);
    let mut writer = stream.try_clone().expect("a clone");
    let bytes = bytes.to_vec();
    let sending = std::thread::spawn(move || _ = writer.write_all(&bytes));
    let begin = Instant::now();
    let answer = read_bytes(&mut stream);
    assert!(begin.elapsed() < Duration::from_secs(24), "it was not closed");
    drop(stream);
    sending.join().expect("sent");
    answer
}

fn read_bytes(stream: &mut UnixStream) -> Vec<u8> {
    use std::io::Read as _;
    stream.set_read_timeout(Some(Duration::from_secs(25))).expect("a timeout");
    let mut bytes = vec![];
    // Reset or closed: both are an end.
    _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn floods_are_told_to_calm_down_and_closed() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let open = frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x44\x04/key");
    let floods: [(&str, Vec<u8>, Vec<u8>); 6] = [
        ("ping", vec![], frame(PING, 0, 0, &[0; 8])),
        ("settings", vec![], frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("priority", vec![], frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 16])),
        ("window", vec![], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("empty data", open, frame(DATA, 0, 1, &[])),
        ("continuation", frame(HEADERS, 0, 1, WHOAMI), frame(CONTINUATION, 0, 1, &[])),
    ];
    for (name, first, again) in floods {
        let answer = ended(&http, &[first, again.repeat(10_000)].concat());
        assert_eq!(farewell(&answer), Some(ENHANCE_YOUR_CALM), "{name}");
        assert_answered(&http);
    }
}

#[test]
fn rapid_resets_end_the_connection_that_sends_them() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let resets: Vec<u8> = (0..100_000_u32)
        .flat_map(|at| {
            let id = 2 * at + 1;
            let open = frame(HEADERS, END_HEADERS | END_STREAM, id, WHOAMI);
            [open, frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
        })
        .collect();
    assert_eq!(farewell(&ended(&http, &resets)), Some(ENHANCE_YOUR_CALM));
    assert_answered(&http);
}

#[test]
fn frames_that_are_none_end_their_connection_only() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let pid = node.pid();
    let garbage: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut cases = vec![garbage];
    for kind in 0..=12 {
        for (flags, stream) in [(0xff, 0xffff_ffff_u32), (0, 0), (0xff, 2)] {
            cases.push(frame(kind, flags, stream, &[]));
            cases.push(frame(kind, flags, stream, &[0xff; 16_384]));
            // Only the head of the largest.
            cases.push([&[0xff, 0xff, 0xff, kind, flags][..], &stream.to_be_bytes()].concat());
        }
    }
    let header = |flags, id, block: &[u8]| frame(HEADERS, flags | END_HEADERS, id, block);
    cases.push([header(END_STREAM, 5, WHOAMI), header(END_STREAM, 3, WHOAMI)].concat());
    cases.push([header(END_STREAM, 1, WHOAMI), frame(DATA, END_STREAM, 1, b"{}")].concat());
    // A dynamic table larger than the setting; an index that is not there; a string without end.
    cases.push(header(END_STREAM, 1, b"\x3f\xe1\xff\xff\x7f"));
    cases.push(header(END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff"));
    cases.push(header(END_STREAM, 1, b"\x82\x86\x44\x7f\xff\xff\xff\xff\x0f"));
    cases.push(
        [
            header(0, 1, b"\x83\x86\x44\x04/key"),
            frame(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
        ]
        .concat(),
    );
    cases.push(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]));
    for case in cases {
        let mut stream = opened(&http);
        _ = stream.write_all(&case);
        _ = stream.shutdown(std::net::Shutdown::Write);
        _ = read_bytes(&mut stream);
    }
    assert_answered(&http);
    assert_eq!(node.pid(), pid);
    assert_eq!(node.status()["http"]["restarts"], 0);
}

#[test]
fn bombs_of_headers_are_refused() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    // A field of 4,000 bytes that enters the table, and 4,000 references to it.
    let field = [b"\x40\x01a\x7f\xa1\x1e".as_slice(), &[b'x'; 4_000]].concat();
    let bomb = [WHOAMI, &field, &[0xbe; 4_000]].concat();
    let answer = ended_or_answered(&http, &frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
    assert!(!String::from_utf8_lossy(&answer).contains("raw_grant"), "it was not refused");
    let many: Vec<u8> =
        (0..10_000).flat_map(|_| frame(CONTINUATION, 0, 1, &[0x40, 1, b'a', 1, b'b'])).collect();
    _ = ended(&http, &[frame(HEADERS, 0, 1, WHOAMI), many].concat());
    assert_answered(&http);
}

/// Sends it, and reads what comes until the stream ends or a moment passes.
fn ended_or_answered(http: &Http, bytes: &[u8]) -> Vec<u8> {
    let mut stream = opened(http);
    stream.write_all(bytes).expect("sent");
    // The answer to this comes after the one before.
    _ = stream.write_all(&frame(PING, 0, 0, &[7; 8]));
    read_until(&mut stream, "\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}\u{7}").into_bytes()
}

#[test]
fn who_says_nothing_is_closed_while_others_are_answered() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let silent: Vec<(&str, &[u8])> = vec![
        ("nothing", b""),
        ("half a preface", &PREFACE[..10]),
        ("half a head", b"GET /whoami HTTP/1.1\r\nA: b"),
        ("a body that does not come", b"POST /key HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"),
    ];
    let last = silent.len() - 1;
    let mut streams: Vec<UnixStream> = silent
        .iter()
        .map(|(_, bytes)| {
            let mut stream = http.connect();
            stream.write_all(bytes).expect("sent");
            stream
        })
        .collect();
    assert_answered(&http);
    // Ten seconds for a head. A body has thirty.
    for (stream, (name, _)) in streams[..last].iter_mut().zip(&silent) {
        let answer = read_until(stream, "");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408 "), "{name}: {answer}");
    }
    assert_answered(&http);
}

#[test]
fn what_could_be_understood_in_two_ways_is_answered_400_and_closed() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let second = "GET /daemon_status HTTP/1.1\r\n\r\n";
    for head in [
        "POST /key HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "POST /key HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "POST /key HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
        "POST /key HTTP/1.1\r\nContent-Length: -2\r\n",
        "POST /key HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n",
        "POST /key HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n",
        "GET http://n1/whoami HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET /whoami HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET /whoami HTTP/1.1\r\nA: b\r\n c\r\n",
        "GET /whoami HTTP/1.1\r\nA: b\rc\r\n",
        "GET /whoami HTTP/1.1\r\nA: \0\r\n",
    ] {
        let answer = http.exchange(format!("{head}\r\n{second}").as_bytes(), "");
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{head:?}");
    }
    let chunk = "POST /key HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n12345678901234567\r\n";
    assert!(http.exchange(chunk.as_bytes(), "").starts_with("HTTP/1.1 400 "));
    for (head, status) in [
        (format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(10_000)), "414"),
        (format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(20_000)), "431"),
        (
            format!(
                "POST /key HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}",
                17 << 20,
                "x".repeat(17 << 20)
            ),
            "413",
        ),
    ] {
        let answer = http.exchange(head.as_bytes(), "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
    // No other protocol is offered, and the request is answered.
    for upgrade in ["h2c", "websocket"] {
        let ask = format!(
            "GET /whoami HTTP/1.1\r\nConnection: close, Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
        );
        assert!(http.exchange(ask.as_bytes(), "").starts_with("HTTP/1.1 200 "), "{upgrade}");
    }
}

#[test]
fn paths_bodies_and_nodes_of_any_kind_are_answered() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let long = "/x".repeat(3_000);
    let many_keys = format!("/daemon_status?{}", "a=1&".repeat(1_500));
    for path in [
        "/..",
        "/../../etc/shadow",
        "/%00",
        "/%2f%2f",
        "//",
        "/object/%2e%2e/logs",
        "/object/../logs",
        "/object/-x/logs",
        "/node//logs",
        "/instance///logs",
        long.as_str(),
        many_keys.as_str(),
    ] {
        let answer = http.get(path);
        assert!((400..=503).contains(&answer.status), "{path}: {}", answer.status);
        assert_eq!(answer.json()["status"], answer.status, "{path}");
    }
    let deep = "[".repeat(100_000);
    for (body, status) in [
        (deep.as_str(), 400),
        ("{\"selector\": 1e999}", 400),
        ("{\"selector\": \"\\ud800\"}", 200),
        ("{\"selector\": \"a\", \"selector\": \"b\"}", 200),
        ("\0", 400),
    ] {
        let answer = http.ask("GET", "/daemon_status", &[], Some(body.as_bytes()));
        let is_refused = answer.status == status || status == 400 && answer.status == 413;
        assert!(is_refused, "{}: {}", &body[..body.len().min(40)], answer.status);
    }
    for node in ["**********", "*,".repeat(2_000).as_str(), "!", "../..", "é"] {
        let answer = http.ask("GET", "/whoami", &[("o-node", node)], None);
        assert!([200, 400].contains(&answer.status), "{node:.20}: {}", answer.status);
    }
    assert_answered(&http);
}

#[test]
fn subscriptions_are_bounded_and_a_reset_one_makes_room() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let mut stream = opened(&http);
    let events = |id: u32| frame(HEADERS, END_HEADERS | END_STREAM, id, b"\x82\x86\x44\x07/events");
    // Pushes refused: lines, of which none is read.
    stream.write_all(&frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 0])).expect("sent");
    for at in 0..17 {
        stream.write_all(&events(2 * at + 1)).expect("sent");
    }
    let answer = read_until(&mut stream, "too many subscriptions on this connection");
    assert!(answer.contains("too many subscriptions on this connection"), "{answer}");
    drop(stream);
    assert_answered(&http);
    let sessions = || node.status()["listener"]["stats"]["sessions"]["alive_count"].clone();
    wait_for("the subscriptions are over", || sessions().as_u64().is_some_and(|count| count < 5));
}

#[test]
fn who_never_reads_holds_up_nobody() {
    let node = Node::started("n1");
    let http = Http::of(&node);
    let mut held = vec![];
    for _ in 0..50 {
        let mut stream = opened(&http);
        stream.write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).expect("sent");
        let status = b"\x82\x86\x44\x0e/daemon_status";
        for at in 0..20 {
            let ask = frame(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, status);
            stream.write_all(&ask).expect("sent");
        }
        held.push(stream);
    }
    assert_answered(&http);
    let body = json!({"selector": "**"}).to_string();
    assert_eq!(http.ask("GET", "/object_selector", &[], Some(body.as_bytes())).status, 200);
}
