//! What is made of a reply, and what that takes.

use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::JsonError;
use wire::reply::Part;

use crate::heavy::Room;

/// Most memory that reading a reply may take which is passed on as it is: the whole log of an object, in short lines.
pub(crate) const HEAVIEST_PART: usize = 128 << 20;

/// How a body is read, in a room.
pub(crate) type ReadBody<T> = fn(Vec<u8>, Room) -> Result<T, JsonError>;

pub(crate) fn read_value<T: DeserializeOwned>(body: Vec<u8>, room: Room) -> Result<T, JsonError> {
    wire::parse_within(&body, room.weight)
}

/// What is made of a reply, and what that takes.
#[derive(Debug, Clone, Copy)]
pub struct Reading<T> {
    pub(crate) read: ReadBody<T>,
    pub(crate) weigh: fn(&T) -> usize,
}

/// A reply as a value.
pub const VALUE: Reading<Value> = Reading { read: read_value, weigh: wire::weigh_value };

/// A reply as a text that is passed on as it is.
pub const TEXT: Reading<Part> = Reading {
    read: |body, _| Part::from_text(body, HEAVIEST_PART),
    // And again when it is sealed.
    weigh: |part| 2 * part.body().size_bytes(),
};
