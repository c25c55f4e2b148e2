//! What the tests of drivers share: a node `n1` of a cluster of three, and an ear in place of all others.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use conf::NodeSettings;
use model::{NodeName, Timestamp};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wire::{ClusterSecret, Dialect, Form, Kind, Prepared, Sender};

use crate::inbox;
use crate::note::{Note, Notes};
use crate::ties::Ties;
use cluster_data::ClusterData;
use dataset::changes::NodePublic;
use dataset::config::LoadedConfig;
use dataset::heartbeats::section::Section;
use dataset::snapshot::SnapshotCell;
use files::load::Load as _;
use link::classic::ClassicMemory;
use link::freshness::Freshness;
use link::gate::Gate;
use link::peer::error::PeerError;
use machine::clock;
use machine::paths::Paths;
use mail::blacklist::{Invalid, Valid};
use mail::cluster_data::{Emit, HeartbeatHeard};
use mail::membership::Beat;
use mail::peers::AskPeer;
use mail::root::ThreadReport;
use mail::secrets::NotUnderstood;

pub(super) const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// Key of a message of which was worked out before what it makes of the data of its sender.
pub(super) const READ_BEFORE: &str = "read before";

/// What others were told.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Heard(NodeName, Value),
    Invalid,
    Valid,
    Event(String, Value),
    Beat { peer: NodeName, sign: monitor::Sign },
    Asked(NodeName),
    Report(Value),
}

pub(super) struct Ear(mpsc::UnboundedSender<Told>);

impl Actor for Ear {
    type Context = Context<Self>;
}

macro_rules! hears {
    ($($message:ty => |$msg:pat_param| $told:expr;)+) => {
        $(impl Handler<$message> for Ear {
            type Result = ();

            fn handle(&mut self, $msg: $message, _: &mut Context<Self>) {
                _ = self.0.send($told);
            }
        })+
    };
}

hears! {
    HeartbeatHeard => |msg| {
        let mut message = timed(msg.message.to_json(), Timestamp(1.5));
        if let Some(reading) = msg.reading {
            message = reading.head().into();
            message[READ_BEFORE] = true.into();
        }
        Told::Heard(msg.from, message)
    };
    Invalid => |_| Told::Invalid;
    Valid => |_| Told::Valid;
    Emit => |msg| Told::Event(msg.id.to_owned(), serde_json::to_value(msg.facts).unwrap());
    Beat => |msg| Told::Beat { peer: msg.peer, sign: msg.sign };
    ThreadReport => |msg| Told::Report(serde_json::to_value(msg.report).unwrap());
}

impl Handler<AskPeer> for Ear {
    type Result = MessageResult<AskPeer>;

    /// Node n3 is there, and answers as deployed agents do.
    fn handle(&mut self, msg: AskPeer, _: &mut Context<Self>) -> Self::Result {
        let is_there = msg.peer == node("n3");
        _ = self.0.send(Told::Asked(msg.peer));
        let question: Value = serde_json::from_slice(&msg.request.json()).unwrap();
        let action = question["action"].as_str().unwrap();
        let error = format!("handler GET {action} is not supported");
        MessageResult(match is_there {
            true => Ok(json!({"status": 501, "error": error})),
            false => Err(PeerError::Closed),
        })
    }
}

impl Handler<NotUnderstood> for Ear {
    type Result = ();

    fn handle(&mut self, _: NotUnderstood, _: &mut Context<Self>) {}
}

/// A section of node n1, and its neighbours.
pub(super) struct Bench {
    pub(super) section: Arc<Section>,
    pub(super) ties: Arc<Ties>,
    pub(super) notes: Notes,
    pub(super) noted: mpsc::Receiver<Note>,
    pub(super) told: mpsc::UnboundedReceiver<Told>,
}

impl Bench {
    /// With these keywords in `hb#1`, and these in `cluster`.
    pub(super) fn new(keywords: &str, cluster: &str) -> Self {
        let text = format!(
            "[cluster]\nname = demo\nsecret = {SECRET}\nnodes = n1 n2 n3\nid = i1\n{cluster}\n[hb#1]\n{keywords}\n"
        );
        let settings = NodeSettings::parse(node("n1"), &text, "").unwrap();
        let section = Arc::new(Section::all(&settings).remove(0));
        let (sender, told) = mpsc::unbounded_channel();
        let ear = Ear(sender).start();
        let paths = Paths::under(std::path::Path::new("/nonexistent"));
        let config = LoadedConfig::empty(&paths, node("n1"));
        let first = ClusterData::first(node("n1"), NodePublic::default(), &config);
        let snapshot: SnapshotCell = Arc::new(ArcSwap::from_pointee(first));
        let data = ClusterData::new(snapshot.clone(), Arc::new(ArcSwap::from_pointee(config)));
        let ties = Ties {
            gate: Arc::new(ArcSwap::from_pointee(Gate::new(&settings))),
            freshness: Arc::new(Freshness::new(Duration::from_secs(30))),
            classic: Arc::new(ClassicMemory::load(std::path::Path::new("/nonexistent"))),
            unopened: Arc::default(),
            fragments: Arc::default(),
            blacklist: Arc::default(),
            invalid: ear.clone().recipient(),
            valid: ear.clone().recipient(),
            snapshot,
            watch: data.start().recipient(),
            heard: ear.clone().recipient(),
            emit: ear.clone().recipient(),
            membership: ear.clone().recipient(),
            ask: ear.clone().recipient(),
            secret_use: Arc::default(),
            not_understood: ear.clone().recipient(),
            counts: Arc::default(),
            root: ear.recipient(),
        };
        let (notes, noted) = Notes::new();
        Self { section, ties: Arc::new(ties), notes, noted, told }
    }

    pub(super) fn inbox(&self) -> inbox::Inbox {
        inbox::Inbox::new(self.section.clone(), self.ties.clone(), self.notes.clone())
    }

    /// The next note of interest.
    pub(super) async fn note(&mut self, is_it: impl Fn(&Note) -> bool) -> Note {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.noted.recv());
            let note = next.await.expect("a note in time").expect("the notes go on");
            if is_it(&note) {
                return note;
            }
        }
    }

    /// What the next others are told, but for reports.
    pub(super) async fn told(&mut self) -> Told {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.told.recv());
            match next.await.expect("told in time").expect("the ear lives") {
                Told::Report(_) => {}
                told => return told,
            }
        }
    }
}

/// A ping of a node, sealed, with its final NUL.
pub(super) fn ping(from: &str, secret: &str, dialect: Dialect) -> Vec<u8> {
    frame(from, secret, dialect, &ping_of(from))
}

/// As [`ping`], by a clock of which it is this time.
pub(super) fn ping_at(from: &str, secret: &str, dialect: Dialect, updated: f64) -> Vec<u8> {
    sealed(from, secret, dialect, &timed(ping_of(from), Timestamp(updated)))
}

/// A message of a node, sealed now, with its final NUL.
pub(super) fn frame(from: &str, secret: &str, dialect: Dialect, message: &Value) -> Vec<u8> {
    sealed(from, secret, dialect, &timed(message.clone(), clock::now()))
}

fn sealed(from: &str, secret: &str, dialect: Dialect, message: &Value) -> Vec<u8> {
    let random = SystemRandom::new();
    let form = Form::heartbeat(dialect, Kind::Heartbeat, clock::stamp(), &random);
    let sender = Sender::new("demo", from, ClusterSecret::new(secret));
    sender.seal(&form, &Prepared::new(message), &random).unwrap()
}

/// A message with this time: it is compared without the one when it was sent.
fn timed(mut message: Value, updated: Timestamp) -> Value {
    if message.is_object() {
        message["updated"] = json!(updated);
    }
    message
}

/// What [`ping`] says, sent at 1.5.
pub(super) fn ping_of(from: &str) -> Value {
    json!({"kind": "ping", "compat": 10, "gen": {from: 7}, "monitor": {}, "updated": 1.5})
}

/// All data of a node, as a deployed agent seals them once and repeats them, with the final NUL.
pub(super) fn deployed_full(from: &str) -> Vec<u8> {
    let data = json!({
        "compat": 10, "gen": {from: 7}, "monitor": {"status": "idle"},
        "services": {"config": {}, "status": {}}, "updated": 1.5
    });
    frame(from, SECRET, Dialect::Classic, &data)
}
