//! The TLS listener, and whoever tries to break it: every case ends, takes nobody down, and others are answered meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use harness::frames::{
    CONTINUATION, ENHANCE_YOUR_CALM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, farewell, frame,
};
use harness::{Http, Node, Port, TlsStream, basic, skip, tls_stream, wait_for};

/// `GET /whoami`, as a block of headers.
const WHOAMI: &[u8] = b"\x82\x87\x44\x07/whoami";

fn node() -> (Node, Port) {
    // Those who wait for others to connect are not idle for too long.
    let (mut node, port) = Node::for_users("n1", "idle_timeout = 10m\n");
    node.start();
    node.om_ok(&["cluster", "tls"]);
    wait_for("it listens", || Http::tls(port.number(), None).keep().is_some());
    (node, port)
}

fn connect(port: &Port, protocol: &[u8]) -> TlsStream {
    tls_stream(Ipv4Addr::LOCALHOST, port.number(), &[protocol]).expect("a connection")
}

/// Whether the node answers others, soon.
fn assert_answered(port: &Port) {
    let begin = Instant::now();
    assert_eq!(Http::tls(port.number(), None).get("/whoami").status, 200);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// What comes until the node closes: reset or closed, both are an end.
fn rest_of(stream: &mut impl std::io::Read) -> Vec<u8> {
    let (mut bytes, mut piece) = (vec![], [0; 4_096]);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..count]);
    }
    bytes
}

/// Reads until this came.
fn read_until(stream: &mut impl std::io::Read, wanted: &[u8]) {
    let (mut bytes, mut piece) = (vec![], [0; 4_096]);
    while !bytes.windows(wanted.len()).any(|window| window == wanted) {
        let count = stream.read(&mut piece).unwrap_or_default();
        assert_ne!(count, 0, "no more than {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
    }
}

/// A greeting of an old version of TLS: `version` is that of the client, `compression` what it compresses with.
fn greeting(version: [u8; 2], compression: &[u8]) -> Vec<u8> {
    let ciphers = [0xc0, 0x2f, 0xc0, 0x13, 0x00, 0x2f];
    let count = u8::try_from(compression.len()).expect("few");
    let body = [&version[..], &[7; 32], &[0], &[0, 6], &ciphers, &[count], compression].concat();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    let message = [&[1], &length[1..], &body].concat();
    let length = u16::try_from(message.len()).expect("short").to_be_bytes();
    [&[22, 3, 1], &length[..], &message].concat()
}

fn refusals(node: &Node, reason: &str) -> u64 {
    series(node, &format!("opensvc_connections_refused_total{{reason=\"{reason}\"}}"))
}

/// What a series has come to.
fn series(node: &Node, name: &str) -> u64 {
    let text = String::from_utf8(Http::of(node).get("/metrics").body).expect("a text");
    let value = text.lines().find_map(|it| it.strip_prefix(name)).expect("a series");
    value.trim().parse().expect("a number")
}

#[test]
fn what_is_no_tls_of_today_is_refused_and_counted() {
    let (node, port) = node();
    // An alert is the only answer: it is fatal.
    let cases: [(&str, Vec<u8>); 4] = [
        ("SSL 3.0", greeting([3, 0], &[0])),
        ("TLS 1.0", greeting([3, 1], &[0])),
        ("TLS 1.1", greeting([3, 2], &[0])),
        ("compression", greeting([3, 3], &[1])),
    ];
    for (name, bytes) in cases {
        let mut stream = TcpStream::connect(("127.0.0.1", port.number())).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(&bytes).expect("sent");
        let answer = rest_of(&mut stream);
        assert_eq!((answer.first(), answer.get(5)), (Some(&21), Some(&2)), "{name}: {answer:?}");
    }
    for plain in [b"GET /whoami HTTP/1.1\r\n\r\n".as_slice(), PREFACE, &[0x80, 46, 1, 0, 2]] {
        let mut stream = TcpStream::connect(("127.0.0.1", port.number())).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        stream.write_all(plain).expect("sent");
        assert!(rest_of(&mut stream).is_empty(), "something is said to who speaks no TLS");
    }
    wait_for("both are counted", || refusals(&node, "tls") >= 4 && refusals(&node, "preface") >= 3);
    assert_answered(&port);
}

#[test]
fn floods_over_tls_are_told_to_calm_down_and_closed() {
    let (node, port) = node();
    let resets: Vec<u8> = (0..20_000_u32)
        .flat_map(|at| {
            let id = 2 * at + 1;
            [frame(HEADERS, 5, id, WHOAMI), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
        })
        .collect();
    let floods = [
        ("ping", frame(PING, 0, 0, &[0; 8]).repeat(10_000)),
        ("settings", frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(10_000)),
        (
            "continuation",
            [frame(HEADERS, 0, 1, WHOAMI), frame(CONTINUATION, 0, 1, &[]).repeat(10_000)].concat(),
        ),
        ("rapid reset", resets),
    ];
    for (name, bytes) in floods {
        let mut stream = connect(&port, b"h2");
        // As much as it takes.
        _ = stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &bytes].concat());
        _ = stream.flush();
        let code = farewell(&rest_of(&mut stream));
        // Unread bytes may reset the connection before the last word is read.
        assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{name}: {code:?}");
        assert_answered(&port);
    }
    wait_for("they are counted", || refusals(&node, "flood") >= 4);
    // A field of 4,000 bytes that enters the table, and 4,000 references to it.
    let field = [b"\x40\x01a\x7f\xa1\x1e".as_slice(), &[b'x'; 4_000]].concat();
    let bomb = [WHOAMI, &field, &[0xbe; 4_000]].concat();
    let mut stream = connect(&port, b"h2");
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 5, 1, &bomb)].concat();
    _ = stream.write_all(&bytes);
    _ = stream.write_all(&frame(PING, 0, 0, &[7; 8]));
    let (mut answer, mut piece) = (vec![], [0; 4_096]);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..count]);
        if answer.windows(8).any(|it| it == [7; 8]) {
            break;
        }
    }
    assert!(!String::from_utf8_lossy(&answer).contains("raw_grant"), "it was not refused");
    assert_answered(&port);
}

#[test]
fn requests_that_could_be_two_and_other_protocols_are_refused() {
    let (_node, port) = node();
    let ask = |head: &str| {
        let mut stream = connect(&port, b"http/1.1");
        _ = stream.write_all(head.as_bytes());
        _ = stream.flush();
        String::from_utf8_lossy(&rest_of(&mut stream)).into_owned()
    };
    let second = "GET /daemon_status HTTP/1.1\r\n\r\n";
    for head in [
        "POST /key HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "POST /key HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
        "POST /key HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n",
        "GET https://n1/whoami HTTP/1.1\r\n",
        "CONNECT n1:443 HTTP/1.1\r\n",
        "GET /whoami HTTP/1.1\r\nA: b\r\n c\r\n",
        "GET /whoami HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
    ] {
        let answer = ask(&format!("{head}\r\n{second}"));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer}");
    }
    let upgrade = "GET /events HTTP/1.1\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let answer = ask(upgrade);
    assert!(answer.starts_with("HTTP/1.1 401 "), "no other protocol is spoken: {answer}");
    for path in [
        "/ui/../../etc/shadow",
        "/ui/%2e%2e/%2e%2e/etc/shadow",
        "/ui//etc/shadow",
        "/ui/..%2fapp.js",
    ] {
        let answer =
            ask(&format!("GET {path} HTTP/1.1\r\nConnection: close\r\nAccept: */*\r\n\r\n"));
        assert!(
            !answer.contains("root:") && !answer.starts_with("HTTP/1.1 200 "),
            "{path}: {answer}"
        );
    }
    assert_answered(&port);
}

#[test]
fn who_is_slow_over_tls_is_closed_while_others_are_answered() {
    let (node, port) = node();
    // A greeting that does not come, half a one, and a head of a byte at a time.
    let mut silent = TcpStream::connect(("127.0.0.1", port.number())).expect("a connection");
    let mut half = TcpStream::connect(("127.0.0.1", port.number())).expect("a connection");
    half.write_all(&greeting([3, 3], &[0])[..20]).expect("sent");
    let mut slow = connect(&port, b"http/1.1");
    let writing = std::thread::spawn(move || {
        let begin = Instant::now();
        for byte in b"GET /whoami HTTP/1.1\r\nA: bcdefghijklmnopqrstuvwxyz".iter().cycle() {
            // What is closed is told when the next byte is written, or the one after.
            if slow.write_all(&[*byte]).and_then(|()| slow.flush()).is_err() {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(25), "it goes on");
            std::thread::sleep(Duration::from_millis(250));
        }
        begin.elapsed()
    });
    assert_answered(&port);
    for stream in [&mut silent, &mut half] {
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout");
        let mut byte = [0];
        assert!(matches!(stream.read(&mut byte), Ok(0) | Err(_)), "it was answered");
    }
    let took = writing.join().expect("it ended");
    assert!(took >= Duration::from_secs(5), "{took:?}");
    wait_for("they are counted", || refusals(&node, "timeout") >= 3);
    // Who asks for much and reads nothing holds up nobody.
    let mut held = vec![];
    for _ in 0..50 {
        let mut stream = connect(&port, b"h2");
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
        for at in 0..20 {
            bytes.extend(frame(HEADERS, 5, 2 * at + 1, WHOAMI));
        }
        stream.write_all(&bytes).expect("sent");
        held.push(stream);
    }
    assert_answered(&port);
}

/// Idle connections of users.
const MANY: usize = 10_000;

#[test]
fn ten_thousand_idle_users_cost_little_and_take_nothing_from_others() {
    let (node, port) = node();
    node.add_user("guest", "guest");
    let header = basic("guest", "pw-guest");
    wait_for("its password is known", || {
        let reply = Http::tls(port.number(), None).ask(
            "GET",
            "/whoami",
            &[("authorization", &header)],
            None,
        );
        reply.json()["name"] == "guest"
    });
    let length = u8::try_from(header.len()).expect("short");
    let headers = [WHOAMI, b"\x0f\x08", &[length], header.as_bytes()].concat();
    let greeting = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 5, 1, &headers)].concat();
    let before = node.resident_kib();
    let mut held = vec![];
    for at in 0..MANY {
        // From many addresses: each may have its share only.
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(1 + at / 500).expect("few"));
        match tls_stream(from, port.number(), &[b"h2"]) {
            Some(mut stream) => {
                stream.write_all(&greeting).expect("sent");
                // Told so, it is a user; who proved nothing is one of 64 from an address.
                read_until(&mut stream, b"\"name\": \"guest\"");
                held.push(stream);
            }
            None => {
                skip(&format!("{at} connections: this machine allows no more descriptors"));
                break;
            }
        }
    }
    wait_for("all are there", || {
        series(&node, "opensvc_connections{transport=\"h2_tls\"}") >= held.len() as u64
    });
    assert_answered(&port);
    let each = node.resident_kib().saturating_sub(before) / held.len() as u64;
    println!("{} idle connections, {each} KiB each", held.len());
    assert!(each < 80, "{each} KiB for each of {}", held.len());
}
