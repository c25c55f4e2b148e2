//! The command line: arguments to requests, replies to text.
//!
//! [`parse`] turns the words of an operator, a script or the daemon itself into one typed [`Command`]; the renderers
//! turn replies and evaluated data into text. Nothing here reads a file, a socket or the clock: what is done with a
//! command, and where the text goes, is decided by the crate `client`.

mod clap_tree;
mod command;
mod complete;
mod examples;
mod lookup;
mod moves;
mod options;
mod parse;
pub mod render;
mod tree;
mod unoffered;
mod usage;
mod waiting;

pub use clap_tree::whole_tree;
pub use command::{
    ApiCommand, CertificateAction, ColorChoice, Command, ConfigAction, ConfigSource, ContextAction,
    ContextCommand, CreateOptions, DaemonAction, DaemonCommand, DemoCommand, DocCommand,
    DrillOptions, Edit, EnvelopeChoice, Format, HistoryOptions, KeyAction, KeySource, LogOptions,
    LogTime, MonitorCommand, NetAction, NodeAction, NodeCommand, ObjectAction, ObjectCommand,
    Output, PasswordSource, PoolAction, Probe, RollCommand, RollWork, RotateCommand, SecretSource,
    StockCommand, Target, TopCommand, Wait, WhatIfCommand,
};
pub use complete::keywords::{Known, Sections};
pub use complete::{Completion, complete, script};
pub use lookup::{action_that_begins, long_option, option_name};
pub use moves::{Moves, Places};
pub use options::{Takes, duration};
pub use parse::{NOT_ANSWERED, NOT_ASKED, parse, usage_code};
pub use tree::group_names;
pub use usage::Usage;
pub use waiting::{LONGEST_WAIT, STUCK_AFTER, Seen, Verdict, Waiting, is_refused_for_now};
