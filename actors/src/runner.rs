//! The runner: child processes of instance actions, and evaluations of instances.
//!
//! Hears: monitors, the scheduler, requests. Tells: whoever asked, the cluster data.
//! Restart: running children go on and are adopted again; those who waited for their end read a closed mailbox.

use std::collections::BTreeSet;
use std::time::Duration;

use actix::prelude::*;
use model::ObjectPath;

/// Runs `om <path> <words> --local` for a monitor, within `node.max_parallel`. Answers with the exit code, none when it was
/// ended by a signal or could not be run.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<i32>")]
pub struct RunAction {
    /// The object.
    pub path: ObjectPath,
    /// Action and options: `start`, `--rid`, `app#1`.
    pub words: Vec<String>,
    /// Keyword `priority` of the object: the lowest is run first.
    pub priority: i64,
}

/// Runs a command line of the agent for a request, at once: `om <words>`.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<CommandOutcome, std::io::ErrorKind>")]
pub struct RunCommand {
    /// Words after `om`: `svc1 start --local`, `node freeze`.
    pub words: Vec<String>,
    /// Wait for the end and capture the output.
    pub sync: bool,
    /// The object concerned, evaluated again at the end.
    pub path: Option<ObjectPath>,
    /// Longest run when `sync`, none for no limit.
    pub time: Option<Duration>,
}

/// What became of a [`RunCommand`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// It ended.
    Ended {
        /// Standard output, bounded.
        out: String,
        /// Standard error, bounded.
        err: String,
        /// Exit code, 128 and the signal when one ended it.
        ret: i32,
    },
    /// It runs.
    Started {
        /// Its process id.
        pid: u32,
        /// Its session id, also in its log lines.
        session_id: String,
    },
}

/// Evaluates the local instance of an object and publishes it. Evaluations of one object never overlap: what is asked
/// while one runs makes one more. Answers when the result is published: false if it could not be evaluated.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Evaluate {
    /// The object.
    pub path: ObjectPath,
    /// Resources to ask; none for all. Others keep what they had.
    pub rids: Option<BTreeSet<String>>,
}

/// Runs `om node dequeue actions`. One run at a time; whatever asks while it runs makes one more run.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct DequeueActions;

/// The actor.
#[derive(Debug, Default)]
pub struct Runner {}

impl Actor for Runner {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        log::info!("runner started");
    }
}
