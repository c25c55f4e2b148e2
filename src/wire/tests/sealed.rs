//! The sealed dialect, and bodies that are made once and sealed for many.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::collections::BTreeMap;

use common::{Fixed, SECRET, Seeded, T, from_hex, keyring, list, moment, sender, text};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use serde_json::{Map, Value, json};
use wire::{
    ALL, ClusterSecret, Dialect, Envelope, Form, Frame, Keyring, Kind, Limits, MessageId, Prepared,
    Refusal, Request, Seal, Sender, Stamp, UNNAMED, base64url,
};

fn request(to: &str, random: &Seeded) -> Form {
    Form::request(Dialect::Sealed, to, moment(T), random)
}

struct KeyAndNonce;

impl KeyType for KeyAndNonce {
    fn len(&self) -> usize {
        44
    }
}

/// Opens a frame by the words of src/wire/src/sealed.md, and not by the code that sealed it.
fn open_by_hand(frame: &Value, secret: &str) -> Vec<u8> {
    let decode = |name: &str| {
        let bare = text(frame, name);
        base64url::decode(&format!("{bare}{}", "=".repeat((4 - bare.len() % 4) % 4))).unwrap()
    };
    let purpose = match text(frame, "kind") {
        "request" | "reply" => "request",
        "heartbeat" => "heartbeat",
        "slot" => "relay",
        "stored" => "stored",
        other => panic!("{other}"),
    };
    let info = format!("osvc sealed 2 {purpose}");
    let mut key = [0; 44];
    Salt::new(HKDF_SHA256, &decode("salt"))
        .extract(secret.as_bytes())
        .expand(&[info.as_bytes()], KeyAndNonce)
        .unwrap()
        .fill(&mut key)
        .unwrap();
    let mut authenticated = vec![];
    for name in ["alg", "v", "clustername", "nodename", "to", "kind", "gen", "re"] {
        let text = match &frame[name] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        authenticated.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        authenticated.extend(text.as_bytes());
    }
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..32]).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&key[32..]).unwrap();
    let mut data = decode("data");
    cipher.open_in_place(nonce, Aad::from(authenticated), &mut data).unwrap().to_vec()
}

/// What is in the vectors: made again by this code, from what they say.
fn vectors() -> Vec<Value> {
    let id = |byte: u8| MessageId([byte; 16]);
    let sealed =
        |name: &str, sender: &Sender, kind, to: &str, re: Option<MessageId>, body: &Value| {
            let stamp = Stamp { at: moment(T), id: id(0x1d) };
            let seal = Seal { kind, to: to.into(), re, stamp };
            let frame = sender
                .seal(&Form::Sealed(seal), &Prepared::new(body), &Fixed(vec![0x5a; 32]))
                .unwrap();
            vector(name, &frame, body)
        };
    fn vector(name: &str, frame: &[u8], body: &Value) -> Value {
        let frame = std::str::from_utf8(frame).unwrap().trim_end_matches('\0');
        json!({"name": name, "secret": SECRET, "body": body, "frame": frame})
    }
    let (n1, n2) = (sender("demo", "n11", SECRET), sender("demo", "n12", SECRET));
    let later = Sender { generation: 7, ..n2.clone() };
    let status = json!({"action": "daemon_status", "options": {}});
    let ping = json!({"kind": "ping", "gen": {"n12": 5}});
    let stored = n2.seal_stored(b"s3cr3t \xff", &Fixed(vec![0x5a; 32])).unwrap();
    vec![
        sealed("request", &n2, Kind::Request, "n11", None, &status),
        sealed("request of a later secret", &later, Kind::Request, "n11", None, &status),
        sealed(
            "request without a name",
            &sender("join", "n12", SECRET),
            Kind::Request,
            UNNAMED,
            None,
            &status,
        ),
        sealed("reply", &n1, Kind::Reply, "n12", Some(id(0xe0)), &json!({"status": 0})),
        sealed(
            "compressed reply",
            &n1,
            Kind::Reply,
            "n12",
            Some(id(0xe0)),
            &json!("x".repeat(2_000)),
        ),
        sealed("heartbeat", &n2, Kind::Heartbeat, ALL, None, &ping),
        sealed("slot", &n2, Kind::Slot, ALL, None, &ping),
        vector("stored", &stored, &json!("73336372337420ff")),
    ]
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the file of the vectors is written here")]
fn frames_are_as_they_were_written_down() {
    let written: Value = serde_json::from_str(include_str!("vectors/sealed.json")).unwrap();
    let made = json!({"about": written["about"], "vectors": vectors()});
    // To write them anew, after a change that is meant: OSVC_WRITE_VECTORS=1 cargo test -p wire.
    if std::env::var_os("OSVC_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&made).unwrap() + "\n";
        std::fs::write("tests/vectors/sealed.json", text).unwrap();
    } else {
        assert_eq!(made, written);
    }
}

#[test]
fn frames_open_by_the_words_of_their_description() {
    let written: Value = serde_json::from_str(include_str!("vectors/sealed.json")).unwrap();
    assert_eq!(list(&written, "vectors").len(), 8);
    for vector in list(&written, "vectors") {
        let name = text(vector, "name");
        let frame: Value = serde_json::from_str(text(vector, "frame")).unwrap();
        let plain = open_by_hand(&frame, text(vector, "secret"));
        let message = match plain[0] {
            0 => plain[1..].to_vec(),
            _ => {
                let mut inflated = vec![];
                let mut zlib = flate2::read::ZlibDecoder::new(&plain[1..]);
                std::io::Read::read_to_end(&mut zlib, &mut inflated).unwrap();
                inflated
            }
        };
        if name == "stored" {
            assert_eq!(message, from_hex(text(vector, "body")));
            let opened = keyring().open_stored(text(vector, "frame").as_bytes()).unwrap();
            assert_eq!((opened.0, opened.1.to_vec()), (1, message));
            continue;
        }
        let message: Value = serde_json::from_slice(&message).unwrap();
        let boot = "b0".repeat(16);
        let expected = json!({"boot": boot, "b": 3_600_000_000_u64, "t": T, "id": "1d".repeat(16),
            "body": vector["body"]});
        assert_eq!(message, expected, "{name}");
    }
}

#[test]
fn a_body_made_once_reads_the_same_in_every_form() {
    let bodies = [
        json!(null),
        json!({"status": 0}),
        json!("x".repeat(1_100)),
        json!((0..4_000).map(|i| format!("svc{i} é")).collect::<Vec<_>>()),
        json!("0123456789 é ".repeat(300_000)),
    ];
    let random = Seeded::new(1);
    let own = sender("demo", "n12", SECRET);
    for body in bodies {
        let prepared = Prepared::new(&body);
        let length = prepared.len();
        assert_eq!(
            own.seal(&Form::Plain, &prepared, &random).unwrap(),
            [&*prepared.json(), b"\0"].concat()
        );
        for form in [Form::Classic, request("n11", &random)] {
            let frame = own.seal(&form, &prepared, &random).unwrap();
            assert_eq!(frame.iter().position(|b| *b == 0), Some(frame.len() - 1));
            let opened = keyring().open(&frame).unwrap();
            assert_eq!(opened.form(), &form);
            assert_eq!(opened.body(), &*prepared.json(), "{form:?}");
            assert_eq!(opened.read::<Value>().unwrap(), body);
            let reply_to = opened.reply_to();
            let reply = keyring().seal_reply(&reply_to, &prepared, moment(T + 2), &random).unwrap();
            let opened = own.open_reply(&reply, &form, &Limits::default()).unwrap();
            assert_eq!(opened.read::<Value>().unwrap(), body);
        }
        // Above 4 MiB only the compressed form is kept.
        assert!(prepared.size_bytes() < length * 3 / 2 + 200);
        assert!(length < 4 << 20 || prepared.size_bytes() < 1 << 20);
    }
}

#[test]
fn two_frames_of_the_same_body_have_nothing_in_common_but_their_header() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(2);
    let body = Prepared::new(&"x".repeat(100));
    for form in [Form::Classic, request("n11", &random)] {
        let [a, b] = [(); 2].map(|()| own.seal(&form, &body, &random).unwrap());
        let data = |frame: &[u8]| {
            let frame: Value =
                serde_json::from_slice(frame.trim_ascii_end().strip_suffix(b"\0").unwrap())
                    .unwrap();
            text(&frame, "data").to_owned()
        };
        assert_ne!(data(&a)[..40], data(&b)[..40]);
    }
}

/// A frame of each kind, as its JSON.
fn one_of_each() -> BTreeMap<Kind, Map<String, Value>> {
    let random = Seeded::new(3);
    let own = sender("demo", "n12", SECRET);
    let body = Prepared::new(&1);
    Kind::ALL
        .into_iter()
        .map(|kind| {
            let to = if matches!(kind, Kind::Request | Kind::Reply) { "n11" } else { ALL };
            let re = (kind == Kind::Reply).then(|| MessageId::random(&random));
            let stamp = Stamp::new(moment(T), &random);
            let seal = Seal { kind, to: to.into(), re, stamp };
            let frame = own.seal(&Form::Sealed(seal), &body, &random).unwrap();
            (kind, serde_json::from_slice(&frame[..frame.len() - 1]).unwrap())
        })
        .collect()
}

fn open(frame: &Map<String, Value>) -> Result<Value, Refusal> {
    let bytes = json!(frame).to_string().into_bytes();
    let limits = Limits::default();
    Frame::parse(&bytes, &limits)?
        .open(&ClusterSecret::new(SECRET), &limits)?
        .read()
        .map_err(|_| Refusal::Json)
}

#[test]
fn whatever_is_changed_in_a_header_does_not_open() {
    for (kind, frame) in one_of_each() {
        assert_eq!(open(&frame), Ok(json!(1)), "{kind:?}");
        for field in frame.keys() {
            let mut others: Vec<Value> = match &frame[field] {
                Value::Number(number) => {
                    let number = number.as_u64().unwrap();
                    vec![
                        json!(number + 1),
                        json!(0),
                        json!(number + (1 << 32)),
                        json!(number as f64),
                    ]
                }
                _ => vec![],
            };
            if let Value::String(text) = &frame[field] {
                let changed = |at: usize, to: char| {
                    text.char_indices()
                        .map(|(i, c)| if i == at { to } else { c })
                        .collect::<String>()
                };
                others.extend([json!(text.to_uppercase()), json!(format!("{text}a")), json!("")]);
                others.push(json!(text[..text.len() - 1]));
                others.push(json!(changed(0, 'q')));
                others.push(json!(changed(text.len() - 1, '7')));
            }
            others.retain(|other| *other != frame[field]);
            for other in others {
                let mut changed = frame.clone();
                changed.insert(field.clone(), other.clone());
                let refusal = open(&changed).expect_err(&format!("{kind:?} {field} {other}"));
                assert!(refusal.is_counted(), "{refusal}");
            }
            let mut without = frame.clone();
            without.remove(field);
            assert!(open(&without).is_err(), "{kind:?} without {field}");
        }
        // One that has none gets one.
        if kind != Kind::Reply {
            let mut changed = frame.clone();
            changed.insert("re".into(), json!("0".repeat(32)));
            assert_eq!(open(&changed), Err(Refusal::Field("re")), "{kind:?}");
        }
        for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
            let mut changed = frame.clone();
            changed.insert("kind".into(), json!(other.as_str()));
            let to = if matches!(other, Kind::Request | Kind::Reply) { "n11" } else { ALL };
            changed.insert("to".into(), json!(to));
            if other == Kind::Reply {
                changed.insert("re".into(), json!("0".repeat(32)));
            } else {
                changed.remove("re");
            }
            assert_eq!(open(&changed), Err(Refusal::NotOpened), "{kind:?} as {other:?}");
        }
    }
}

#[test]
fn texts_cannot_move_from_one_field_to_the_next() {
    let frame = &one_of_each()[&Kind::Request];
    for (clustername, nodename, to) in
        [("demon", "12", "n11"), ("demo", "n12n", "11"), ("dem", "on12", "n11")]
    {
        let mut changed = frame.clone();
        for (field, text) in [("clustername", clustername), ("nodename", nodename), ("to", to)] {
            changed.insert(field.into(), json!(text));
        }
        assert_eq!(open(&changed), Err(Refusal::NotOpened));
    }
}

#[test]
fn what_is_for_one_names_it_and_what_is_for_all_does_not() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(9);
    for kind in Kind::ALL {
        let re = (kind == Kind::Reply).then(|| MessageId::random(&random));
        let to = if matches!(kind, Kind::Request | Kind::Reply) { ALL } else { "n11" };
        let seal = Seal { kind, to: to.into(), re, stamp: Stamp::new(moment(T), &random) };
        let frame = own.seal(&Form::Sealed(seal), &Prepared::new(&1), &random).unwrap();
        let refused = Frame::parse(&frame, &Limits::default()).map(|_| ());
        assert_eq!(refused, Err(Refusal::Field("to")), "{kind:?}");
    }
}

#[test]
fn names_that_are_no_text_and_the_version_before_are_refused() {
    let frame = &one_of_each()[&Kind::Request];
    for field in ["clustername", "nodename", "to"] {
        for bad in ["n1\n", "\u{7f}", "n\u{0}1", "\u{85}"] {
            let mut changed = frame.clone();
            changed.insert(field.into(), json!(bad));
            assert_eq!(open(&changed), Err(Refusal::Field(field)));
        }
    }
    let bytes = json!(frame).to_string().into_bytes();
    let at = bytes.windows(3).position(|part| part == b"n12").unwrap();
    let mut bad = bytes.clone();
    bad[at] = 0xff;
    assert_eq!(Frame::parse(&bad, &Limits::default()).map(|_| ()), Err(Refusal::Json));
    let first = json!({"clustername": "demo", "nodename": "n12", "alg": "A256GCM",
        "salt": frame["salt"], "data": frame["data"]});
    let refusal = keyring().open(first.to_string().as_bytes()).unwrap_err();
    assert!(refusal.is_counted(), "{refusal}");
}

#[test]
fn each_kind_is_taken_where_it_belongs_and_nowhere_else() {
    for (kind, frame) in one_of_each() {
        let bytes = json!(frame).to_string().into_bytes();
        let keyring = keyring();
        let as_request = keyring.open(&bytes).map(|_| ());
        let expected = if kind == Kind::Request { Ok(()) } else { Err(Refusal::Kind) };
        assert_eq!(as_request, expected, "{kind:?}");
        for place in [Kind::Heartbeat, Kind::Slot] {
            let heard = keyring.open_heartbeat(&bytes, place, |_| true);
            assert_eq!(heard.is_ok(), kind == place, "{kind:?} as {place:?}");
        }
        let form = request("n12", &Seeded::new(4));
        let as_reply = sender("demo", "n11", SECRET).open_reply(&bytes, &form, &Limits::default());
        assert_eq!(as_reply.map(|_| ()), Err(Refusal::NotTheReply), "{kind:?}");
        assert_eq!(keyring.open_stored(&bytes).is_some(), kind == Kind::Stored, "{kind:?}");
    }
}

#[test]
fn a_request_for_another_node_is_answered_with_the_own_name() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(5);
    let (keyring, body) = (keyring(), Prepared::new(&1));
    for (to, error) in [
        ("n13", "this is node n11, the request is for node n13"),
        (UNNAMED, "this is node n11: a request names the node that it is for"),
    ] {
        let form = request(to, &random);
        let opened = keyring.open(&own.seal(&form, &body, &random).unwrap()).unwrap();
        let refusal = keyring.check_recipient(&opened).unwrap_err();
        assert!(!refusal.is_counted());
        let reply = refusal.to_reply().unwrap();
        assert_eq!(reply, json!({"status": 421, "error": error}));
        let reply = Prepared::new(&reply);
        let reply = keyring.seal_reply(&opened.reply_to(), &reply, moment(T), &random).unwrap();
        // Neither is a reply: who did not know the name, or had another one in mind, knows it now.
        let told = own.open_reply(&reply, &form, &Limits::default()).map(|_| ());
        let nodename = "n11".into();
        assert_eq!(told, Err(Refusal::Misdirected { to: to.into(), nodename }));
    }
    let opened = keyring.open(&own.seal(&request("n11", &random), &body, &random).unwrap());
    assert_eq!(keyring.check_recipient(&opened.unwrap()), Ok(()));
}

#[test]
fn a_frame_is_bound_to_its_key() {
    let own = sender("demo", "n12", SECRET);
    let frame = own
        .seal(&request("n11", &Seeded::new(3)), &Prepared::new(&1), &Fixed(vec![7; 32]))
        .unwrap();
    let frame = String::from_utf8(frame).unwrap();
    assert!(keyring().open(frame.as_bytes()).is_ok());
    let refused = |frame: &str| keyring().open(frame.as_bytes()).unwrap_err();
    assert_eq!(refused(&frame.replace("demo", "other")), Refusal::ClusterName);
    assert_eq!(refused(&frame.replace("A256GCM", "A128GCM")), Refusal::Field("alg"));
    assert_eq!(
        refused(&frame.replace("\"alg\": \"A256GCM\"", "\"alg\": null")),
        Refusal::Field("alg")
    );
    assert_eq!(refused(&frame.replace("BwcH", "BwcI")), Refusal::NotOpened);
    let mut other = keyring();
    other.own.secret = ClusterSecret::new(&format!("{SECRET}x"));
    // Classic keys are cut to 32 bytes, sealed ones are whole.
    assert_eq!(other.open(frame.as_bytes()), Err(Refusal::NotOpened));
}

#[test]
fn a_generation_chooses_the_secret_and_the_reply_has_the_same() {
    let old = "00000000000000000000000000000001";
    let keyring = Keyring {
        own: Sender { generation: 3, ..sender("demo", "n11", SECRET) },
        accepted: BTreeMap::from([(2, ClusterSecret::new(old))]),
        envelope: Envelope::Sealed,
        ..keyring()
    };
    let random = Seeded::new(15);
    let ask = |clustername: &str, generation, secret| {
        let own = Sender { generation, ..sender(clustername, "n12", secret) };
        let form = request("n11", &random);
        let opened = keyring.open(&own.seal(&form, &Prepared::new(&1), &random).unwrap())?;
        let body = Prepared::new(&2);
        let reply = keyring.seal_reply(&opened.reply_to(), &body, moment(T), &random).unwrap();
        own.open_reply(&reply, &form, &Limits::default())?;
        Ok(opened.generation())
    };
    assert_eq!(ask("demo", 3, SECRET), Ok(3));
    assert_eq!(ask("demo", 2, old), Ok(2));
    // Who joins has a secret, and no number.
    assert_eq!(ask("join", 0, SECRET), Ok(3));
    assert_eq!(ask("join", 0, old), Ok(2));
    for (generation, secret) in [(2, SECRET), (3, old), (0, "00000000000000000000000000000002")] {
        assert_eq!(ask("demo", generation, secret), Err(Refusal::NotOpened));
    }
    let refused = ask("demo", 4, old).unwrap_err();
    assert_eq!(refused, Refusal::Generation { theirs: 4, is_proven: false });
    assert!(refused.is_counted(), "anybody can write a number");
    let refused = ask("demo", 4, SECRET).unwrap_err();
    assert_eq!(refused, Refusal::Generation { theirs: 4, is_proven: true });
    assert!(!refused.is_counted());
    let stored = Sender { generation: 2, ..sender("demo", "n12", old) };
    let stored = stored.seal_stored(b"x", &random).unwrap();
    assert_eq!(keyring.open_stored(&stored).map(|(generation, _)| generation), Some(2));
    let mut keyring = keyring;
    keyring.accepted.clear();
    assert_eq!(keyring.open_stored(&stored), None);
}

#[test]
fn a_node_takes_the_dialects_that_its_envelope_says() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(4);
    for envelope in [Envelope::Sealed, Envelope::Any, Envelope::Classic] {
        let mut keyring = keyring();
        keyring.envelope = envelope;
        for dialect in [Dialect::Classic, Dialect::Sealed] {
            let form = Form::request(dialect, "n11", moment(T), &random);
            let frame = own.seal(&form, &Prepared::new(&1), &random).unwrap();
            let expected = match (envelope, dialect) {
                (Envelope::Sealed, Dialect::Classic) => Some(Refusal::Dialect),
                _ => None,
            };
            assert_eq!(keyring.open(&frame).err(), expected);
        }
    }
    assert_eq!(Envelope::Any.speaks(true), Dialect::Sealed);
    assert_eq!(Envelope::Any.speaks(false), Dialect::Classic);
    assert_eq!(Envelope::Classic.speaks(true), Dialect::Classic);
    assert_eq!(Envelope::Sealed.speaks(false), Dialect::Sealed);
}

#[test]
fn a_client_takes_only_the_reply_of_the_node_it_asked_to_its_own_request() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(5);
    let limits = Limits::default();
    let form = request("n11", &random);
    let sent = own.seal(&form, &Prepared::new(&1), &random).unwrap();
    let opened = keyring().open(&sent).unwrap();
    let reply_to = opened.reply_to();
    let reply_of = |clustername: &str, nodename: &str| {
        let node = sender(clustername, nodename, SECRET);
        node.seal(&reply_to.form(moment(T), &random), &Prepared::new(&2), &random).unwrap()
    };
    let reply = reply_of("demo", "n11");
    assert_eq!(own.open_reply(&reply, &form, &limits).unwrap().read::<u8>().unwrap(), 2);
    let refused = |reply: &[u8], own: &Sender, form: &Form| {
        own.open_reply(reply, form, &limits).expect_err("it is another one's")
    };
    // To another request, of another node, to another node, and the request itself.
    assert_eq!(refused(&reply, &own, &request("n11", &random)), Refusal::NotTheReply);
    let other = Refusal::Misdirected { to: "n11".into(), nodename: "n13".into() };
    assert_eq!(refused(&reply_of("demo", "n13"), &own, &form), other);
    assert_eq!(refused(&reply, &sender("demo", "n13", SECRET), &form), Refusal::NotTheReply);
    assert_eq!(refused(&sent, &own, &form), Refusal::NotTheReply);
    let classic = own.seal(&Form::Classic, &Prepared::new(&2), &random).unwrap();
    assert_eq!(refused(&classic, &own, &form), Refusal::Dialect);
    assert_eq!(refused(&reply, &own, &Form::Classic), Refusal::Dialect);
    assert_eq!(refused(&reply_of("other", "n11"), &own, &form), Refusal::ClusterName);
    let joiner = sender("join", "n12", SECRET);
    assert!(
        joiner.open_reply(&reply_of("other", "n11"), &form, &limits).is_ok(),
        "a joiner does not know the name yet"
    );
}

#[test]
fn the_name_join_opens_a_few_actions_and_strangers_none() {
    let random = Seeded::new(6);
    let ask = |clustername: &str, nodename: &str, action: &str| {
        let own = sender(clustername, nodename, SECRET);
        let body = json!({"action": action, "options": {"slot": "x", "path": "x"}});
        let frame = own.seal(&Form::Classic, &Prepared::new(&body), &random).unwrap();
        let keyring = keyring();
        let opened = keyring.open(&frame).unwrap();
        keyring.check_sender(&opened, |node| node == "n12")?;
        let request = Request::parse(opened.body()).unwrap();
        keyring.check_action(&opened, &request.action)
    };
    for action in ["join", "relay_tx", "relay_rx", "relay_status", "daemon_blacklist_status"] {
        assert_eq!(ask("join", "anyone", action), Ok(()), "{action}");
    }
    for action in ["daemon_status", "object_config", "blacklist_clear", "leave", "node_action"] {
        let refusal = ask("join", "n12", action).unwrap_err();
        assert_eq!(refusal.to_string(), "node n12 is not a cluster join node", "{action}");
        assert!(!refusal.is_counted());
        assert_eq!(ask("demo", "n12", action), Ok(()), "{action}");
    }
    assert_eq!(
        ask("demo", "nowhere", "daemon_status").unwrap_err().to_reply(),
        Some(json!({"status": 401, "error": "node nowhere is not a cluster demo node"}))
    );
}

#[test]
fn nodes_to_recover_open_with_their_own_key_and_are_refused() {
    let mut keyring = keyring();
    let other = "00000000000000000000000000000001";
    keyring.drpnodes.insert("n13".into(), ("other".into(), ClusterSecret::new(other)));
    let random = Seeded::new(7);
    let ask = |clustername, nodename, secret| {
        let frame = sender(clustername, nodename, secret)
            .seal(&Form::Classic, &Prepared::new(&1), &random)
            .unwrap();
        let opened = keyring.open(&frame)?;
        keyring.check_sender(&opened, |node| node == "n12")
    };
    // The recorded cases of conversations.json, "drpnodes".
    for clustername in ["other", "demo", "join"] {
        let refusal = ask(clustername, "n13", other).unwrap_err();
        assert_eq!(refusal.to_string(), "drp node n13 is not allowed to request");
    }
    assert_eq!(ask("demo", "n13", SECRET), Err(Refusal::NotOpened));
    let refusal = ask("other", "n12", SECRET).unwrap_err();
    assert_eq!(refusal.to_string(), "node n12 is not a cluster other node");
    assert_eq!(ask("other", "nowhere", other), Err(Refusal::NotOpened));
}

#[test]
fn limits_hold_on_the_wire_and_inflated() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(8);
    let bomb = Prepared::new(&"a".repeat(3 << 20));
    for form in [Form::Classic, request("n11", &random)] {
        let frame = own.seal(&form, &bomb, &random).unwrap();
        let open = |max_frame, max_message| {
            let limits = Limits { max_frame, max_message };
            Frame::parse(&frame, &limits).and_then(|frame| frame.open(&own.secret, &limits)).err()
        };
        assert_eq!(open(1 << 20, 4 << 20), None);
        assert_eq!(open(1 << 20, 3 << 20), Some(Refusal::TooLong), "two quotes more than 3 MiB");
        assert_eq!(open(frame.len() - 1, 4 << 20), None, "the final NUL does not count");
        assert_eq!(open(frame.len() - 2, 4 << 20), Some(Refusal::TooLong));
    }
}
