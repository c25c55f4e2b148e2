//! The sealed dialect, and bodies that are made once and sealed for many.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{Fixed, SECRET, Seeded, keyring, list, sender, text};
use serde_json::{Value, json};
use wire::{
    Dialect, Envelope, Form, Frame, Limits, MessageId, Prepared, Refusal, Request, Stamp, base64url,
};

const T: i64 = 1_795_362_841_123;

#[test]
fn frames_made_by_another_implementation_open() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/sealed.json")).unwrap();
    for vector in list(&vectors, "vectors") {
        let mut keyring = keyring();
        keyring.own = sender(text(vector, "clustername"), "n11", text(vector, "secret"));
        keyring.envelope = Envelope::Sealed;
        let opened = keyring.open(text(vector, "envelope").as_bytes()).unwrap();
        let stamp = opened.stamp().unwrap();
        assert_eq!(opened.nodename(), text(vector, "nodename"));
        assert_eq!(json!(stamp.t_ms), vector["t"]);
        assert_eq!(json!(stamp.id.to_string()), vector["id"]);
        assert_eq!(json!(stamp.re.map(|id| id.to_string())), vector["re"]);
        assert_eq!(opened.read::<Value>().unwrap(), vector["body"]);
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
        for form in [Form::Classic, Form::request(Dialect::Sealed, T, &random)] {
            for form in [form, form.reply(T + 2, &random)] {
                let frame = own.seal(&form, &prepared, &random).unwrap();
                assert_eq!(frame.iter().position(|b| *b == 0), Some(frame.len() - 1));
                let opened = keyring().open(&frame).unwrap();
                assert_eq!(opened.form(), &form);
                assert_eq!(opened.body(), &*prepared.json(), "{form:?}");
                assert_eq!(opened.read::<Value>().unwrap(), body);
            }
        }
        // Above 4 MiB only the compressed form is kept.
        assert!(prepared.size_bytes() < length * 3 / 2 + 100);
        assert!(length < 4 << 20 || prepared.size_bytes() < 1 << 20);
    }
}

#[test]
fn two_frames_of_the_same_body_have_nothing_in_common_but_their_header() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(2);
    let body = Prepared::new(&"x".repeat(100));
    for form in [Form::Classic, Form::request(Dialect::Sealed, T, &random)] {
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

#[test]
fn a_frame_is_bound_to_its_header_and_its_key() {
    let own = sender("demo", "n12", SECRET);
    let frame = own
        .seal(
            &Form::request(Dialect::Sealed, T, &Seeded::new(3)),
            &Prepared::new(&1),
            &Fixed(vec![7; 32]),
        )
        .unwrap();
    let frame = String::from_utf8(frame).unwrap();
    assert!(keyring().open(frame.as_bytes()).is_ok());
    let refused = |frame: &str| keyring().open(frame.as_bytes()).unwrap_err();
    assert_eq!(refused(&frame.replace("n12", "n11")), Refusal::NotOpened);
    assert_eq!(refused(&frame.replace("demo", "join")), Refusal::NotOpened);
    assert_eq!(refused(&frame.replace("demo", "other")), Refusal::ClusterName);
    assert_eq!(refused(&frame.replace("A256GCM", "A128GCM")), Refusal::Field("alg"));
    assert_eq!(
        refused(&frame.replace("\"alg\": \"A256GCM\"", "\"alg\": null")),
        Refusal::Field("alg")
    );
    assert_eq!(refused(&frame.replace("BwcH", "BwcI")), Refusal::NotOpened);
    let mut other = keyring();
    other.own.secret = wire::ClusterSecret::new(&format!("{SECRET}x"));
    // Classic keys are cut to 32 bytes, sealed ones are whole.
    assert_eq!(other.open(frame.as_bytes()), Err(Refusal::NotOpened));
}

#[test]
fn a_node_takes_the_dialects_that_its_envelope_says() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(4);
    for envelope in [Envelope::Sealed, Envelope::Any, Envelope::Classic] {
        let mut keyring = keyring();
        keyring.envelope = envelope;
        for dialect in [Dialect::Classic, Dialect::Sealed] {
            let form = Form::request(dialect, T, &random);
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
fn a_client_takes_only_the_reply_to_its_own_request() {
    let own = sender("demo", "n12", SECRET);
    let node = sender("demo", "n11", SECRET);
    let random = Seeded::new(5);
    let limits = Limits::default();
    let form = Form::request(Dialect::Sealed, T, &random);
    let request = own.seal(&form, &Prepared::new(&1), &random).unwrap();
    let opened = keyring().open(&request).unwrap();
    let seal = |form: &Form| node.seal(form, &Prepared::new(&2), &random).unwrap();
    let reply = seal(&opened.form().reply(T, &random));
    assert_eq!(own.open_reply(&reply, &form, &limits).unwrap().read::<u8>().unwrap(), 2);
    let other = Form::request(Dialect::Sealed, T, &random);
    assert_eq!(own.open_reply(&reply, &other, &limits), Err(Refusal::Message));
    assert_eq!(own.open_reply(&request, &form, &limits), Err(Refusal::Message));
    assert_eq!(own.open_reply(&seal(&Form::Classic), &form, &limits), Err(Refusal::Dialect));
    assert_eq!(own.open_reply(&reply, &Form::Classic, &limits), Err(Refusal::Dialect));
    let stranger = sender("other", "n11", SECRET);
    let reply = stranger.seal(&form.reply(T, &random), &Prepared::new(&2), &random).unwrap();
    assert_eq!(own.open_reply(&reply, &form, &limits), Err(Refusal::ClusterName));
    let joiner = sender("join", "n12", SECRET);
    assert!(
        joiner.open_reply(&reply, &form, &limits).is_ok(),
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
    keyring.drpnodes.insert("n13".into(), ("other".into(), wire::ClusterSecret::new(other)));
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
fn a_sealed_message_without_time_or_id_is_refused() {
    // The body of a frame is sealed whole; only another implementation could leave its envelope out.
    let frame = json!({
        "clustername": "demo", "nodename": "n12", "alg": "A256GCM",
        "salt": base64url::encode(&[0; 32]).trim_end_matches('='), "data": "",
    });
    assert_eq!(keyring().open(frame.to_string().as_bytes()), Err(Refusal::NotOpened));
}

#[test]
fn limits_hold_on_the_wire_and_inflated() {
    let own = sender("demo", "n12", SECRET);
    let random = Seeded::new(8);
    let bomb = Prepared::new(&"a".repeat(3 << 20));
    let stamp = Stamp { t_ms: T, id: MessageId([1; 16]), re: None };
    for form in [Form::Classic, Form::Sealed(stamp)] {
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
