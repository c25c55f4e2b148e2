//! The keeper of histories: writes what happened to the objects and to this node (src/logs/README.md, Histories).
//!
//! Hears: the cluster data, their events, who asked for what. Tells: nobody. It writes on the pool, one thing after the other:
//! a slow disk holds up no decision, and thousands of objects that change at once hold up no log. Restart: it goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use logs::history::{self, Histories};
use machine::clock;
use machine::paths::Paths;
use mail::cluster_data::Emit;
use mail::history::{Changed, Note};
use model::{Happening, NodeName, ObjectPath, Record};
use monitor::history::{Known, node_transitions, of_event, transitions};

use dataset::snapshot::Snapshot;

/// What is to be done to the journals.
type Job = Box<dyn FnOnce(&mut Journals) + Send>;

/// The actor.
#[derive(Debug)]
pub struct HistoryKeeper {
    desk: Arc<Desk>,
    is_started: bool,
}

impl HistoryKeeper {
    /// A keeper of the journals under `paths`.
    #[must_use]
    pub fn new(paths: Arc<Paths>) -> Self {
        let files = Histories::new(&paths);
        let journals = Mutex::new(Journals { paths, files, has_failed: false });
        Self { desk: Arc::new(Desk { journals, next: Mutex::default() }), is_started: false }
    }

    /// Does this to the journals on the pool, before anything else is heard.
    fn on_pool(&self, ctx: &mut Context<Self>, does: impl FnOnce(&mut Journals) + Send + 'static) {
        *lock(&self.desk.next) = Some(Box::new(does));
        let desk = self.desk.clone();
        let work = machine::blocking::run(move || desk.work(|_| ()));
        ctx.wait(work.into_actor(self).map(|_, _, _| ()));
    }
}

/// The journals, and what is to be done to them next.
struct Desk {
    journals: Mutex<Journals>,
    next: Mutex<Option<Job>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    /// Does what is next, whoever comes first, and this behind it. Blocks.
    fn work(&self, and: impl FnOnce(&mut Journals)) {
        let mut journals = lock(&self.journals);
        let next = lock(&self.next).take();
        if let Some(next) = next {
            next(&mut journals);
        }
        and(&mut journals);
    }
}

/// A panic leaves nothing half done there.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The journals of the objects and of this node.
#[derive(Debug)]
struct Journals {
    paths: Arc<Paths>,
    files: Histories,
    /// One of them could not be written: told once.
    has_failed: bool,
}

impl Journals {
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

    /// Notes what changed. The snapshots are not held while a disk is written to: they are all that peers told.
    fn note(&mut self, changed: Changed) {
        let of_nodes = node_records(&changed);
        let objects = changed.objects.iter().filter(|path| path.kind().has_instances());
        let of_objects: Vec<(ObjectPath, Vec<Record>)> = objects
            .map(|path| {
                let [old, new] = [&changed.old, &changed.new].map(|it| known(it, path));
                (path.clone(), transitions(changed.now, &old, &new))
            })
            .filter(|(_, records)| !records.is_empty())
            .collect();
        drop(changed);
        self.write(None, &of_nodes);
        for (path, records) in of_objects {
            self.write(Some(&path), &records);
        }
    }
}

/// What changed of the nodes: of this one, and which peers are heard.
fn node_records(changed: &Changed) -> Vec<Record> {
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
    records
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
        self.desk.work(|journals| {
            let last = history::read(&journals.paths, None).pop();
            let is_clean = last.is_none_or(|last| last.what == Happening::DaemonStopped);
            let why = if is_clean { "" } else { "the one before ended without a word" };
            let record = Record::new(clock::now(), Happening::DaemonStarted).because(why);
            journals.write(None, &[record]);
        });
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        // A panic ends the actor, not the daemon.
        if !std::thread::panicking() {
            let record = Record::new(clock::now(), Happening::DaemonStopped);
            // What was heard before it comes before it.
            self.desk.work(|journals| journals.write(None, &[record]));
        }
    }
}

impl Supervised for HistoryKeeper {}

impl Handler<Changed> for HistoryKeeper {
    type Result = ();

    fn handle(&mut self, changed: Changed, ctx: &mut Context<Self>) {
        self.on_pool(ctx, move |journals| journals.note(changed));
    }
}

impl Handler<Emit> for HistoryKeeper {
    type Result = ();

    fn handle(&mut self, event: Emit, ctx: &mut Context<Self>) {
        if let Some(record) = of_event(clock::now(), event.id, event.path.as_ref(), &event.facts) {
            self.on_pool(ctx, move |journals| journals.write(event.path.as_ref(), &[record]));
        }
    }
}

impl Handler<Note> for HistoryKeeper {
    type Result = ();

    fn handle(&mut self, Note { path, record }: Note, ctx: &mut Context<Self>) {
        self.on_pool(ctx, move |journals| journals.write(path.as_ref(), &[record]));
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
        let keeper = HistoryKeeper::new(paths.clone());
        let changed = Changed {
            old: snapshot(&path, Status::Down, true),
            new: snapshot(&path, Status::Up, false),
            objects: BTreeSet::from([path.clone()]),
            now: Timestamp(5.0),
        };
        keeper.desk.work(|journals| journals.note(changed));
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
