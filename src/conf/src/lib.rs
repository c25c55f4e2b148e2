//! Configuration text to typed settings.
//!
//! An operator's text becomes a document ([`Ini`]), that of an object ([`ObjectConf`]) or of the node
//! ([`NodeConf`]); its keywords are evaluated for one node in a [`Context`], and become [`model::ObjectSettings`],
//! [`NodeSettings`] and the values that drivers read ([`SectionReader`]). A mistake is a [`Complaint`], never a panic.

mod between;
mod complaint;
mod context;
mod convert;
mod doc;
mod dotted;
mod edit;
mod eval;
mod expr;
mod ini;
mod join;
mod keywords;
mod labels;
mod manual;
mod node;
mod object;
pub mod peer_address;
pub mod redact;
mod rotate;
mod schedule;
mod select;
mod validate;
mod value;

pub use between::edits_between;
pub use complaint::{Complaint, Severity};
pub use context::{Context, Facts, Folders, Reads};
pub use convert::Converter;
pub use convert::expected::Expected;
pub use convert::quantity::{SizeOptions, parse_duration, parse_size};
pub use convert::words::split_words;
pub use dotted::split_keyword;
pub use edit::{Edit, EditError};
pub use eval::Evaluated;
pub use eval::error::{EvalError, EvalReason};
pub use expr::evaluate as evaluate_expression;
pub use ini::error::{IniError, IniReason};
pub use ini::{Change, Doubled, Ini, Sections};
pub use join::{
    JoinError, JoinReply, first_heartbeat, has_heartbeats, join_node_conf, leave_cluster_conf,
    leave_node_conf,
};
pub use keywords::{has_driver, node_keyword_list};
pub use labels::Labels;
pub use manual::look_up::{Answer, Unfound};
pub use manual::{Book, Entry, Group};
pub use node::NodeConf;
pub use node::follow::{Followed, Found, NODE_FILES};
pub use node::settings::{
    ArbitratorSettings, Envelope, HeartbeatSettings, ListenerSettings, LogLevel, MetricsAccess,
    NodeSettings, Secret, SplitAction, Threshold,
};
pub use object::ObjectConf;
pub use object::section::SectionReader;
pub use rotate::{RotateError, drop_previous_secret, offer_secret, use_next_secret};
pub use schedule::rule::ScheduleError;
pub use schedule::{Due, Schedule};
pub use select::nodes::NodeSelector;
pub use select::objects::{ObjectSelector, Objects};
pub use select::work::{LONGEST_EXPRESSION, SelectorError, glob};
pub use validate::volumes::is_pool_of_each_node;
pub use value::Value;

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
