//! Bytes to requests, replies and heartbeats: frames, sealing, opening.

mod json;
mod request;

pub use json::{JsonError, parse_json, to_ascii_json};
pub use request::*;
