//! `toc`: the monitor action, taken when a monitored resource is lost.
//!
//! Part of the `impl` of [`Act`], in a file of its own for its length.

use std::time::Duration;

use machine::{durable, last_words};
use model::{GlobalExpect, MonitorStatus};

use crate::action::Act;
use crate::action::verb::Verb;
use crate::exec::Output;
use crate::exec_context::ExecContext;
use crate::failure::Failure;
use crate::host::Host;
use crate::launch::Command;
use crate::{announce, environment};

/// Time left to logs and disks before the node goes.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is done to the node.
fn node_letter(action: &str) -> Option<char> {
    match action {
        "reboot" => Some('b'),
        "crash" => Some('c'),
        _ => None,
    }
}

impl Act<'_> {
    /// Whether the action would take down the node, and so waits for no lock.
    pub(super) fn is_toc_of_node(&self) -> bool {
        self.instance
            .settings
            .monitor_action
            .as_deref()
            .is_some_and(|action| node_letter(action).is_some())
    }

    pub(super) fn toc(&self) -> Result<(), Failure> {
        let paths = &self.host.paths;
        if paths.instance_frozen(&self.instance.path).exists() || paths.node_frozen().exists() {
            return Err(Failure::refused("frozen"));
        }
        self.pre_monitor_action();
        let Some(action) = self.instance.settings.monitor_action.as_deref() else {
            self.instance.journal.info(format_args!("monitor_action is not set: nothing to do"));
            return Ok(());
        };
        self.instance.journal.warn(format_args!("monitor action {action}"));
        if self.options.dry_run {
            return Ok(());
        }
        match action {
            "freezestop" => {
                self.freeze()?;
                self.stop(Verb::Stop, self.options.force)
            }
            "switch" => {
                self.stop(Verb::Stop, self.options.force)?;
                // A peer takes over, and this node is out of the ranks.
                let path = &self.instance.path;
                let status = MonitorStatus::StartFailed;
                announce::monitor(paths, path, &status, None, Some(&GlobalExpect::Placed));
                Ok(())
            }
            other => match node_letter(other) {
                Some(letter) => self.take_node_down(self.host, letter, other),
                None => Err(Failure::refused(format!("monitor_action {other} is unknown"))),
            },
        }
    }

    fn pre_monitor_action(&self) {
        let journal = &self.instance.journal;
        let text = self.instance.section("DEFAULT").text("pre_monitor_action").ok().flatten();
        let command = match text.as_deref().map(Command::parse_trigger) {
            Some(Ok(Some(command))) => command,
            Some(Err(reason)) => {
                return journal.error(format_args!("pre_monitor_action: {reason}"));
            }
            _ => return,
        };
        journal.info(format_args!("pre_monitor_action: {}", command.line()));
        if self.options.dry_run {
            return;
        }
        let variables = environment::environment(&self.instance, Some("toc"), self.is_leader());
        let program = command.program().environment(variables).output(Output::Logged);
        let program = program.context(ExecContext::session());
        match program.run(&self.host.agent, &self.host.interrupt, journal) {
            Ok(ended) if !ended.is_success() => {
                journal.error(format_args!("pre_monitor_action: exit code {}", ended.code));
            }
            Ok(_) => {}
            Err(error) => journal.error(format_args!("pre_monitor_action: {error}")),
        }
    }

    fn take_node_down(&self, host: &Host, letter: char, action: &str) -> Result<(), Failure> {
        let path = &self.instance.path;
        let why = format!(
            "monitor_action {action} of {path}, the node is taken down: its resources stay down"
        );
        last_words::say(&host.paths, &why);
        std::thread::sleep(LAST_WORDS.min(host.last_words));
        let asked = (host.sysrq)(letter);
        // Still here: at least nothing is started on a node that should be gone.
        durable::touch(&host.paths.node_frozen()).map_err(Failure::io("freeze of the node"))?;
        asked.map_err(Failure::io("sysrq"))?;
        Err(Failure::refused("the node is still alive, and now frozen"))
    }
}
