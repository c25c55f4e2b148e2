//! What the runner is asked.

use crate::hearer::hearer;
use std::collections::BTreeSet;
use std::time::Duration;

use actix::prelude::*;
use model::{InstanceStatus, ObjectPath};

/// Runs an action for a monitor, within `node.max_parallel`, then evaluates the instance. Answers when the result is
/// published, with the exit code; none when it could not be run.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<i32>")]
pub struct RunAction {
    /// The object.
    pub path: ObjectPath,
    /// The action.
    pub action: monitor::Action,
    /// Keyword `priority` of the object: the lowest is run first.
    pub priority: i64,
}

/// An action that the runner started has handed over what it found at its end: the end is told without another look.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ActionFound {
    /// The session that the runner gave it.
    pub session: String,
}

/// Waits for the action that runs on an object, whoever started it: a monitor before it fell, an earlier life of this
/// daemon, an operator. Then evaluates the instance. Answers when the result is published; at once when none runs.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<Awaited>")]
pub struct AwaitAction(pub ObjectPath);

/// The end of an action that somebody else started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The action: `start`.
    pub action: String,
    /// Its exit code, if we are its parent.
    pub exit_code: Option<i32>,
}

/// Which action runs on an instance now, if one does, whoever started it.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<String>")]
pub struct FindAction(pub ObjectPath);

/// Ends the action that runs on an instance, whoever started it: it is asked to put things in order and to end.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct EndAction(pub ObjectPath);

/// Ends the actions that monitors started and that still run: the node is being shut down.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct StopActions;

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

/// Evaluates an instance that nothing is known to have changed: as [`Evaluate`], looking first at the processes that are
/// known.
#[derive(Debug, Clone, Message)]
#[rtype(result = "bool")]
pub struct Recheck {
    /// The object.
    pub path: ObjectPath,
    /// Resources to ask; none for all. Others keep what they had.
    pub rids: Option<BTreeSet<String>>,
}

/// Runs `om <path> <words>` for the scheduler, then evaluates the instance. Answers with the exit code at its end.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Option<i32>")]
pub struct RunScheduled {
    /// The object.
    pub path: ObjectPath,
    /// Action and options: `run`, `--rid`, `task#1`.
    pub words: Vec<String>,
}

/// A command posts what it found of an instance; answered once that is published.
///
/// By the runner, which publishes what evaluations find: one that looked before it must not come after it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Post {
    /// The object.
    pub path: ObjectPath,
    /// What was found.
    pub status: Box<InstanceStatus>,
}

/// Evaluates these instances when there is time; nobody waits.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct EvaluateLater(pub Vec<ObjectPath>);

/// The instance is no more: nothing of it is watched.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Forget(pub ObjectPath);

/// Runs `om node dequeue actions`. One run at a time and one per 10 s; whatever asks meanwhile
/// makes one more run.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct DequeueActions;

hearer! {
    /// The runner.
    ToRunner {
        run_action: RunAction,
        action_found: ActionFound,
        await_action: AwaitAction,
        find_action: FindAction,
        end_action: EndAction,
        stop_actions: StopActions,
        run_command: RunCommand,
        evaluate: Evaluate,
        recheck: Recheck,
        run_scheduled: RunScheduled,
        post: Post,
        evaluate_later: EvaluateLater,
        forget: Forget,
        dequeue_actions: DequeueActions,
    }
}
