//! Promise: who has recorded messages of the classic dialect, and knows what is in them, puts no other together.
//!
//! A block of CBC is decrypted alone and then added to the ciphertext before it. Who knows the plaintext of a recorded block
//! knows what any block before it would make of it, and the first one, before which there is only the iv, is his to write.
//! So he searches among what he recorded, without asking anybody, and sends what fits.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::collections::BTreeMap;

use aes::Aes256;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use common::{SECRET, Seeded, keyring, list, sender, text};
use serde_json::{Value, json};
use wire::{Form, Kind, Opened, Prepared, Random, Refusal, base64url};

type Block = [u8; 16];

const RECORDED: usize = 1_000_000;

fn xor(a: &Block, b: &Block) -> Block {
    std::array::from_fn(|at| a[at] ^ b[at])
}

fn decrypt(iv: &Block, mut data: Vec<u8>) -> Vec<u8> {
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(SECRET.as_bytes(), iv).unwrap();
    cipher.decrypt_padded::<NoPadding>(&mut data).unwrap();
    data
}

/// Recorded blocks, each with what its decryption gives before a block is added to it. A block of CBC is as random as these
/// are; the attacker has the second half from the plaintext that he knows.
struct Recorded(Vec<(Block, Block)>);

impl Recorded {
    fn new() -> Self {
        let random = Seeded::new(1);
        let mut cipher = vec![0; RECORDED * 16];
        random.fill(&mut cipher);
        let plain = decrypt(&[0; 16], cipher.clone());
        let mut before = [0; 16];
        let pairs = cipher.chunks_exact(16).zip(plain.chunks_exact(16)).map(|(cipher, plain)| {
            let cipher: Block = cipher.try_into().unwrap();
            let pair = (cipher, xor(&plain.try_into().unwrap(), &before));
            before = cipher;
            pair
        });
        Self(pairs.collect())
    }
}

/// A message of these blocks, the first of which decrypts to `first`.
struct Forged {
    iv: Block,
    data: Vec<u8>,
}

impl Forged {
    fn new(first: &Block, recorded: &Recorded, blocks: &[usize]) -> Self {
        let iv = xor(first, &recorded.0[blocks[0]].1);
        let data = blocks.iter().flat_map(|at| recorded.0[*at].0).collect();
        Self { iv, data }
    }

    fn frame(&self) -> String {
        let (iv, data) = (base64url::encode(&self.iv), base64url::encode(&self.data));
        format!(r#"{{"clustername": "demo", "nodename": "n12", "iv": "{iv}", "data": "{data}"}}"#)
    }

    /// What the frame opened to before the rules: the last byte of the padding, whatever follows the stream, bytes that are
    /// no UTF-8 left out, any JSON.
    fn opened_leniently(&self) -> Option<Value> {
        let mut plain = decrypt(&self.iv, self.data.clone());
        let pad = usize::from(*plain.last()?);
        if !(1..=16).contains(&pad) {
            return None;
        }
        plain.truncate(plain.len() - pad);
        let mut stream = flate2::Decompress::new(true);
        let mut out = Vec::with_capacity(1_024);
        let status = stream.decompress_vec(&plain, &mut out, flate2::FlushDecompress::None).ok()?;
        if status != flate2::Status::StreamEnd {
            return None;
        }
        let text: String = out.utf8_chunks().map(|chunk| chunk.valid()).collect();
        serde_json::from_str(&text).ok()
    }
}

fn adler32(text: &[u8]) -> u32 {
    let (a, b) = text.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (a + b) % 65_521)
    });
    b << 16 | a
}

/// The first block: a stream of one stored block of `length` bytes, of which nine are here.
fn first_block(length: u16, text: &[u8; 9]) -> Block {
    let mut block = [0; 16];
    block[..3].copy_from_slice(&[0x78, 0x9c, 1]);
    block[3..5].copy_from_slice(&length.to_le_bytes());
    block[5..7].copy_from_slice(&(!length).to_le_bytes());
    block[7..].copy_from_slice(text);
    block
}

/// Texts of nine bytes, by their checksums: one for each that they can have.
fn texts_by_checksum() -> BTreeMap<u32, [u8; 9]> {
    let letters = || (b' '..=b'~').filter(|letter| !b"\"\\".contains(letter));
    let mut texts = BTreeMap::new();
    for (a, b) in letters().flat_map(|a| letters().map(move |b| (a, b))) {
        for (x, y) in (b'1'..=b'9').flat_map(|x| (b'0'..=b'9').map(move |y| (x, y))) {
            let text = [b'{', b'"', a, b, b'"', b':', x, y, b'}'];
            texts.insert(adler32(&text), text);
        }
    }
    texts
}

#[test]
fn a_million_recorded_blocks_are_put_together_to_nothing() {
    let recorded = Recorded::new();
    let texts = texts_by_checksum();
    let keyring = keyring();
    let ends = |pair: &Block, at: usize| (1..=16).contains(&(recorded.0[at].1[15] ^ pair[15]));
    let search = |from: usize, to: usize| {
        let mut found = vec![];
        for second in from..to {
            // What the first block makes of the second one: the checksum is to be its start.
            let made = xor(&recorded.0[second].1, &recorded.0[0].0);
            let fitting = texts.get(&u32::from_be_bytes(made[..4].try_into().unwrap()));
            let first = first_block(9, fitting.unwrap_or(b"{\"a\": 10}"));
            let mut blocks = vec![0, second];
            // Whatever follows was not looked at, but for the last byte.
            if fitting.is_some() {
                blocks.extend((0..RECORDED).find(|at| ends(&recorded.0[second].0, *at)));
            }
            let forged = Forged::new(&first, &recorded, &blocks);
            if fitting.is_some() {
                found.push(forged.opened_leniently().unwrap());
            }
            let opened = keyring.open(forged.frame().as_bytes());
            assert_eq!(opened, Err(Refusal::NotOpened), "{second}");
        }
        found
    };
    let found = std::thread::scope(|scope| {
        let half = scope.spawn(|| search(1, RECORDED / 2));
        let mut found = search(RECORDED / 2, RECORDED);
        found.extend(half.join().unwrap());
        found
    });
    // So the search is good: the rules of before let it find some.
    assert!(found.len() >= 3, "{found:?}");
}

/// Bits, as deflate packs them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn push(&mut self, value: u16, length: usize) {
        for bit in 0..length {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= u8::from(value >> bit & 1 == 1) << (self.count % 8);
            self.count += 1;
        }
    }
}

/// A whole stream of one block with fixed codes.
fn fixed_stream(text: &[u8; 9]) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.push(0x9c78, 16);
    bits.push(0b011, 3);
    for letter in text {
        // Codes go most significant bit first.
        bits.push(u16::from((0x30 + letter).reverse_bits()), 8);
    }
    bits.push(0, 7);
    [&bits.bytes[..], &adler32(text).to_be_bytes()].concat()
}

#[test]
fn what_begins_with_fixed_codes_finds_no_end_among_a_million_recorded_blocks() {
    let recorded = Recorded::new();
    let keyring = keyring();
    let streams: Vec<Vec<u8>> = texts_by_checksum().values().take(256).map(fixed_stream).collect();
    let mut inflated = vec![];
    flate2::Decompress::new(true)
        .decompress_vec(
            &streams[0],
            {
                inflated.reserve(64);
                &mut inflated
            },
            flate2::FlushDecompress::Finish,
        )
        .unwrap();
    assert_eq!(streams[0].len(), 17, "one byte of the checksum is left for the second block");
    assert!(inflated.starts_with(b"{\"") && inflated.len() == 9);
    let search = |from: usize, to: usize| {
        let mut found = 0;
        for second in from..to {
            let made = xor(&recorded.0[second].1, &recorded.0[0].0);
            // Of many texts, one whose checksum ends as the second block begins.
            let fitting = streams.iter().find(|stream| stream[16] == made[0]);
            let stream = fitting.unwrap_or(&streams[0]);
            let first: Block = stream[..16].try_into().unwrap();
            let forged = Forged::new(&first, &recorded, &[0, second]);
            found += u32::from(second.is_multiple_of(16) && forged.opened_leniently().is_some());
            let opened = keyring.open(forged.frame().as_bytes());
            assert_eq!(opened, Err(Refusal::NotOpened), "{second}");
        }
        found
    };
    let found = std::thread::scope(|scope| {
        let half = scope.spawn(|| search(1, RECORDED / 2));
        search(RECORDED / 2, RECORDED) + half.join().unwrap()
    });
    assert!(found >= 100, "the rules of before let it find some: {found}");
}

#[test]
fn messages_of_three_recorded_blocks_open_whatever_codes_they_begin_with_never() {
    let recorded = Recorded::new();
    let keyring = keyring();
    // Ten letters, which nothing repeats for long.
    let digits = (1..400_u64).map(|number| (number * number * 2_654_435_761).to_string());
    let text = format!("{{\"action\":\"{}\"}}", digits.collect::<String>());
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    let dynamic = encoder.finish().unwrap();
    assert_eq!(dynamic[2] >> 1 & 3, 2, "codes of its own");
    let firsts: [Block; 3] = [
        first_block(9 + 16, b"{\"action\""),
        fixed_stream(b"{\"action\"")[..16].try_into().unwrap(),
        dynamic[..16].try_into().unwrap(),
    ];
    let search = |from: usize, to: usize| {
        for second in from..to {
            let first = &firsts[second % firsts.len()];
            let blocks = [0, second, (second * 7_919) % RECORDED];
            let forged = Forged::new(first, &recorded, &blocks);
            let opened = keyring.open(forged.frame().as_bytes());
            assert_eq!(opened, Err(Refusal::NotOpened), "{second}");
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| search(1, RECORDED / 2));
        search(RECORDED / 2, RECORDED);
    });
}

/// The messages of a deployed agent, and one of each kind that are like them.
fn recorded_messages() -> Vec<(Value, Vec<u8>)> {
    let vectors: Value = serde_json::from_str(include_str!("vectors/heartbeats.json")).unwrap();
    assert_eq!(text(&vectors, "secret"), SECRET);
    let heartbeats = list(&vectors, "messages")
        .iter()
        .map(|message| (message["message"].clone(), text(message, "frame").as_bytes().to_vec()));
    let requests = [
        json!({"action": "daemon_status", "method": "GET"}),
        json!({"action": "object_monitor", "method": "POST", "options": {"path": "svc1", "global_expect": "started"}}),
    ];
    let own = sender("demo", "n22", SECRET);
    let requests = requests.into_iter().zip(2..).map(|(request, seed)| {
        let random = Seeded::new(seed);
        let frame = own.seal(&Form::Classic, &Prepared::new(&request), &random).unwrap();
        (request, frame[..frame.len() - 1].to_vec())
    });
    heartbeats.chain(requests).collect()
}

/// What a node makes of a frame, as a request or as a heartbeat.
fn accepted(frame: &[u8]) -> Option<Value> {
    let request = keyring().open(frame).ok().filter(Opened::is_request);
    request.map(|opened| opened.read().unwrap()).or_else(|| {
        let opened =
            keyring().open_heartbeat(frame, Kind::Heartbeat, |node| node.starts_with('n')).ok()?;
        opened.read().ok().filter(wire::heartbeat::is_well_formed)
    })
}

fn parts(frame: &[u8]) -> (Block, Vec<u8>) {
    let fields: Value = serde_json::from_slice(frame).unwrap();
    let bytes = |name| base64url::decode(text(&fields, name)).unwrap();
    (bytes("iv").try_into().unwrap(), bytes("data"))
}

fn frame_of(iv: &Block, data: &[u8]) -> String {
    Forged { iv: *iv, data: data.to_vec() }.frame()
}

#[test]
fn messages_cut_joined_and_written_anew_at_their_start_are_what_they_were_or_nothing() {
    let messages = recorded_messages();
    let mut tried = 0;
    let mut check = |iv: &Block, data: &[u8]| {
        tried += 1;
        let frame = frame_of(iv, data);
        if let Some(value) = accepted(frame.as_bytes()) {
            assert!(messages.iter().any(|(message, _)| *message == value), "{frame}: {value}");
        }
    };
    for (message, frame) in &messages {
        assert_eq!(accepted(frame).as_ref(), Some(message));
    }
    let short: Vec<(Block, Vec<u8>)> = messages
        .iter()
        .map(|(_, frame)| parts(frame))
        .filter(|(_, data)| data.len() < 2_048)
        .collect();
    assert!(short.len() >= 5);
    for (iv, data) in &short {
        // The start of one and the end of another.
        for (_, other) in &short {
            for cut in (0..data.len()).step_by(16 * (1 + data.len() / 96)) {
                for from in (0..other.len()).step_by(16 * (1 + other.len() / 96)) {
                    check(iv, &[&data[..cut], &other[from..]].concat());
                }
            }
        }
        // Every bit of the first and the last two blocks, and bytes of the end, which told the padding.
        for at in (0..16).chain(data.len() - 16..data.len()) {
            for bit in 0..8 {
                let (mut iv, mut data) = (*iv, data.clone());
                if at < 16 {
                    iv[at] ^= 1 << bit;
                } else {
                    data[at - 16] ^= 1 << bit;
                }
                check(&iv, &data);
            }
        }
    }
    assert!(tried > 10_000, "{tried}");
}

#[test]
fn a_ping_does_not_become_another_message_by_letters_of_the_same_checksum() {
    // `kin` and `lgo` have the same sums: the stream stays one, and its text JSON to the letter.
    let ping = json!({"compat": 10, "gen": {"n12": 7}, "monitor": {}, "updated": 1_795_362_841.5});
    let text = |kind: &str, word: &str| {
        let body = serde_json::to_string(&ping).unwrap();
        format!("{{\"{kind}\":\"{word}\",{}", &body[1..])
    };
    assert_eq!(adler32(b"\"kind\""), adler32(b"\"lgod\""));
    let own = sender("demo", "n12", SECRET);
    for (kind, word, is_heard) in
        [("kind", "ping", true), ("lgod", "ping", false), ("kind", "full", false)]
    {
        let body = Prepared::from_json(text(kind, word).into_bytes());
        let frame = own.seal(&Form::Classic, &body, &Seeded::new(3)).unwrap();
        assert_eq!(accepted(&frame).is_some(), is_heard, "{kind} {word}");
    }
    // Nor does what can be written into one block: it opens nothing and is no heartbeat.
    for short in [
        json!({}),
        json!([]),
        json!(null),
        json!(1),
        json!("abc"),
        json!({"": 1}),
        json!({"action": 1}),
    ] {
        let frame = own.seal(&Form::Classic, &Prepared::new(&short), &Seeded::new(4)).unwrap();
        assert_eq!(accepted(&frame), None, "{short}");
    }
}
