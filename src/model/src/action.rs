//! What is done to instances, and how: the one table of actions.

use crate::LocalExpect::Started;
use crate::{GlobalExpect, GlobalExpect as G, Kind, LocalExpect, MonitorStatus};

/// An action on the instances of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceAction {
    /// `abort`: drops the current target.
    Abort,
    /// `boot`: what a host start needs before the first evaluation.
    Boot,
    /// `clear`: forgets a failed action.
    Clear,
    /// `delete`: removes the object, or sections with `--rid`.
    Delete,
    /// `disable`.
    Disable,
    /// `enable`.
    Enable,
    /// `freeze`: blocks orchestration.
    Freeze,
    /// `giveback`: back to the best placement.
    Giveback,
    /// `provision`.
    Provision,
    /// `purge`: unprovision, then delete.
    Purge,
    /// `restart`.
    Restart,
    /// `run`: tasks, now.
    Run,
    /// `set provisioned`.
    SetProvisioned,
    /// `set unprovisioned`.
    SetUnprovisioned,
    /// `shutdown`: stop, standby resources too.
    Shutdown,
    /// `start`.
    Start,
    /// `startstandby`: standby resources only.
    Startstandby,
    /// `stop`.
    Stop,
    /// `switch`, `move`: to the node of `--to`, else to the best peer.
    Switch,
    /// `sync ..`.
    Sync(SyncAction),
    /// `takeover`: to this node.
    Takeover,
    /// `thaw`.
    Thaw,
    /// `toc`: the monitor action.
    Toc,
    /// `unprovision`.
    Unprovision,
}

/// `sync ..`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncAction {
    /// `sync all`: to nodes and drpnodes.
    All,
    /// `sync nodes`.
    Nodes,
    /// `sync drp`.
    Drp,
    /// `sync update`.
    Update,
    /// `sync full`.
    Full,
}

/// What is known of an action.
struct Row {
    words: &'static str,
    /// What the monitor says while the action runs, and after it failed.
    progress: Option<(MonitorStatus, MonitorStatus)>,
    /// The target that a bare command sets; [`InstanceAction::target`] knows the node of one that needs it.
    target: Option<GlobalExpect>,
    /// The local target that the action leaves behind.
    local_expect: Option<Option<LocalExpect>>,
}

/// Makes the table of actions.
macro_rules! table {
    (@some) => { None };
    (@some $known:expr) => { Some($known) };
    ($($name:ident $(($which:ident))? $words:literal
        [$($running:ident $failed:ident)?] [$($target:expr)?] [$($local:expr)?];)+) => {
        impl InstanceAction {
            /// All, in the order of their names.
            pub const ALL: &'static [Self] = &[$(Self::$name $((SyncAction::$which))?),+];

            fn row(self) -> Row {
                match self {
                    $(Self::$name $((SyncAction::$which))? => Row {
                        words: $words,
                        progress: table!(@some $((MonitorStatus::$running, MonitorStatus::$failed))?),
                        target: table!(@some $($target)?),
                        local_expect: table!(@some $($local)?),
                    },)+
                }
            }
        }
    };
}

// The columns: action, words, monitor status while it runs and after it failed, target, local target.
table! {
    Abort           "abort"             []                                  [G::Aborted]                    [];
    Boot            "boot"              []                                  []                              [];
    Clear           "clear"             []                                  []                              [];
    Delete          "delete"            [Deleting DeleteFailed]             [G::Deleted]                    [None];
    Disable         "disable"           []                                  []                              [];
    Enable          "enable"            []                                  []                              [];
    Freeze          "freeze"            [Freezing FreezeFailed]             [G::Frozen]                     [];
    Giveback        "giveback"          []                                  [G::Placed]                     [];
    Provision       "provision"         [Provisioning ProvisionFailed]      [G::Provisioned]                [];
    Purge           "purge"             [Purging PurgeFailed]               [G::Purged]                     [None];
    Restart         "restart"           [Restarting RestartFailed]          [G::Restarted(None)]            [Some(Started)];
    Run             "run"               []                                  []                              [];
    SetProvisioned  "set provisioned"   []                                  []                              [];
    SetUnprovisioned "set unprovisioned" []                                 []                              [];
    Shutdown        "shutdown"          [Shutting ShutdownFailed]           [G::Shutdown]                   [None];
    Start           "start"             [Starting StartFailed]              [G::Started]                    [Some(Started)];
    Startstandby    "startstandby"      [Starting StartFailed]              []                              [];
    Stop            "stop"              [Stopping StopFailed]               [G::Stopped]                    [None];
    Switch          "switch"            []                                  [G::PlacedAt("<peer>".into())]  [];
    Sync (All)      "sync all"          []                                  []                              [];
    Sync (Nodes)    "sync nodes"        []                                  []                              [];
    Sync (Drp)      "sync drp"          []                                  []                              [];
    Sync (Update)   "sync update"       []                                  []                              [];
    Sync (Full)     "sync full"         []                                  []                              [];
    Takeover        "takeover"          []                                  [G::PlacedAt("".into())]        [];
    Thaw            "thaw"              [Thawing ThawFailed]                [G::Thawed]                     [];
    Toc             "toc"               [Tocing TocFailed]                  []                              [None];
    Unprovision     "unprovision"       [Unprovisioning UnprovisionFailed]  [G::Unprovisioned]              [None];
}

impl InstanceAction {
    /// The word or words that name it on a command line.
    #[must_use]
    pub fn words(self) -> &'static str {
        self.row().words
    }

    /// The action of these words.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.words() == words)
    }

    /// What the monitor says while it runs, and after it failed; none if it tells the monitor nothing.
    #[must_use]
    pub fn progress(self) -> Option<(MonitorStatus, MonitorStatus)> {
        self.row().progress
    }

    /// The action that a monitor status tells; none if it tells of no action on an instance.
    #[must_use]
    pub fn told_by(status: &MonitorStatus) -> Option<Self> {
        // The monitor has a word of its own for what the command line calls `shutting`.
        if *status == MonitorStatus::Shutdown {
            return Some(Self::Shutdown);
        }
        let is_told = |action: &Self| action.progress().is_some_and(|(said, _)| said == *status);
        Self::ALL.iter().copied().find(is_told)
    }

    /// The local target that it leaves behind when it is about the whole instance: `Some(None)` unsets it, whether the
    /// action succeeds or not.
    #[must_use]
    pub fn local_expect(self) -> Option<Option<LocalExpect>> {
        self.row().local_expect
    }

    /// Whether it changes where the object runs.
    #[must_use]
    pub fn moves_object(self) -> bool {
        use InstanceAction::{Provision, Restart, Shutdown, Start, Stop, Unprovision};
        matches!(self, Start | Stop | Restart | Provision | Unprovision | Shutdown)
    }

    /// Whether its success says that what failed before is over.
    #[must_use]
    pub fn mends(self) -> bool {
        // What failed on the machine before it booted says nothing of the one that runs now.
        let is_new = matches!(self, Self::Boot | Self::Startstandby | Self::Delete | Self::Purge);
        self.moves_object() || is_new
    }

    /// Whether why it failed is kept.
    #[must_use]
    pub fn keeps_failure(self) -> bool {
        self.progress().is_some() || self.is_beside()
    }

    /// Whether it runs beside the instance and leaves its state as it is: a sync, a task.
    #[must_use]
    pub fn is_beside(self) -> bool {
        matches!(self, Self::Sync(_) | Self::Run)
    }

    /// Whether its success ends what is kept of a failure of `other`.
    #[must_use]
    pub fn ends_failure_of(self, other: &str) -> bool {
        use SyncAction::{All, Full, Update};
        let is_over = match Self::from_words(other) {
            // These reach all that the others do.
            Some(Self::Sync(_)) if matches!(self, Self::Sync(All | Full | Update)) => true,
            Some(beside) if beside.is_beside() => self == beside,
            _ => return self.mends(),
        };
        is_over || matches!(self, Self::Delete | Self::Purge)
    }

    /// Whether its failure is kept over one of `other`: what keeps an instance from running is told before what failed
    /// beside it.
    #[must_use]
    pub fn covers_failure_of(self, other: &str) -> bool {
        !self.is_beside() || Self::from_words(other).is_none_or(Self::is_beside)
    }

    /// Whether it means something to objects of a kind. To others it is nothing to do.
    #[must_use]
    pub fn applies_to(self, kind: Kind) -> bool {
        match kind {
            Kind::Svc | Kind::Vol => true,
            // They have a configuration, and no instances.
            Kind::Cfg | Kind::Sec | Kind::Usr | Kind::Nscfg => {
                matches!(self, Self::Delete | Self::Purge)
            }
            Kind::Ccfg => false,
        }
    }

    /// The target that a bare command sets for the whole object, none for actions that run where they are typed
    /// (src/cli/README.md, Where a command acts). `local` is this node's name, for `takeover`.
    #[must_use]
    pub fn target(self, options: &ActionOptions, local: &str) -> Option<GlobalExpect> {
        match (self, &options.to) {
            (Self::Delete, _) if options.unprovision => Some(GlobalExpect::Purged),
            (Self::Switch, Some(node)) => Some(GlobalExpect::PlacedAt(node.as_str().into())),
            (Self::Takeover, _) => Some(GlobalExpect::PlacedAt(local.into())),
            _ => self.row().target,
        }
    }
}

/// On which resources an action works, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActionOptions {
    /// `--rid`: resource ids, groups, `group.driver`, comma separated.
    pub rid: Option<String>,
    /// `--tags`: `a,b` or, `a+b` and.
    pub tags: Option<String>,
    /// `--subsets`, comma separated.
    pub subsets: Option<String>,
    /// `--upto`: the last resource or group to start.
    pub upto: Option<String>,
    /// `--downto`: the last resource or group to stop.
    pub downto: Option<String>,
    /// `--to`: destination node of a switch.
    pub to: Option<String>,
    /// `--force`.
    pub force: bool,
    /// `--dry-run`: tell what would be done.
    pub dry_run: bool,
    /// `--leader`: this instance provisions what is shared.
    pub leader: bool,
    /// `--disable-rollback`.
    pub disable_rollback: bool,
    /// `--parallel`: several objects at a time.
    pub parallel: bool,
    /// `--waitlock`, seconds: how long to wait for the action lock. None: keyword `lock_timeout`.
    pub waitlock: Option<f64>,
    /// `--nolock`: take no action lock.
    pub nolock: bool,
    /// `--cron`: run by the scheduler.
    pub cron: bool,
    /// `--confirm`: runs tasks that ask for a confirmation.
    pub confirm: bool,
    /// `--master`: resources of this object, not of its slaves.
    pub master: bool,
    /// `--slaves`: resources of all slaves.
    pub slaves: bool,
    /// `--slave`: resources of these slaves, comma separated.
    pub slave: Option<String>,
    /// `--unprovision`: of a delete.
    pub unprovision: bool,
    /// `--purge-collector`: of a delete.
    pub purge_collector: bool,
    /// `--reason`: noted in the log.
    pub reason: Option<String>,
    /// `--env`: `NAME=value` for the environment of what is run.
    pub env: Vec<(String, String)>,
}

impl ActionOptions {
    /// Whether only some resources are meant.
    #[must_use]
    pub fn has_filter(&self) -> bool {
        self.rid.is_some()
            || self.tags.is_some()
            || self.subsets.is_some()
            || self.upto.is_some()
            || self.downto.is_some()
    }

    /// Whether a command with these options acts here instead of setting a target.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.has_filter() || self.master || self.slaves || self.slave.is_some() || self.cron
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_found_by_its_words_and_stands_once() {
        for &action in InstanceAction::ALL {
            assert_eq!(InstanceAction::from_words(action.words()), Some(action));
            assert_eq!(InstanceAction::ALL.iter().filter(|other| **other == action).count(), 1);
        }
        assert_eq!(InstanceAction::from_words("begin"), None);
    }

    #[test]
    fn what_runs_beside_an_instance_has_failures_of_its_own() {
        use InstanceAction::{Boot, Freeze, Run, Start, Stop, Sync};
        let (all, nodes) = (Sync(SyncAction::All), Sync(SyncAction::Nodes));
        let ends = |action: InstanceAction, other| action.ends_failure_of(other);
        let told = [ends(all, "sync nodes"), ends(nodes, "sync all"), ends(nodes, "sync nodes")];
        assert_eq!(told, [true, false, true]);
        assert_eq!(
            [ends(Start, "sync all"), ends(Start, "run"), ends(Run, "run")],
            [false, false, true]
        );
        let told = [ends(Run, "start"), ends(Start, "stop"), ends(Freeze, "start")];
        assert_eq!(told, [false, true, false]);
        assert_eq!([ends(Boot, "start"), ends(Boot, "sync all")], [true, false]);
        let covers = |action: InstanceAction, other| action.covers_failure_of(other);
        assert_eq!(
            [covers(all, "start"), covers(all, "run"), covers(Stop, "run")],
            [false, true, true]
        );
    }

    #[test]
    fn progress_is_told_in_the_words_of_deployed_agents() {
        let told: Vec<String> = InstanceAction::ALL
            .iter()
            .filter_map(|action| action.progress().map(|said| (action.words(), said)))
            .map(|(words, (running, failed))| format!("{words}: {running}, {failed}"))
            .collect();
        assert_eq!(
            told,
            [
                "delete: deleting, delete failed",
                "freeze: freezing, freeze failed",
                "provision: provisioning, provision failed",
                "purge: purging, purge failed",
                "restart: restarting, restart failed",
                "shutdown: shutting, shutdown failed",
                "start: starting, start failed",
                "startstandby: starting, start failed",
                "stop: stopping, stop failed",
                "thaw: thawing, thaw failed",
                "toc: tocing, toc failed",
                "unprovision: unprovisioning, unprovision failed",
            ]
        );
    }

    #[test]
    fn a_monitor_status_tells_its_action() {
        use InstanceAction as A;
        for (status, action) in [
            ("starting", Some(A::Start)),
            ("stopping", Some(A::Stop)),
            ("restarting", Some(A::Restart)),
            ("freezing", Some(A::Freeze)),
            ("thawing", Some(A::Thaw)),
            ("provisioning", Some(A::Provision)),
            ("unprovisioning", Some(A::Unprovision)),
            ("deleting", Some(A::Delete)),
            ("purging", Some(A::Purge)),
            ("tocing", Some(A::Toc)),
            ("shutting", Some(A::Shutdown)),
            ("shutdown", Some(A::Shutdown)),
            ("placing", None),
            ("aborting", None),
            ("scaling", None),
            ("idle", None),
            ("start failed", None),
            ("wait parents", None),
        ] {
            assert_eq!(A::told_by(&status.into()), action, "{status}");
        }
    }

    #[test]
    fn an_action_leaves_a_local_target_behind() {
        let leaves = |expect: Option<Option<LocalExpect>>| {
            let all = InstanceAction::ALL.iter().copied();
            all.filter(|action| action.local_expect() == expect)
                .map(InstanceAction::words)
                .collect::<Vec<_>>()
        };
        assert_eq!(leaves(Some(Some(LocalExpect::Started))), ["restart", "start"]);
        let unset = ["delete", "purge", "shutdown", "stop", "toc", "unprovision"];
        assert_eq!(leaves(Some(None)), unset);
        assert_eq!(leaves(Some(Some(LocalExpect::Shutdown))), [""; 0]);
    }

    #[test]
    fn a_bare_command_sets_a_target() {
        let targets = |options: &ActionOptions| -> Vec<String> {
            let all = InstanceAction::ALL.iter().copied();
            all.filter_map(|action| Some((action, action.target(options, "n1")?)))
                .map(|(action, target)| format!("{}: {target}", action.words()))
                .collect()
        };
        let bare = targets(&ActionOptions::default());
        assert_eq!(
            bare,
            [
                "abort: aborted",
                "delete: deleted",
                "freeze: frozen",
                "giveback: placed",
                "provision: provisioned",
                "purge: purged",
                "restart: restarted",
                "shutdown: shutdown",
                "start: started",
                "stop: stopped",
                "switch: placed@<peer>",
                "takeover: placed@n1",
                "thaw: thawed",
                "unprovision: unprovisioned",
            ]
        );
        let to = Some("n2".to_owned());
        let other = targets(&ActionOptions { unprovision: true, to, ..ActionOptions::default() });
        let is_other = |target: &&String| !bare.contains(target);
        let other: Vec<&String> = other.iter().filter(is_other).collect();
        assert_eq!(other, ["delete: purged", "switch: placed@n2"]);
    }
}
