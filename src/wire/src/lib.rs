//! Bytes to requests, replies and heartbeats: frames, sealing, opening.
//!
//! Incoming: [`Framing`] cuts a connection's bytes into frames, [`Keyring::open`] opens one in either dialect,
//! [`ReplayWindow`] keeps sealed ones from coming twice, [`Request::parse`] reads what it asks. Outgoing:
//! [`Prepared`] holds a body, [`Sender::seal`] puts it on the wire. Time and randomness are arguments.

pub mod base64url;
mod canonical;
mod classic;
mod frame;
mod framing;
pub mod heartbeat;
mod json;
mod keyring;
pub mod log;
mod prepared;
mod refusal;
mod replay;
pub mod reply;
mod request;
mod sealed;
mod secret;
mod weigh;
mod zlib;

pub use frame::{Dialect, Frame, Limits, Opened};
pub use framing::{Framing, Incoming, TooLong};
pub use json::{JsonError, parse_json, to_ascii_json};
pub use keyring::{Envelope, JOIN, Keyring, is_open_to_join};
pub use prepared::{Form, Prepared, Sender};
pub use refusal::{Refusal, is_not_member};
pub use replay::{MOST_IDS, ReplayWindow};
pub use request::*;
pub use sealed::{MessageId, Stamp};
pub use secret::{ClusterSecret, KeyError, Random};
pub use weigh::{is_within, parse_within, weigh, weigh_value};
