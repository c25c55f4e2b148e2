//! The keeper of certificates: makes those anew that are about to end, and tells of those that it cannot.
//!
//! Hears: publications of the cluster data. Tells: the config watcher, the root (alerts). The first of the members that is heard
//! and has an object acts on it, and tells of it. Restart: everything is read anew.

mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use conf::NodeSettings;
use dataset::config::{ConfigCell, LoadedObject};
use dataset::keys;
use dataset::shared_map::SharedMap;
use dataset::snapshot::{Snapshot, SnapshotCell};
use machine::clock;
use machine::paths::Paths;
use mail::cluster_data::WatchGeneration;
use mail::config_watcher::Look;
use mail::mail::Mail;
use mail::publications;
use mail::publications::Published;
use mail::root::ThreadReport;
use model::{Alert, NodeName, ObjectPath, Timestamp, thread};

use crate::certificates::seen::{Due, Seen, due, renew, scan, told};
use crate::secrets::known::{is_heard, is_mine};

/// How often what time brings is looked for.
const PERIOD: Duration = Duration::from_secs(600);
/// Pause before what failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(60);
/// Longest wait until a change is in force.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// Whom the keeper asks and tells, by message.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "named as their messages, which say what they are")]
pub struct Neighbours {
    pub watch: Recipient<WatchGeneration>,
    pub look: Recipient<Look>,
    pub report: Recipient<ThreadReport>,
}

/// The actor.
#[derive(Debug)]
pub struct CertificateKeeper {
    paths: Arc<Paths>,
    config: ConfigCell,
    snapshot: SnapshotCell,
    tell: Neighbours,
    /// The configurations that were looked at, and with which settings.
    objects: SharedMap<LoadedObject>,
    node: Option<Arc<NodeSettings>>,
    /// Members that are heard.
    heard: Vec<NodeName>,
    /// Objects that are to be looked at.
    changed: BTreeSet<ObjectPath>,
    /// What objects have.
    seen: BTreeMap<ObjectPath, Seen>,
    /// Why one was not made anew.
    failed: BTreeMap<ObjectPath, String>,
    is_busy: bool,
    /// What is shown.
    shown: Vec<Alert>,
    alarm: Option<SpawnHandle>,
}

impl CertificateKeeper {
    /// The keeper of a daemon.
    #[must_use]
    pub fn new(mail: &Mail) -> Self {
        let tell = Neighbours {
            watch: mail.cluster_data.clone().recipient(),
            look: mail.config_watcher.clone().recipient(),
            report: mail.root.clone().recipient(),
        };
        Self::with(mail.paths.clone(), mail.config.clone(), mail.snapshot.clone(), tell)
    }

    /// A keeper with these neighbours.
    #[must_use]
    pub fn with(
        paths: Arc<Paths>,
        config: ConfigCell,
        snapshot: SnapshotCell,
        tell: Neighbours,
    ) -> Self {
        Self {
            paths,
            config,
            snapshot,
            tell,
            objects: SharedMap::default(),
            node: None,
            heard: vec![],
            changed: BTreeSet::new(),
            seen: BTreeMap::new(),
            failed: BTreeMap::new(),
            is_busy: false,
            shown: vec![],
            alarm: None,
        }
    }

    /// Notes which objects changed; whether any did. Other settings are another secret, other members or other authorities: all
    /// are looked at.
    fn follow(&mut self) -> bool {
        let config = self.config.load_full();
        if !config.is_loaded {
            return false;
        }
        let is_same = self.node.as_ref().is_some_and(|node| Arc::ptr_eq(node, &config.node));
        if is_same && config.objects.is_same(&self.objects) {
            return false;
        }
        let has = |path: &ObjectPath| keys::is_sealed(path.kind());
        if is_same {
            let changed = config.objects.changed_since(&self.objects);
            self.changed.extend(changed.into_iter().filter(has));
        } else {
            self.changed.extend(config.objects.keys().filter(|path| has(path)).cloned());
            self.changed.extend(self.seen.keys().cloned());
        }
        // Who may sign an object again is told by its authority.
        let signed = self.seen.iter().filter(|(_, seen)| {
            seen.authority.as_ref().is_some_and(|authority| self.changed.contains(authority))
        });
        let signed: Vec<ObjectPath> = signed.map(|(path, _)| path.clone()).collect();
        self.changed.extend(signed);
        self.failed.retain(|path, _| !self.changed.contains(path));
        self.objects = config.objects.clone();
        self.node = Some(config.node.clone());
        true
    }

    /// Whether other members are heard than before: whose turn it is depends on them.
    fn hears_others(&mut self) -> bool {
        let Some(node) = &self.node else { return false };
        let snapshot = self.snapshot.load();
        let heard = node.nodes.iter().filter(|member| is_heard(&snapshot, member));
        let heard: Vec<NodeName> = heard.cloned().collect();
        let is_news = heard != self.heard;
        self.heard = heard;
        is_news
    }

    /// Most publications are about something else.
    fn hear(&mut self, ctx: &mut Context<Self>) {
        let is_changed = self.follow();
        if self.hears_others() || is_changed {
            self.look(ctx);
        }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        self.follow();
        let Some(node) = self.node.clone().filter(|_| !self.is_busy) else { return };
        if self.changed.is_empty() {
            self.act(&node, ctx);
            return;
        }
        self.is_busy = true;
        let (paths, changed) = (self.paths.clone(), std::mem::take(&mut self.changed));
        let work = machine::blocking::run(move || scan(&paths, &node, &changed));
        ctx.spawn(work.into_actor(self).map(|found, this, ctx| {
            this.is_busy = false;
            for (path, seen) in found.unwrap_or_default() {
                match seen {
                    Some(seen) => _ = this.seen.insert(path, seen),
                    None => _ = this.seen.remove(&path),
                }
            }
            this.look(ctx);
        }));
    }

    /// Does what is due, one object at a time, and shows the rest.
    fn act(&mut self, node: &Arc<NodeSettings>, ctx: &mut Context<Self>) {
        let (now, snapshot) = (clock::now(), self.snapshot.load_full());
        self.show(now, node, &snapshot);
        let mine = self
            .seen
            .iter()
            .filter(|(path, _)| !self.failed.contains_key(*path) && is_mine(&snapshot, node, path));
        let mut all = mine.filter_map(|(path, seen)| Some((path.clone(), due(seen, now)?)));
        if let Some((path, due)) = all.next() {
            drop(all);
            self.renew(path, due, node.clone(), ctx);
        }
    }

    fn renew(
        &mut self,
        path: ObjectPath,
        due: Due,
        node: Arc<NodeSettings>,
        ctx: &mut Context<Self>,
    ) {
        self.is_busy = true;
        let (paths, there) = (self.paths.clone(), path.clone());
        let work = machine::blocking::run(move || renew(&paths, &node, &there, due));
        let (look, there) = (self.tell.look.clone(), path.clone());
        let done = async move {
            let made = work.await.unwrap_or_else(|error| Err(error.to_string()));
            if made.is_ok() {
                _ = look.send(Look(vec![there])).timeout(RELOAD_PATIENCE).await;
            }
            made
        };
        ctx.spawn(done.into_actor(self).map(move |made, this, ctx| {
            this.is_busy = false;
            match made {
                Ok(()) => {
                    log::info!(path:% = path, what = due.word(); "made anew before its end");
                    // What is there now is looked at before anything is decided about it.
                    this.changed.insert(path);
                }
                Err(reason) => {
                    log::warn!(path:% = path, what = due.word(), reason = reason.as_str(); "not made anew");
                    this.failed.insert(path.clone(), reason);
                    ctx.run_later(RETRY_PAUSE, move |this, ctx| {
                        this.failed.remove(&path);
                        this.look(ctx);
                    });
                }
            }
            this.look(ctx);
        }));
    }

    /// Shows what ends and is not made anew, if that changed.
    fn show(&mut self, now: Timestamp, node: &NodeSettings, snapshot: &Snapshot) {
        let mine = self.seen.iter().filter(|(path, _)| is_mine(snapshot, node, path));
        let alerts: Vec<Alert> = mine
            .flat_map(|(path, seen)| {
                told(path, seen, self.failed.get(path).map(String::as_str), now)
            })
            .collect();
        if alerts != self.shown {
            for alert in alerts.iter().filter(|alert| !self.shown.contains(alert)) {
                log::warn!("{}", alert.message);
            }
            self.shown.clone_from(&alerts);
            self.tell.report.do_send(ThreadReport::alerts(thread::CERTIFICATE, alerts));
        }
    }

    fn look_at_times(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        let alarm = ctx.run_later(PERIOD, Self::look_at_times);
        self.alarm = Some(alarm);
    }
}

impl Actor for CertificateKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        log::info!("certificate keeper started");
        publications::follow(&self.tell.watch, self, ctx);
        self.look_at_times(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        log::info!("certificate keeper stopped");
    }
}

impl Supervised for CertificateKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        *self = Self::with(
            self.paths.clone(),
            self.config.clone(),
            self.snapshot.clone(),
            self.tell.clone(),
        );
    }
}

impl StreamHandler<Published> for CertificateKeeper {
    fn handle(&mut self, _: Published, ctx: &mut Context<Self>) {
        self.hear(ctx);
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<Published> for CertificateKeeper {
    type Result = ();

    fn handle(&mut self, _: Published, ctx: &mut Context<Self>) {
        self.hear(ctx);
    }
}
