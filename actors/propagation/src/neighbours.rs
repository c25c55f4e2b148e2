//! Whom the propagation asks and tells, by message.

use actix::prelude::*;
use mail::cluster_data::{Emit, RemoveInstance, SetInstanceMonitor, SetNode, WatchGeneration};
use mail::config_watcher::{LabelsChanged, Look, Reload};
use mail::peers::AskPeer;
use mail::runner::{RunAction, RunCommand};
use mail::standing::Inquire;

/// Whom the actor asks and tells, by message.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as their messages, which say what they are")]
pub struct Neighbours {
    pub ask: Recipient<AskPeer>,
    pub watch: Recipient<WatchGeneration>,
    pub emit: Recipient<Emit>,
    pub look: Recipient<Look>,
    pub reload: Recipient<Reload>,
    pub labels: Recipient<LabelsChanged>,
    pub run: Recipient<RunCommand>,
    pub act: Recipient<RunAction>,
    pub inquire: Recipient<Inquire>,
    pub publish: Recipient<SetNode>,
    pub order: Recipient<SetInstanceMonitor>,
    pub unorder: Recipient<RemoveInstance>,
}
