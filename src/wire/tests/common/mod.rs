//! What the suites of this room share.

#![allow(dead_code, reason = "no suite uses all of it")]

use std::cell::Cell;

use serde_json::Value;
use wire::{BootId, ClusterSecret, Envelope, Keyring, Limits, Moment, Random, Sender};

/// A time of the tests, in milliseconds.
pub(crate) const T: i64 = 1_795_362_841_123;

/// A wall time, on a machine that booted an hour before [`T`].
pub(crate) fn moment(t_ms: i64) -> Moment {
    Moment { boot: BootId([0xb0; 16]), b_us: 3_600_000_000 + (t_ms - T) * 1_000, t_ms }
}

pub(crate) const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";

/// Draws from a seed: the same again on every run.
pub(crate) struct Seeded(Cell<u64>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub(crate) fn below(&self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

impl Random for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill_with(|| self.next() as u8);
    }
}

/// Always the same bytes.
pub(crate) struct Fixed(pub(crate) Vec<u8>);

impl Random for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0);
    }
}

pub(crate) fn sender(clustername: &str, nodename: &str, secret: &str) -> Sender {
    Sender::new(clustername, nodename, ClusterSecret::new(secret))
}

/// Node n11 of cluster demo, which takes both dialects.
pub(crate) fn keyring() -> Keyring {
    Keyring {
        own: sender("demo", "n11", SECRET),
        accepted: Default::default(),
        envelope: Envelope::Any,
        drpnodes: Default::default(),
        limits: Limits::default(),
    }
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no array {name}"))
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// A reply without what depends on the interpreter that recorded it.
pub(crate) fn without_traceback(reply: &Value) -> Value {
    let mut reply = reply.clone();
    if let Some(reply) = reply.as_object_mut() {
        reply.remove("traceback");
    }
    reply
}
