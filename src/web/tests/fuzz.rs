//! Whatever a stranger writes as path, query, header or body, is told what it is, without a panic.
//!
//! Seeded: what fails fails again. Pieces of what is understood are put together at random, so that cases come far.

use std::time::Duration;

use serde_json::Map;
use web::credentials::Credentials;
use web::deployed::{Rest, Target};
use web::frames::{Frames, PREFACE};
use web::grants::Grants;
use web::http1::{self, Length};
use web::rest::{self, Page};
use web::{accept, page, query, site};

/// Cases of each kind.
const CASES: usize = 4_000;

/// Numbers that look random: xorshift.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % most.max(1) as u64).expect("it is below")
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// A text of pieces, some of them bytes that nobody expects.
    fn text(&mut self, pieces: &[&str], most: usize) -> String {
        let mut text = String::new();
        for _ in 0..self.below(most) {
            match self.below(8) {
                0 => text.extend(char::from_u32(u32::try_from(self.below(0x300)).expect("small"))),
                1 => text.push_str(&self.one(pieces).repeat(1 + self.below(40))),
                _ => text.push_str(self.one(pieces)),
            }
        }
        text
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.roll().to_le_bytes()[0]).collect()
    }
}

const PATHS: &[&str] = &[
    "/",
    "//",
    "..",
    ".",
    "%2e%2e",
    "%2f",
    "%00",
    "%",
    "%zz",
    "+",
    "api",
    "node",
    "name",
    "object",
    "path",
    "instance",
    "logs",
    "backlogs",
    "config",
    "file",
    "daemon_status",
    "key",
    "metrics",
    "cluster",
    "status",
    "test",
    "svc",
    "web",
    "root",
    "n1",
    "_",
    "localhost",
    "{name}",
    "action",
    "freeze",
    "push/asset",
    "ui",
    "index.html",
    "\u{e9}",
    " ",
    "-x",
    "\\",
    "*",
    "log",
    "follow",
];

const QUERIES: &[&str] = &[
    "&",
    "=",
    "==",
    "&&",
    "+",
    "%",
    "%26",
    "%3d",
    "%ff",
    "%C3%A9",
    "path",
    "selector",
    "limit",
    "after",
    "node",
    "full",
    "true",
    "false",
    "last_event_id",
    "dry_run",
    "follow",
    "counters",
    "name",
    "backlog",
    "10k",
    "-1",
    "set",
    "unset",
    "kw",
    "a",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "**",
    "\u{0}",
];

const BODIES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\"path\"",
    "\"options\"",
    "\"a\"",
    "null",
    "true",
    "1e999",
    "-0",
    "\\ud800",
    "\\u0000",
    "0.1",
    " ",
    "\n",
    "\"\"",
    "{}",
    "[]",
    "\"test/svc/web\"",
    "9999999999999999999",
];

const HEADERS: &[&str] = &[
    "GET",
    "POST",
    " ",
    "/",
    "/whoami",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    ":",
    "Host",
    "a",
    "content-length",
    "transfer-encoding",
    "chunked",
    "0",
    "5",
    "-1",
    "18446744073709551616",
    "expect",
    "100-continue",
    "connection",
    "close",
    "upgrade",
    "websocket",
    "\t",
    "\u{0}",
    "x,y",
    ";",
    "q=0",
    "text/event-stream",
    "*/*",
    "authorization",
    "Basic",
    "Bearer",
    "YTpi",
    "e30.e30.",
    "=",
    "origin",
    "https://",
];

/// Runs a kind of case many times. The seed of a case tells it from all others.
fn many(kind: u64, case: impl Fn(&mut Dice)) {
    for number in 0..CASES {
        let seed = kind << 32 | (number as u64 + 1);
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
            (0..8).for_each(|_| _ = dice.roll());
            case(&mut dice);
        }));
        assert!(told.is_ok(), "the case of seed {seed:#x} panicked");
    }
}

#[test]
fn paths_and_queries_and_bodies_of_any_kind_are_answered() {
    many(1, |dice| {
        let path = dice.text(PATHS, 24);
        let method = dice.one(&["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "", "get"]);
        let (asked, body) = (dice.text(QUERIES, 40), dice.text(BODIES, 40));
        let nodes: Vec<String> = (0..dice.below(4)).map(|_| dice.text(PATHS, 4)).collect();
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        if let Ok(target) = Target::find(method, &path) {
            let rest = Rest { query: Some(&asked), nodes: &nodes, is_multiplexed: false };
            _ = target.request(&rest, body.as_bytes(), 256 << 10);
        }
        _ = page::asked(&path, &[]);
    });
}

#[test]
fn paths_of_rest_of_any_kind_are_answered() {
    many(2, |dice| {
        // Half of them are paths that there are, with anything in their places.
        let entry = rest::ENTRIES[dice.below(rest::ENTRIES.len())];
        let is_known = dice.below(2) == 0;
        let path = if is_known { filled(entry.path, dice) } else { dice.text(PATHS, 24) };
        let (asked, body) = (dice.text(QUERIES, 40), dice.text(BODIES, 40));
        let Ok(mut found) = rest::find(entry.method, &path) else { return };
        found.refine(Some(&asked));
        _ = found.request(Some(&asked), body.as_bytes(), 256 << 10);
        let reply = serde_json::from_str(&body).unwrap_or_default();
        let shaped = found.shaped(reply, &Page::of(Some(&asked)));
        assert!((200..600).contains(&shaped.status), "{}", shaped.status);
    });
}

/// A path of the table, with anything in the places of its variables.
fn filled(pattern: &str, dice: &mut Dice) -> String {
    let part = |part: &str, dice: &mut Dice| match part.starts_with('{') {
        true => dice.text(PATHS, 4),
        false => part.to_owned(),
    };
    let parts: Vec<String> = pattern.split('/').map(|it| part(it, dice)).collect();
    parts.join("/")
}

#[test]
fn a_query_says_what_its_codes_spell_or_is_refused() {
    many(3, |dice| {
        let text = dice.text(QUERIES, 600);
        _ = query::overlay(&mut Map::new(), &text);
        if let Ok(pairs) = query::pairs(&text) {
            assert!(pairs.len() <= 256);
            let length: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
            assert!(length <= text.len(), "nothing grows");
        }
        for is_query in [true, false] {
            _ = query::decode(&text, is_query);
        }
    });
}

#[test]
fn a_head_is_read_the_same_in_pieces_and_as_a_whole() {
    many(4, |dice| {
        let text = dice.text(HEADERS, 60);
        let bytes = text.as_bytes();
        let whole = http1::read_head(bytes);
        let Ok(Some((head, length))) = whole else { return };
        assert!(length <= bytes.len());
        // Bytes that follow change nothing of what was read.
        let more = [bytes, b"GET / HTTP/1.1\r\n\r\n"].concat();
        let again = http1::read_head(&more).expect("it was good").expect("it was whole");
        assert_eq!(
            (again.1, &again.0.target, &again.0.fields),
            (length, &head.target, &head.fields)
        );
        for byte in head.target.bytes() {
            assert!(byte > b' ' && byte != 0x7f, "{:?}", head.target);
        }
    });
}

#[test]
fn headers_of_any_kind_prove_nothing_and_ask_for_nothing() {
    many(5, |dice| {
        let values: Vec<String> = (0..3).map(|_| dice.text(HEADERS, 12)).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        _ = Credentials::read(&values[..dice.below(2)], &values[..dice.below(3)]);
        _ = accept::takes(&values, "text/event-stream");
        _ = site::is_foreign(dice.one(HEADERS), &values, &values, values.first().copied());
        _ = page::is_known(&values, "\"a\"");
        let (grants, _) = Grants::parse(
            &dice.text(&["root", "guest", "admin", ":", ",", " ", "*", "test", "?", "["], 30),
        );
        assert!(!grants.raw().split_whitespace().all(|word| word != "root") || !grants.is_root());
    });
}

#[test]
fn bodies_in_pieces_end_where_they_end() {
    many(6, |dice| {
        let length = match dice.below(3) {
            0 => Length::Chunked,
            _ => Length::Bytes(dice.below(200) as u64),
        };
        let mut body = http1::Body::new(length);
        let (mut bytes, mut out) = (
            dice.text(&["5", "\r\n", "0", "hello", "a", ";x=y", "ffffffff"], 60).into_bytes(),
            vec![],
        );
        while !body.is_done() && !bytes.is_empty() {
            let piece = &bytes[..1 + dice.below(bytes.len())];
            let Ok(taken) = body.read(piece, &mut out) else { return };
            if taken == 0 {
                return;
            }
            bytes.drain(..taken);
        }
        assert!(out.len() <= 4_096);
    });
}

#[test]
fn frames_of_any_kind_are_passed_on_or_are_a_flood() {
    many(7, |dice| {
        let mut frames = Frames::new(&["/var/lib/opensvc/lsnr/h2.sock".to_owned()]);
        let mut bytes = PREFACE.to_vec();
        for _ in 0..dice.below(40) {
            let payload = dice.bytes(64);
            let length = if dice.below(4) == 0 { dice.below(1 << 24) } else { payload.len() };
            let length = u32::try_from(length).expect("24 bits").to_be_bytes();
            let kind = u8::try_from(dice.below(12)).expect("small");
            bytes.extend_from_slice(&length[1..]);
            bytes.extend_from_slice(&[kind, dice.roll().to_le_bytes()[0]]);
            bytes.extend_from_slice(&dice.roll().to_le_bytes()[..4]);
            bytes.extend_from_slice(&payload);
        }
        let mut out = vec![];
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(1 + dice.below(rest.len()));
            rest = more;
            if frames.read(Duration::from_millis(dice.roll() % 60_000), piece, &mut out).is_err() {
                return;
            }
        }
        assert!(out.len() <= bytes.len(), "nothing is added");
    });
}
