//! What an action does to resources, and what it is called.

use model::SyncAction;

/// What is done to resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `start`.
    Start,
    /// `startstandby`.
    Startstandby,
    /// `stop`.
    Stop,
    /// `shutdown`.
    Shutdown,
    /// `provision`.
    Provision,
    /// `unprovision`.
    Unprovision,
    /// `run`.
    Run,
    /// `sync ..`.
    Sync(SyncAction),
}

impl Verb {
    /// The word, as in `OPENSVC_ACTION`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Startstandby => "startstandby",
            Self::Stop => "stop",
            Self::Shutdown => "shutdown",
            Self::Provision => "provision",
            Self::Unprovision => "unprovision",
            Self::Run => "run",
            Self::Sync(SyncAction::All) => "sync_all",
            Self::Sync(SyncAction::Nodes) => "sync_nodes",
            Self::Sync(SyncAction::Drp) => "sync_drp",
            Self::Sync(SyncAction::Update) => "sync_update",
            Self::Sync(SyncAction::Full) => "sync_full",
        }
    }

    /// What its triggers are named after, none if it has none.
    pub(crate) fn trigger_word(self) -> Option<&'static str> {
        match self {
            Self::Shutdown => Some("stop"),
            Self::Sync(SyncAction::All) => None,
            other => Some(other.word()),
        }
    }

    /// Whether it is about what runs and what is held, which tasks have no part in.
    pub(super) fn is_about_state(self) -> bool {
        match self {
            Self::Start
            | Self::Startstandby
            | Self::Stop
            | Self::Shutdown
            | Self::Provision
            | Self::Unprovision => true,
            Self::Run | Self::Sync(_) => false,
        }
    }

    /// What its requirements are named after.
    pub(crate) fn requires_word(self) -> &'static str {
        match self {
            Self::Shutdown => "stop",
            Self::Startstandby => "start",
            other => other.word(),
        }
    }
}
