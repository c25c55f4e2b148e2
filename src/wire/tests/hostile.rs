//! What a stranger may send: drawn and damaged from a seed, it never panics and never opens.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{SECRET, Seeded, T, keyring, moment, sender};
use serde_json::{Map, Value, json};
use wire::{Dialect, Form, Framing, Incoming, Prepared, Request, parse_json};

const ROUNDS: u64 = 800;

fn frames(random: &Seeded) -> Vec<Vec<u8>> {
    let own = sender("demo", "n12", SECRET);
    let small = Prepared::new(&json!({"action": "daemon_status", "options": {"selector": "*"}}));
    let large = Prepared::new(&json!((0..500).map(|i| format!("svc{i}")).collect::<Vec<_>>()));
    [Dialect::Classic, Dialect::Sealed]
        .into_iter()
        .flat_map(|dialect| [&small, &large].map(|body| (dialect, body)))
        .map(|(dialect, body)| {
            own.seal(&Form::request(dialect, "n11", moment(T), random), body, random).unwrap()
        })
        .collect()
}

/// Flips bits, cuts, repeats or overwrites.
fn damage(random: &Seeded, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 => _ = bytes.remove(at),
            3 => {
                let end = at + random.below(bytes.len() - at);
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes[at] = random.next() as u8,
        }
    }
}

#[test]
fn a_damaged_sealed_frame_opens_to_what_was_sealed_or_not_at_all() {
    for seed in 0..ROUNDS {
        let random = Seeded::new(seed);
        for frame in &frames(&random)[2..] {
            let original = keyring().open(frame).unwrap();
            let mut damaged = frame.clone();
            damage(&random, &mut damaged);
            // Blanks and unknown fields of the header may change, nothing that means something.
            if let Ok(opened) = keyring().open(&damaged) {
                assert_eq!(opened, original, "seed {seed}");
            }
        }
    }
}

#[test]
fn a_damaged_classic_frame_opens_to_what_was_sent_or_not_at_all_and_is_counted() {
    for seed in 0..ROUNDS {
        let random = Seeded::new(seed);
        for frame in &frames(&random)[..2] {
            let original = keyring().open(frame).unwrap();
            let mut damaged = frame.clone();
            damage(&random, &mut damaged);
            match keyring().open(&damaged) {
                // Nothing authenticates the header: a name may be another one.
                Ok(opened) => assert_eq!(opened.body(), original.body(), "seed {seed}"),
                Err(refusal) => assert!(refusal.is_counted(), "seed {seed}: {refusal}"),
            }
        }
    }
}

#[test]
fn a_header_that_can_be_read_in_two_ways_is_none() {
    let random = Seeded::new(14);
    for frame in frames(&random) {
        let frame = String::from_utf8(frame[..frame.len() - 1].to_vec()).unwrap();
        assert!(keyring().open(frame.as_bytes()).is_ok());
        let fields: Map<String, Value> = parse_json(frame.as_bytes()).unwrap();
        for (name, value) in &fields {
            for value in [value, &json!("x"), &json!(null), &json!([])] {
                let first = format!("{{\"{name}\": {value}, {}", &frame[1..]);
                let last = format!("{}, \"{name}\": {value}}}", &frame[..frame.len() - 1]);
                for twice in [first, last] {
                    assert_eq!(
                        keyring().open(twice.as_bytes()),
                        Err(wire::Refusal::Json),
                        "{twice}"
                    );
                }
            }
        }
        for at in [0, 1, 5, frame.len() - 1, frame.len()] {
            for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
                let mut foreign = frame.clone().into_bytes();
                foreign.splice(at..at, bytes.iter().copied());
                assert_eq!(keyring().open(&foreign), Err(wire::Refusal::Json), "at {at}");
            }
        }
    }
}

#[test]
fn every_single_bit_of_sealed_data_matters() {
    let random = Seeded::new(11);
    let frame = frames(&random)[2].clone();
    let start = frame.windows(9).position(|w| w == b"\"data\": \"").unwrap() + 9;
    for at in start..frame.len() - 3 {
        let mut damaged = frame.clone();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        assert!(keyring().open(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn fields_of_every_wrong_type_are_refused() {
    let random = Seeded::new(12);
    let wrong = [
        json!(null),
        json!(true),
        json!(7),
        json!(-1.5),
        json!([]),
        json!(["a", [{}]]),
        json!({"a": {}}),
    ];
    for frame in frames(&random) {
        let frame: Map<String, Value> = parse_json(&frame[..frame.len() - 1]).unwrap();
        for field in frame.keys() {
            for value in &wrong {
                let mut frame = frame.clone();
                frame.insert(field.clone(), value.clone());
                let refusal = keyring().open(json!(frame).to_string().as_bytes()).unwrap_err();
                assert!(refusal.is_counted(), "{field}: {value}");
            }
            let mut frame = frame.clone();
            frame.remove(field);
            assert!(
                keyring().open(json!(frame).to_string().as_bytes()).is_err(),
                "without {field}"
            );
            frame.insert(field.clone(), "x".repeat(2_000).into());
            assert!(keyring().open(json!(frame).to_string().as_bytes()).is_err(), "long {field}");
        }
    }
}

#[test]
fn deep_json_is_an_error_everywhere() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(13);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 100_000;
        let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for text in [deep.clone(), open.repeat(depth)] {
            assert!(Request::parse(text.as_bytes()).is_err());
            assert!(keyring().open(text.as_bytes()).is_err());
            let field = format!("{{\"clustername\": {text}, \"x\": {text}}}");
            assert!(keyring().open(field.as_bytes()).is_err());
            let request = format!("{{\"action\": \"lock\", \"options\": {{\"name\": {text}}}}}");
            assert!(Request::parse(request.as_bytes()).is_err());
        }
        for form in [Form::Classic, Form::request(Dialect::Sealed, "n11", moment(T), &random)] {
            let body = Prepared::from_json(deep.clone().into_bytes());
            let opened = match (keyring().open(&own.seal(&form, &body, &random).unwrap()), form) {
                (Err(refusal), Form::Classic) => {
                    assert_eq!(refusal, wire::Refusal::NotOpened);
                    continue;
                }
                (opened, _) => opened.unwrap(),
            };
            assert!(Request::parse(opened.body()).is_err());
            assert!(opened.read::<Value>().is_err());
        }
    }
}

#[test]
fn a_request_of_millions_of_values_is_refused_before_they_are_made() {
    let many = format!("{{\"action\": \"events\", \"x\": [{}1]}}", "1,".repeat(1 << 21));
    assert!(Request::parse(many.as_bytes()).is_err());
    let long = json!({"action": "relay_tx", "options": {"msg": ",".repeat(1 << 22)}});
    assert!(Request::parse(long.to_string().as_bytes()).is_ok());
}

/// A value of any shape.
fn draw(random: &Seeded, depth: usize) -> Value {
    match random.below(if depth == 0 { 9 } else { 11 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.next() as i64),
        3 => json!(f64::from_bits(random.next() << 11)),
        4 => json!(-(random.below(100) as i64)),
        5 => json!(
            ["", "ANY", "*", "10k", "-1", "1e400k", "99999999999999999999g", "1w2d", "maybe"]
                [random.below(9)]
        ),
        6 => json!("é\0\n😀%s'\"`$(reboot)".repeat(random.below(3))),
        7 => json!(["daemon_status", "POST", "GET", "../../etc/passwd"][random.below(4)]),
        8 => json!(i64::MIN),
        9 => (0..random.below(4)).map(|_| draw(random, depth - 1)).collect(),
        _ => {
            let names = ["action", "method", "options", "node", "path", "a\0b"];
            let entry = |_| (names[random.below(6)].to_owned(), draw(random, depth - 1));
            Value::Object((0..random.below(4)).map(entry).collect())
        }
    }
}

#[test]
fn requests_of_any_shape_are_read_or_refused() {
    for seed in 0..ROUNDS * 10 {
        let random = Seeded::new(seed);
        let route = &wire::ROUTES[random.below(wire::ROUTES.len())];
        let mut request = json!({"action": route.names[random.below(route.names.len())]});
        let mut options = Map::new();
        for option in route.options {
            if random.below(4) > 0 {
                options.insert(option.name.to_owned(), draw(&random, 2));
            }
        }
        request["options"] = options.into();
        for field in ["method", "node", "multiplexed", "action", "options"] {
            if random.below(8) == 0 {
                request[field] = draw(&random, 3);
            }
        }
        match Request::from_value(request) {
            Ok(request) => {
                let again = Request::from_value(request.to_value()).unwrap();
                assert_eq!(again.node, request.node, "seed {seed}");
                assert_eq!(again.action.to_options(), request.action.to_options(), "seed {seed}");
            }
            Err(error) => {
                assert!(error.to_reply().to_string().len() < 2_000, "seed {seed}: short replies");
            }
        }
    }
}

#[test]
fn recorded_requests_damaged_never_panic() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/conversations.json")).unwrap();
    for (seed, conversation) in vectors["conversations"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|topic| topic.as_array().unwrap())
        .enumerate()
    {
        for round in 0..20 {
            let random = Seeded::new(seed as u64 * 100 + round);
            let mut bytes = conversation["request"].to_string().into_bytes();
            damage(&random, &mut bytes);
            if let Err(error) = Request::parse(&bytes) {
                assert!(error.to_reply().is_object() || error.to_reply().is_null());
            }
        }
    }
}

#[test]
fn bytes_cut_into_reads_of_any_length_make_the_same_sealed_frames() {
    for seed in 0..60 {
        let random = Seeded::new(seed);
        let frames = frames(&random)[2..].to_vec();
        let stream = frames.concat();
        let mut framing = Framing::new(&keyring().limits);
        let (mut at, mut found) = (0, vec![]);
        while at < stream.len() {
            let end = stream.len().min(at + 1 + random.below(700));
            framing.push(&stream[at..end]).unwrap();
            while let Some(Incoming::Frame(frame)) = framing.next_frame() {
                found.push([&frame[..], b"\0"].concat());
            }
            at = end;
        }
        assert_eq!(found, frames, "seed {seed}");
        assert_eq!(framing.finish(), None);
    }
}

#[test]
fn random_bytes_never_panic_the_framing() {
    for seed in 0..ROUNDS {
        let random = Seeded::new(seed);
        let mut limits = keyring().limits;
        limits.max_frame = 500;
        let mut framing = Framing::new(&limits);
        for _ in 0..10 {
            let read: Vec<u8> =
                (0..random.below(200)).map(|_| b"\0{}x\""[random.below(5)]).collect();
            if framing.push(&read).is_err() {
                break;
            }
            while framing.next_frame().is_some() {}
            assert!(framing.pending() <= 1_000, "seed {seed}");
        }
        framing.finish();
    }
}

#[test]
fn log_lines_of_any_shape_are_read() {
    let line =
        "2026-11-22 16:33:11,175 INFO sid:1 n:n11 | message é\n2026-11-22 16:33:11,175 INFO  |\nx";
    for seed in 0..ROUNDS {
        let mut bytes = line.as_bytes().to_vec();
        damage(&Seeded::new(seed), &mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        assert!(wire::log::parse_log(&text, |_| Some(1.0)).len() <= 6);
    }
}
