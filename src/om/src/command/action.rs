//! What is done to instances, and how.

use model::{GlobalExpect, Kind};

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

impl InstanceAction {
    /// The word or words that name it on a command line.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Boot => "boot",
            Self::Clear => "clear",
            Self::Delete => "delete",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Freeze => "freeze",
            Self::Giveback => "giveback",
            Self::Provision => "provision",
            Self::Purge => "purge",
            Self::Restart => "restart",
            Self::Run => "run",
            Self::SetProvisioned => "set provisioned",
            Self::SetUnprovisioned => "set unprovisioned",
            Self::Shutdown => "shutdown",
            Self::Start => "start",
            Self::Startstandby => "startstandby",
            Self::Stop => "stop",
            Self::Switch => "switch",
            Self::Sync(SyncAction::All) => "sync all",
            Self::Sync(SyncAction::Nodes) => "sync nodes",
            Self::Sync(SyncAction::Drp) => "sync drp",
            Self::Sync(SyncAction::Update) => "sync update",
            Self::Sync(SyncAction::Full) => "sync full",
            Self::Takeover => "takeover",
            Self::Thaw => "thaw",
            Self::Toc => "toc",
            Self::Unprovision => "unprovision",
        }
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
    /// (src/om/README.md, Where a command acts). `local` is this node's name, for `takeover`.
    #[must_use]
    pub fn target(self, options: &ActionOptions, local: &str) -> Option<GlobalExpect> {
        let target = match self {
            Self::Abort => GlobalExpect::Aborted,
            Self::Delete if options.unprovision => GlobalExpect::Purged,
            Self::Delete => GlobalExpect::Deleted,
            Self::Freeze => GlobalExpect::Frozen,
            Self::Giveback => GlobalExpect::Placed,
            Self::Provision => GlobalExpect::Provisioned,
            Self::Purge => GlobalExpect::Purged,
            Self::Restart => GlobalExpect::Restarted(None),
            Self::Shutdown => GlobalExpect::Shutdown,
            Self::Start => GlobalExpect::Started,
            Self::Stop => GlobalExpect::Stopped,
            Self::Switch => {
                GlobalExpect::PlacedAt(options.to.as_deref().unwrap_or("<peer>").into())
            }
            Self::Takeover => GlobalExpect::PlacedAt(local.into()),
            Self::Thaw => GlobalExpect::Thawed,
            Self::Unprovision => GlobalExpect::Unprovisioned,
            Self::Boot
            | Self::Clear
            | Self::Disable
            | Self::Enable
            | Self::Run
            | Self::SetProvisioned
            | Self::SetUnprovisioned
            | Self::Startstandby
            | Self::Sync(_)
            | Self::Toc => return None,
        };
        Some(target)
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
