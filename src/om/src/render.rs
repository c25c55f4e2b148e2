//! Replies and evaluated data to text.
//!
//! Every renderer returns a [`Text`]: lines of styled words. Its `Display` carries terminal escapes, which the caller
//! strips where they are not wanted; what peers and files say is made printable, so that only we write escapes.

mod explain;
mod instance;
mod json;
mod logs;
mod monitor;
mod table;
mod text;

pub use explain::{explanation, forecast};
pub use instance::{InstanceView, instance};
pub use json::{flat_json, json};
pub use logs::{log_entry, reply_lines};
pub use monitor::{Room, Sections, monitor};
pub use table::{Align, table};
pub use text::{Cell, Text, Tone, printable, size};
