//! The command line: arguments to requests, replies to text.
//!
//! [`parse`] turns the words of an operator, a script or the daemon itself into one typed [`Command`]; the renderers
//! turn replies and evaluated data into text. Nothing here reads a file, a socket or the clock: what is done with a
//! command, and where the text goes, is decided by the `actors` crate.

mod command;
mod complete;
mod examples;
mod options;
mod parse;
pub mod render;
mod tree;
mod unoffered;
mod waiting;

pub use command::{
    ActionOptions, ColorChoice, Command, ConfigAction, ConfigSource, CreateOptions, DaemonAction,
    DaemonCommand, DemoCommand, Edit, EnvelopeChoice, Format, InstanceAction, KeyAction, KeySource,
    LogOptions, MonitorCommand, NetAction, NodeAction, NodeCommand, ObjectAction, ObjectCommand,
    Output, PoolAction, RotateCommand, SecretSource, StockCommand, SyncAction, Target, Wait,
};
pub use complete::{Completion, complete, script};
pub use options::{Takes, duration, long_option};
pub use parse::{NOT_ANSWERED, NOT_ASKED, Usage, parse, usage_code};
pub use tree::group_names;
pub use waiting::{Seen, Verdict, Waiting};
