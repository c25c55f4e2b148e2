//! The recorded messages of deployed agents, and what they made of broken ones (vectors/envelope.json).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use common::{Fixed, SECRET, from_hex, keyring, list, sender, text, without_traceback};
use serde_json::{Value, json};
use wire::{
    Dialect, Form, Frame, Framing, Incoming, Limits, Prepared, Refusal, Request, RequestError,
    to_ascii_json,
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/envelope.json")).unwrap()
}

#[test]
fn every_recorded_message_opens_and_is_written_back_alike() {
    let vectors = vectors();
    assert_eq!(list(&vectors, "vectors").len(), 36);
    for vector in list(&vectors, "vectors") {
        let name = text(vector, "name");
        let own =
            sender(text(vector, "clustername"), text(vector, "nodename"), text(vector, "secret"));
        let open = |frame: &[u8]| {
            let frame = Frame::parse(frame, &Limits::default()).unwrap();
            assert_eq!(frame.dialect(), Dialect::Classic);
            assert_eq!((frame.clustername(), frame.sender()), (&*own.clustername, &*own.nodename));
            frame.open(&own.secret, &Limits::default()).unwrap()
        };
        let opened = open(text(vector, "envelope").as_bytes());
        assert_eq!(opened.read::<Value>().unwrap(), vector["plaintext"], "{name}");

        // Our maps are sorted, theirs are not: the same characters, then, in another order.
        let sorted = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.sort_unstable();
            bytes
        };
        let written = to_ascii_json(&vector["plaintext"]);
        assert_eq!(sorted(opened.body()), sorted(&written), "{name}");

        let iv = Fixed(from_hex(text(vector, "iv_hex")));
        let prepared = Prepared::new(&vector["plaintext"]);
        let frame = own.seal(&Form::Classic, &prepared, &iv).unwrap();
        let head = text(vector, "envelope").split("\"data\"").next().unwrap();
        assert!(frame.starts_with(head.as_bytes()), "{name}: names and iv are written alike");
        assert_eq!(open(&frame).body(), written, "{name}");
    }
}

#[test]
fn payloads_that_are_not_json_are_stored_and_never_sent() {
    let limits = Limits::default();
    for vector in list(&vectors(), "binary_payloads") {
        let sent = keyring().open(text(vector, "envelope").as_bytes());
        assert_eq!(sent, Err(Refusal::NotOpened));
        let own = sender("demo", "n12", SECRET);
        let stored = |frame: &[u8]| {
            Frame::parse(frame, &limits).unwrap().open_stored(&own.secret, &limits).unwrap()
        };
        let opened = stored(text(vector, "envelope").as_bytes());
        assert_eq!(opened.body(), from_hex(text(vector, "plaintext_hex")));
        let iv = Fixed(from_hex(text(vector, "iv_hex")));
        let again = own.seal(&Form::Classic, &Prepared::from_bytes(opened.body()), &iv).unwrap();
        assert_eq!(stored(&again).body(), opened.body());
    }
}

#[test]
fn unusable_keys_neither_seal_nor_open() {
    let reference = text(&list(&vectors(), "accepted_variants")[0], "wire").to_owned();
    for vector in list(&vectors(), "unusable_keys") {
        let own = sender("demo", "n12", text(vector, "secret"));
        assert_eq!(own.secret.check(Dialect::Classic).unwrap_err().bytes, vector["key_bytes"]);
        assert!(own.seal(&Form::Classic, &Prepared::new(&json!(1)), &Fixed(vec![0; 16])).is_err());
        let mut keyring = keyring();
        keyring.own.secret = own.secret;
        assert_eq!(keyring.open(reference.as_bytes()), Err(Refusal::NotOpened));
    }
}

/// What becomes of the bytes of a connection, up to the handler.
#[derive(Debug, PartialEq)]
enum Outcome {
    Served,
    Replied(Value),
    ClosedAndCounted,
    Closed,
    DequeuesActions,
    WaitsForMore,
}

fn outcome(vector: &Value) -> Outcome {
    let keyring = keyring();
    let bytes = match vector.get("wire_hex") {
        Some(hex) => from_hex(hex.as_str().unwrap()),
        None => text(vector, "wire").as_bytes().to_vec(),
    };
    let mut framing = Framing::new(&keyring.limits);
    framing.push(&bytes).unwrap();
    let mut incoming = framing.next_frame();
    if incoming.is_none() && vector["sender_closes_write_side"] == true {
        incoming = framing.finish();
    }
    let frame = match incoming {
        None => return Outcome::WaitsForMore,
        Some(Incoming::DequeueActions) => return Outcome::DequeuesActions,
        Some(Incoming::Frame(frame)) => frame,
    };
    let refused = |refusal: Refusal| match refusal.to_reply() {
        Some(reply) => Outcome::Replied(reply),
        None if refusal.is_counted() => Outcome::ClosedAndCounted,
        None => Outcome::Closed,
    };
    let opened = match keyring.open(&frame) {
        Ok(opened) if !opened.is_request() => return refused(Refusal::NotOpened),
        Ok(opened) => opened,
        Err(refusal) => return refused(refusal),
    };
    if let Err(refusal) = keyring.check_sender(&opened, |node| ["n11", "n12"].contains(&node)) {
        return refused(refusal);
    }
    let request = match Request::parse(opened.body()) {
        Ok(request) => request,
        Err(RequestError::Null) => return Outcome::Closed,
        Err(error) => return Outcome::Replied(error.to_reply()),
    };
    keyring.check_action(&opened, &request.action).map_or_else(refused, |()| Outcome::Served)
}

#[test]
fn tolerated_messages_are_served() {
    let not_members = [
        // A sender has to be in cluster.nodes, which is looked at after opening: 401.
        "valid_unknown_nodename",
        "valid_empty_nodename",
    ];
    // Deployed agents read these, and never write them: without authentication, whatever else opens helps a forger.
    let mut unwritten = vec![
        "valid_standard_base64_alphabet",
        "valid_base64_with_junk_characters",
        "valid_sloppy_padding",
        "valid_garbage_after_zlib_stream",
        "valid_raw_utf8_plaintext",
    ];
    for vector in list(&vectors(), "accepted_variants") {
        let name = text(vector, "name");
        let expected = if unwritten.contains(&name) {
            unwritten.retain(|listed| *listed != name);
            Outcome::ClosedAndCounted
        } else if not_members.contains(&name) {
            let node = if name == "valid_empty_nodename" { "" } else { "nowhere" };
            let error = format!("node {node} is not a cluster demo node");
            Outcome::Replied(json!({"status": 401, "error": error}))
        } else {
            Outcome::Served
        };
        assert_eq!(outcome(vector), expected, "{name}");
    }
    assert_eq!(unwritten, [""; 0], "listed, but not in the vectors");
}

#[test]
fn broken_messages_are_refused_and_counted() {
    // Counted here: not JSON, missing or mistyped fields, a wrong cluster name. Deployed agents close or answer 401
    // without counting.
    let counted_here_only = [
        "wrong_cluster",
        "wrong_cluster_case",
        "missing_clustername",
        "null_clustername",
        "missing_nodename",
        "null_nodename",
        "missing_iv",
        "null_iv",
        "missing_data",
        "null_data",
        "iv_not_a_string",
        "data_not_a_string",
        "clustername_is_a_list",
        "bad_base64_data_length",
        "bad_base64_iv_length",
        "not_json",
        "not_json_long",
        "json_list",
        "json_string",
        "json_number",
        "json_null",
        "empty_object",
        "unencrypted_request",
        "invalid_utf8_only",
        // Never sent by deployed agents, and short enough to be forged: they do not open.
        "plaintext_not_json",
        "plaintext_json_list",
        "plaintext_json_null",
        "plaintext_json_string",
        "plaintext_no_action",
        "plaintext_action_null",
        "plaintext_action_number",
    ];
    // A NUL ends a message wherever it comes: what follows is another, which is not read. Deployed agents wait for 5 s.
    let served = ["bytes_after_nul_same_segment", "two_messages_in_one_segment"];
    // The end of the stream, a lone NUL, and dequeue_actions with or without NUL.
    let dequeues = ["nul_only", "eof_only", "dequeue_actions_eof", "dequeue_actions_nul"];
    let mut unseen: Vec<&str> = [&counted_here_only[..], &dequeues, &served].concat();
    let vectors = vectors();
    assert_eq!(list(&vectors, "invalid").len(), 60);
    for vector in list(&vectors, "invalid") {
        let name = text(vector, "name");
        let observed = &vector["observed"];
        let expected = if counted_here_only.contains(&name) {
            assert_eq!(observed["blacklist_increment"], 0, "{name} is no deviation");
            Outcome::ClosedAndCounted
        } else if dequeues.contains(&name) {
            Outcome::DequeuesActions
        } else if served.contains(&name) {
            Outcome::Served
        } else if observed["blacklist_increment"] == 1 {
            // What does not open gets no reply, where deployed agents answer a 401.
            Outcome::ClosedAndCounted
        } else if observed.get("seconds_before_close").is_some() {
            Outcome::WaitsForMore
        } else if observed["reply_plaintext"].is_null() {
            Outcome::Closed
        } else {
            Outcome::Replied(without_traceback(&observed["reply_plaintext"]))
        };
        let found = match outcome(vector) {
            Outcome::Replied(reply) => Outcome::Replied(without_traceback(&reply)),
            other => other,
        };
        assert_eq!(found, expected, "{name}");
        unseen.retain(|listed| *listed != name);
    }
    assert_eq!(unseen, [""; 0], "listed, but not in the vectors");
}
