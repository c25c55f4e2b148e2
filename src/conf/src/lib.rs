//! Configuration text to typed settings.
//!
//! An operator's text becomes a document ([`Ini`]), that of an object ([`ObjectConf`]) or of the node
//! ([`NodeConf`]); its keywords are evaluated for one node in a [`Context`], and become [`model::ObjectSettings`],
//! [`NodeSettings`] and the values that drivers read ([`SectionReader`]). A mistake is a [`Complaint`], never a panic.

mod complaint;
mod context;
mod convert;
mod edit;
mod eval;
mod expr;
mod ini;
mod join;
mod keywords;
mod node;
mod object;
mod rotate;
mod schedule;
mod select;
mod validate;
mod value;

pub use complaint::{Complaint, Severity};
pub use context::{Context, Facts, Folders, Labels, Reads};
pub use convert::{Converter, Expected, SizeOptions, parse_duration, parse_size, split_words};
pub use edit::{Edit, EditError};
pub use eval::{EvalError, EvalReason, Evaluated};
pub use expr::evaluate as evaluate_expression;
pub use ini::{Change, Doubled, Ini, IniError, IniReason};
pub use join::{JoinError, JoinReply, join_node_conf, leave_cluster_conf, leave_node_conf};
pub use keywords::{has_driver, keyword_list, node_keyword_list};
pub use node::{
    ArbitratorSettings, Envelope, Followed, Found, HeartbeatSettings, ListenerSettings, LogLevel,
    NODE_FILES, NodeConf, NodeSettings, Secret, SplitAction, Threshold,
};
pub use object::{ObjectConf, SectionReader};
pub use rotate::{RotateError, drop_previous_secret, offer_secret, use_next_secret};
pub use schedule::{Due, Schedule, ScheduleError};
pub use select::{LONGEST_EXPRESSION, NodeSelector, ObjectSelector, Objects, SelectorError, glob};
pub use value::Value;

/// Splits `[section.]keyword`, DEFAULT when there is no section. Only a dot before a scope separates.
#[must_use]
pub fn split_keyword(text: &str) -> (&str, &str) {
    let before_scope = text.find('@').unwrap_or(text.len());
    match text[..before_scope].find('.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => ("DEFAULT", text),
    }
}

/// A random (version 4) uuid made of 16 random bytes.
#[must_use]
pub fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (index, byte) in random.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
