//! The keeper of histories: writes what happened to the objects and to this node (src/logs/README.md, Histories).
//!
//! Hears: the cluster data, their events, who asked for what. Tells: nobody. On the thread of the log files: a slow disk
//! holds up no decision. Restart: it goes on; what it was writing is lost.

use std::sync::Arc;

use actix::prelude::*;
use logs::history::{self, Histories};
use machine::clock;
use machine::paths::Paths;
use mail::cluster_data::Emit;
use mail::history::{Changed, Note};
use model::{Happening, NodeName, ObjectPath, Record};
use monitor::history::{Known, node_transitions, of_event, transitions};

use dataset::snapshot::Snapshot;

/// The actor.
#[derive(Debug)]
pub struct HistoryKeeper {
    paths: Arc<Paths>,
    files: Histories,
    is_started: bool,
    /// A journal could not be written: told once.
    has_failed: bool,
}

impl HistoryKeeper {
    /// A keeper of the journals under `paths`.
    #[must_use]
    pub fn new(paths: Arc<Paths>) -> Self {
        let files = Histories::new(&paths);
        Self { paths, files, is_started: false, has_failed: false }
    }

    fn write(&mut self, path: Option<&ObjectPath>, records: &[Record]) {
        match self.files.append(&self.paths, path, records) {
            Ok(()) => self.has_failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.has_failed, true) {
                    let path = path.map_or("node", ObjectPath::as_str);
                    log::warn!(error:% = error, of = path; "history not written");
                }
            }
        }
    }

    /// What changed of the nodes: of this one, and which peers are heard.
    fn note_nodes(&mut self, changed: &Changed) {
        let Changed { old, new, now, .. } = changed;
        let local = new.nodename();
        let mut records = vec![];
        if let Some(is) = new.local() {
            records.extend(node_transitions(*now, old.local().map(|it| &it.data), &is.data));
        }
        let heard = |snapshot: &Snapshot, node: &NodeName| {
            snapshot.node(node).is_some_and(|entry| entry.data.monitor.is_some())
        };
        for node in old.nodes().keys().chain(new.nodes().keys()).filter(|node| *node != local) {
            let what = match (heard(old, node), heard(new, node)) {
                (true, false) => Happening::PeerLost,
                (false, true) => Happening::PeerBack,
                (true, true) | (false, false) => continue,
            };
            let record = Record { on: vec![node.clone()], ..Record::new(*now, what) };
            // A node that stays is in both.
            if !records.contains(&record) {
                records.push(record);
            }
        }
        self.write(None, &records);
    }

    fn note_object(&mut self, path: &ObjectPath, changed: &Changed) {
        let records =
            transitions(changed.now, &known(&changed.old, path), &known(&changed.new, path));
        self.write(Some(path), &records);
    }
}

/// What a snapshot says of an object.
fn known<'a>(snapshot: &'a Snapshot, path: &'a ObjectPath) -> Known<'a> {
    let is_up = |status: &model::InstanceStatus| status.avail == Some(model::Status::Up);
    let up_on = snapshot.instances(path).filter(|(_, status)| is_up(status));
    Known {
        instance: snapshot.local_instance(path).map(|status| &**status),
        object: snapshot.aggregate(path).map(|object| &**object),
        up_on: up_on.map(|(node, _)| node.clone()).collect(),
        csum: snapshot.config(snapshot.nodename(), path).map(|entry| entry.csum.as_str()),
    }
}

impl Actor for HistoryKeeper {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_started, true) {
            return;
        }
        let last = history::read(&self.paths, None).pop();
        let is_clean = last.is_none_or(|last| last.what == Happening::DaemonStopped);
        let why = if is_clean { "" } else { "the one before ended without a word" };
        let record = Record::new(clock::now(), Happening::DaemonStarted).because(why);
        self.write(None, &[record]);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        // A panic ends the actor, not the daemon.
        if !std::thread::panicking() {
            self.write(None, &[Record::new(clock::now(), Happening::DaemonStopped)]);
        }
    }
}

impl Supervised for HistoryKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self { is_started: self.is_started, ..Self::new(self.paths.clone()) };
    }
}

impl Handler<Changed> for HistoryKeeper {
    type Result = ();

    fn handle(&mut self, changed: Changed, _: &mut Context<Self>) {
        self.note_nodes(&changed);
        for path in changed.objects.iter().filter(|path| path.kind().has_instances()) {
            self.note_object(path, &changed);
        }
    }
}

impl Handler<Emit> for HistoryKeeper {
    type Result = ();

    fn handle(&mut self, event: Emit, _: &mut Context<Self>) {
        if let Some(record) = of_event(clock::now(), event.id, event.path.as_ref(), &event.facts) {
            self.write(event.path.as_ref(), &[record]);
        }
    }
}

impl Handler<Note> for HistoryKeeper {
    type Result = ();

    fn handle(&mut self, Note { path, record }: Note, _: &mut Context<Self>) {
        self.write(path.as_ref(), &[record]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use dataset::snapshot::NodeEntry;
    use model::{InstanceStatus, NodeMonitorData, Status, Timestamp};

    use super::*;

    fn scene() -> (tempfile::TempDir, Arc<Paths>, ObjectPath) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let path = ObjectPath::parse("web").unwrap();
        std::fs::create_dir_all(paths.var_dir(&path)).unwrap();
        (folder, Arc::new(paths), path)
    }

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    /// A snapshot of n1, and of n2 if it is heard.
    fn snapshot(path: &ObjectPath, avail: Status, is_heard: bool) -> Arc<Snapshot> {
        let status = InstanceStatus {
            updated: Timestamp(1.0),
            avail: Some(avail),
            resources: Some(BTreeMap::new()),
            ..InstanceStatus::default()
        };
        let mut local = NodeEntry::default();
        local.data.monitor = Some(NodeMonitorData::default());
        local.status.insert(path.clone(), Arc::new(status));
        let mut peer = NodeEntry::default();
        peer.data.monitor = is_heard.then(NodeMonitorData::default);
        let (n1, n2) = (node("n1"), node("n2"));
        let members = [n1.clone(), n2.clone()];
        Arc::new(Snapshot::of_nodes(
            &n1,
            &members,
            BTreeMap::from([(n1.clone(), local), (n2, peer)]),
        ))
    }

    fn words(paths: &Paths, path: Option<&ObjectPath>) -> Vec<Happening> {
        history::read(paths, path).iter().map(|record| record.what).collect()
    }

    #[test]
    fn changes_of_objects_and_nodes_are_written() {
        let (_folder, paths, path) = scene();
        let mut keeper = HistoryKeeper::new(paths.clone());
        let changed = Changed {
            old: snapshot(&path, Status::Down, true),
            new: snapshot(&path, Status::Up, false),
            objects: BTreeSet::from([path.clone()]),
            now: Timestamp(5.0),
        };
        keeper.note_nodes(&changed);
        keeper.note_object(&path, &changed);
        assert_eq!(words(&paths, Some(&path)), [Happening::Avail]);
        assert_eq!(words(&paths, None), [Happening::PeerLost]);
    }

    #[actix::test]
    async fn a_daemon_that_ended_without_a_word_is_told() {
        let (_folder, paths, _) = scene();
        let run = || HistoryKeeper::new(paths.clone()).start();
        let keeper = run();
        let record = Record::new(clock::now(), Happening::Asked);
        keeper.send(Note { path: None, record }).await.unwrap();
        let again = run();
        let record = Record::new(clock::now(), Happening::Asked);
        again.send(Note { path: None, record }).await.unwrap();
        let read = history::read(&paths, None);
        let started = read.iter().filter(|it| it.what == Happening::DaemonStarted);
        let whys: Vec<_> = started.map(|it| it.why.as_deref()).collect();
        assert_eq!(whys, [None, Some("the one before ended without a word")]);
    }
}
