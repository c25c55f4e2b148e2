//! Bytes to requests, replies and heartbeats: frames, sealing, opening.
//!
//! Incoming: [`Framing`] cuts a connection's bytes into frames, [`Keyring::open`] opens one in either dialect,
//! [`Freshness`] keeps sealed ones from coming twice or late, [`Request::parse`] reads what it asks. Outgoing:
//! [`Prepared`] holds a body, [`Sender::seal`] puts it on the wire. Time and randomness are arguments.
//!
//! `README.md` of the crate has the formats, and what was decided about them.

pub mod base64url;
mod canonical;
mod classic;
mod dialect;
mod frame;
mod framing;
mod freshness;
pub mod heartbeat;
mod json;
pub mod jsonpath;
mod keyring;
pub mod log;
mod opened;
mod prepared;
mod raw;
mod refusal;
pub mod reply;
mod request;
pub mod sealed;
mod secret;
mod seen;
mod weigh;
mod zlib;

pub use dialect::Dialect;
pub use frame::{Frame, Limits, cipher_id, is_sealed_frame};
pub use framing::{Framing, Incoming, TooLong};
pub use freshness::{Accepted, Beat, Freshness, MOST_IDS, Source};
pub use json::{JsonError, parse_json, to_ascii_json};
pub use keyring::{Envelope, Keyring, is_open_to_join};
pub use opened::Opened;
pub use prepared::{Form, Prepared, ReplyTo, Seal, Sender};
pub use raw::Raw;
pub use refusal::{Refusal, is_not_member};
pub use request::*;
pub use sealed::{
    ALL, ANY_GENERATION, BootId, FIRST_GENERATION, JOIN, Kind, MessageId, Moment, Stamp, UNNAMED,
};
pub use secret::{ClusterSecret, KeyError, Random};
pub use seen::{CipherId, MOST_CHANGING, MOST_OTHERS, SeenMessages};
pub use weigh::{is_lighter, is_within, parse_within, weigh, weigh_value};
