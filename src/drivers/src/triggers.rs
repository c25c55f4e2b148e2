//! Triggers: commands before and after an action, of the object and of its resources.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::action::verb::Verb;
use crate::driver::{Instance, Resource, check_cut};
use crate::environment::environment;
use crate::exec::{LIMIT, LONG_LIMIT, Output};
use crate::exec_context::ExecContext;
use crate::failure::Failure;
use crate::host::Host;
use crate::journal::Journal;
use crate::launch::Command;

/// When a trigger runs, and whether its failure stops the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before; a failure is a warning.
    Pre,
    /// Before; a failure stops the action.
    BlockingPre,
    /// After; a failure is a warning.
    Post,
    /// After; a failure is an error.
    BlockingPost,
}

impl Moment {
    fn prefix(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::BlockingPre => "blocking_pre",
            Self::Post => "post",
            Self::BlockingPost => "blocking_post",
        }
    }

    fn is_blocking(self) -> bool {
        matches!(self, Self::BlockingPre | Self::BlockingPost)
    }
}

/// A trigger's surroundings.
#[derive(Clone, Copy)]
pub(crate) struct Triggers<'a> {
    /// The node.
    pub host: &'a Host,
    /// The instance.
    pub instance: &'a Instance,
    /// The action.
    pub verb: Verb,
    /// This node does what is done once per object.
    pub is_leader: bool,
    /// Say what would be run, run nothing.
    pub is_dry_run: bool,
    /// Set when one is run: states found before are not those of now.
    pub has_acted: &'a AtomicBool,
}

impl Triggers<'_> {
    /// Runs a trigger of the object.
    ///
    /// # Errors
    ///
    /// A blocking one that fails.
    pub(crate) fn of_object(&self, moment: Moment) -> Result<(), Failure> {
        self.run("DEFAULT", moment, &self.instance.journal)
    }

    /// Runs a trigger of a resource. The object's triggers are not inherited.
    ///
    /// # Errors
    ///
    /// A blocking one that fails.
    pub(crate) fn of_resource(&self, resource: &Resource, moment: Moment) -> Result<(), Failure> {
        let journal = self.instance.journal.resource(resource.rid.as_str());
        self.run(resource.rid.as_str(), moment, &journal)
    }

    fn run(&self, section: &str, moment: Moment, journal: &Journal) -> Result<(), Failure> {
        let Some(word) = self.verb.trigger_word() else { return Ok(()) };
        let keyword = format!("{}_{word}", moment.prefix());
        let ini = self.instance.conf.ini();
        // Only what the section itself says, in any scope, is evaluated.
        let scope = format!("{keyword}@");
        if !ini.keywords(section).any(|(name, _)| name == keyword || name.starts_with(&scope)) {
            return Ok(());
        }
        let text = self.instance.section(section).value(&keyword)?.to_string();
        let command = match Command::parse_trigger(&text) {
            Ok(Some(command)) if text != "None" => command,
            Ok(_) => return Ok(()),
            Err(reason) => return self.failed(moment, journal, Failure::refused(reason)),
        };
        journal.info(format_args!("{keyword}: {}", command.line()));
        if self.is_dry_run {
            return Ok(());
        }
        self.has_acted.store(true, Ordering::Relaxed);
        let variables = environment(self.instance, Some(self.verb.word()), self.is_leader);
        let limit = self.limit(section);
        let program = command.program().environment(variables).output(Output::Logged);
        let program = program.timeout(limit).context(ExecContext::session());
        let ended = match program.run(&self.host.agent, &self.host.interrupt, journal) {
            Ok(ended) => ended,
            Err(error) => return self.failed(moment, journal, Failure::io(keyword)(error)),
        };
        if ended.is_success() {
            return Ok(());
        }
        if let Err(failure) = check_cut(&program, &ended) {
            return self.failed(moment, journal, failure);
        }
        let failure = Failure::Exit {
            command: keyword,
            code: ended.code,
            line: ended.last_line().to_owned(),
        };
        self.failed(moment, journal, failure)
    }

    /// How long a trigger may take: as long as the action itself, where a keyword says that.
    fn limit(&self, section: &str) -> Option<Duration> {
        let default = match self.verb {
            Verb::Provision | Verb::Unprovision | Verb::Run | Verb::Sync(_) => LONG_LIMIT,
            Verb::Start | Verb::Startstandby | Verb::Stop | Verb::Shutdown => LIMIT,
        };
        let section = self.instance.section(section);
        // Most drivers have no such keyword.
        let said = |keyword: &str| section.duration(keyword).ok().flatten();
        let said = said(&format!("{}_timeout", self.verb.requires_word())).or(said("timeout"));
        Some(said.unwrap_or(default)).filter(|limit| !limit.is_zero())
    }

    fn failed(&self, moment: Moment, journal: &Journal, failure: Failure) -> Result<(), Failure> {
        if moment.is_blocking() {
            return Err(failure);
        }
        journal.warn(format_args!("{failure}"));
        Ok(())
    }
}
