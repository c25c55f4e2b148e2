//! Replies and evaluated data to text.
//!
//! Every renderer returns a [`Text`]: lines of styled words. Its `Display` carries terminal escapes, which the caller
//! strips where they are not wanted; what peers and files say is made printable, so that only we write escapes.

mod diff;
mod doctor;
mod explain;
mod history;
mod instance;
mod json;
mod logs;
mod manual;
mod monitor;
mod page;
mod table;
mod text;
mod whatif;

pub use diff::{diff, summary};
pub use doctor::doctor;
pub use explain::{explanation, forecast};
pub use history::{Downtime, HistoryLine, downtime, history, span};
pub use instance::{InstanceView, instance};
pub use json::{flat_json, json};
pub use logs::{log_entry, log_line, reply_lines};
pub use manual::{manual, manual_json};
pub use monitor::{Room, Sections, monitor};
pub use page::manual_page;
pub use table::{Align, table};
pub use text::{Cell, Text, Tone, printable, size};
pub use whatif::what_if;
