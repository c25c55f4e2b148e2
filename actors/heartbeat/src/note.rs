//! What drivers tell their worker.

use model::thread::HeartbeatConfig;
use model::{Alert, NodeName};
use tokio::sync::mpsc;

/// Notes that may wait for a worker: beyond, they are lost, and with them a beat of many.
const QUEUE: usize = 1_024;

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Note {
    /// A message reached a peer (tx), or came from it (rx).
    Beat { peer: NodeName, bytes: usize },
    /// A message was sent to whoever listens.
    BeatToAll { bytes: usize },
    /// It went wrong, for one peer or for all.
    Failed { peer: Option<NodeName>, reason: String },
    /// An alert begins, or ends (none).
    Alert { about: String, alert: Option<Alert> },
    /// What the block shows as `config`, beside what every driver has.
    Config(Box<HeartbeatConfig>),
    /// The slot of a node on a disk, -1 for none.
    Slot { node: NodeName, slot: i64 },
}

/// Where notes go. Never waits.
#[derive(Debug, Clone)]
pub(super) struct Notes(mpsc::Sender<Note>);

impl Notes {
    pub(super) fn new() -> (Self, mpsc::Receiver<Note>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    pub(super) fn tell(&self, note: Note) {
        _ = self.0.try_send(note);
    }

    pub(super) fn beat(&self, peer: &NodeName, bytes: usize) {
        self.tell(Note::Beat { peer: peer.clone(), bytes });
    }

    pub(super) fn failed(&self, peer: Option<&NodeName>, reason: impl std::fmt::Display) {
        self.tell(Note::Failed { peer: peer.cloned(), reason: reason.to_string() });
    }

    pub(super) fn alert(&self, about: &str, alert: Option<Alert>) {
        self.tell(Note::Alert { about: about.to_owned(), alert });
    }
}
