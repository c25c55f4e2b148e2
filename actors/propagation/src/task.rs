//! What is carried out about one object: its file is fetched and installed, or the local one is deleted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use conf::{Ini, NodeConf, NodeSettings, ObjectConf};
use dataset::snapshot::SnapshotCell;
use files::deletions::Known;
use files::fetched::Fetched;
use files::rejected;
use link::peer::error::PeerError;
use machine::paths::Paths;
use mail::cluster_data::Emit;
use mail::config_watcher::{Look, Reload};
use mail::peers::AskPeer;
use mail::runner::{CommandOutcome, RunAction, RunCommand};
use mail::service_monitor::{SetMonitor, ToServiceMonitor};
use model::{ConfigEntry, EventFacts, GlobalExpect, Kind, NodeName, ObjectPath};
use monitor::{Action, Change, Fate};
use serde_json::json;
use wire::reply::status_of;

use crate::install;
use crate::install::{Freeze, Installed};
use crate::neighbours::Neighbours;

/// Longest wait for a file.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at whether an instance is frozen elsewhere.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest run of a deletion.
const DELETE_PATIENCE: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Fetch the file of the other node, and install it.
    Install,
    /// Fetch it, and delete the local one if it says so; install it otherwise.
    Leave,
    /// Delete the local one, which says itself that it is not for this node.
    Vacate,
    /// The local one is an edit of the copy that seems to be newer: date it after that.
    Date,
    /// The object was deleted: so is the local one, unless it is another.
    Bury,
}

/// What is carried out about one object.
pub(super) struct Task {
    pub(super) path: ObjectPath,
    pub(super) peer: NodeName,
    pub(super) plan: Plan,
    pub(super) is_up: bool,
    pub(super) own: Option<ConfigEntry>,
    /// The copy that counts, as its node publishes it.
    pub(super) copy: Option<ConfigEntry>,
    pub(super) is_written_here: bool,
    pub(super) nodename: NodeName,
    pub(super) paths: Arc<Paths>,
    pub(super) snapshot: SnapshotCell,
    pub(super) context: Arc<conf::Context>,
    pub(super) tell: Neighbours,
    /// Of an object that was deleted.
    pub(super) deletion: Option<Known>,
    /// The monitor of the local instance, if there is one: it sees to the deletion.
    pub(super) monitor: Option<ToServiceMonitor>,
}

/// What became of an object.
#[derive(Debug)]
pub(super) enum End {
    /// Done, or nothing was to be done.
    Done,
    /// What another node has is in its place: the checksum of that.
    Installed(String),
    /// To be tried again.
    Failed(String),
    /// The other node says that it is deleted, or has no such file any more.
    Gone,
    /// Nothing is left here of what was deleted.
    Buried,
    /// The monitor of the instance sees to it: to be looked at again.
    Ordered,
}

impl Task {
    pub(super) async fn carry_out(self) -> (NodeName, End) {
        if self.plan == Plan::Vacate {
            let end = self.delete().await;
            return (self.peer, end);
        }
        if self.plan == Plan::Date {
            let end = self.date().await;
            return (self.peer, end);
        }
        if self.plan == Plan::Bury {
            let end = self.bury().await;
            return (self.peer, end);
        }
        let end = match self.fetch().await {
            Ok(Some(fetched)) => self.follow(fetched).await,
            Ok(None) => End::Gone,
            Err(reason) => End::Failed(reason),
        };
        (self.peer, end)
    }

    /// The file of the other node; none when it is gone there.
    async fn fetch(&self) -> Result<Option<Fetched>, String> {
        let request = json!({
            "action": "object_config", "method": "GET", "options": {"path": self.path.as_str()},
        });
        let ask = AskPeer::new(self.peer.clone(), &request, PATIENCE);
        let answer = self.tell.ask.send(ask).timeout(PATIENCE + PATIENCE).await;
        let reply = answer.unwrap_or(Err(PeerError::Busy)).map_err(|error| error.to_string())?;
        match status_of(&reply) {
            0 => Fetched::from_reply(&reply).map(Some),
            // Being deleted; no such file.
            2 | 3 => Ok(None),
            status => {
                let lines = wire::reply::Lines::of(&reply).errors.join(", ");
                Err(format!("refused with status {status}: {lines}"))
            }
        }
    }

    /// Does what the file says.
    async fn follow(&self, fetched: Fetched) -> End {
        if self.path.kind() == Kind::Ccfg
            && let Err(reason) = self.check_cluster(&fetched)
        {
            return End::Failed(reason);
        }
        let conf = match ObjectConf::parse(self.path.clone(), &fetched.text) {
            Ok(conf) => conf,
            Err(error) => return End::Failed(format!("unreadable: {error}")),
        };
        if self.plan == Plan::Leave {
            // Scopes are expressions; the nodes may differ in what they know of labels, and deployed agents in what they
            // make of them. Nothing is deleted on the word of another node.
            let scope = conf.scope(&self.context);
            if !scope.is_empty() && !scope.contains(&self.nodename) {
                return self.delete().await;
            }
            log::warn!(path:% = self.path, node:% = self.peer; "its scope is evaluated differently there: nothing is deleted");
        }
        self.install(fetched).await
    }

    /// A cluster.conf is taken over only if this node is still a member, and could still open what members send.
    fn check_cluster(&self, fetched: &Fetched) -> Result<(), String> {
        let ini = Ini::parse(&fetched.text).map_err(|error| format!("unreadable: {error}"))?;
        let conf = ObjectConf::parse(self.path.clone(), &fetched.text)
            .map_err(|error| format!("unreadable: {error}"))?;
        let node = &self.context.node;
        let theirs = NodeConf::new(node.nodename.clone(), Arc::new(conf), node.node.clone());
        let is_in_node_conf = node.node.get("cluster", "nodes").is_some();
        let is_told = ini.get("cluster", "nodes").is_some_and(|nodes| !nodes.trim().is_empty());
        let is_member = (is_told && theirs.cluster_nodes().contains(&self.nodename))
            || theirs.cluster_drpnodes().contains(&self.nodename);
        if !is_member && !is_in_node_conf {
            return Err("this node is not a member there: join again, or leave".to_owned());
        }
        let has_secret = ini.keywords("cluster").any(|(keyword, value)| {
            keyword.split('@').next() == Some("secret") && !value.is_empty()
        });
        if !has_secret && self.context.node.node.get("cluster", "secret").is_none() {
            return Err("it has no secret".to_owned());
        }
        let (ours, theirs) = (NodeSettings::new(node.clone()), NodeSettings::new(Arc::new(theirs)));
        if ours.secret_generation > theirs.secret_generation && is_member {
            return Err(format!(
                "its cluster.secret is of generation {}, and {} is in use here",
                theirs.secret_generation, ours.secret_generation
            ));
        }
        match ours.cut_off(&theirs).into_iter().next() {
            Some(fault) => Err(format!("{}.{}: {}", fault.section, fault.keyword, fault.reason)),
            None => Ok(()),
        }
    }

    async fn date(&self) -> End {
        let (Some(own), Some(copy)) = (self.own.clone(), self.copy.clone()) else {
            return End::Done;
        };
        let (paths, path) = (self.paths.clone(), self.path.clone());
        let work = machine::blocking::run(move || install::date_after(&paths, &path, &own, &copy));
        let end = match work.await {
            Ok(Ok(true)) => {
                log::info!(path:% = self.path, node:% = self.peer; "configuration edited here under an older date than that of what it replaces: dated after it");
                End::Done
            }
            Ok(Ok(false)) => End::Failed("the local file changed meanwhile".to_owned()),
            Ok(Err(error)) => End::Failed(error.to_string()),
            Err(_) => End::Failed("the file could not be dated".to_owned()),
        };
        self.put_in_force().await;
        end
    }

    async fn install(&self, fetched: Fetched) -> End {
        let (paths, path, own) = (self.paths.clone(), self.path.clone(), self.own.clone());
        let freeze = match self.own.is_none() && self.path.kind() == Kind::Svc {
            true if self.is_frozen_there().await => Freeze::IfNew,
            _ => Freeze::No,
        };
        let is_written_here = self.is_written_here;
        let csum = dataset::config::csum(fetched.text.as_bytes());
        let peer = self.peer.clone();
        let work = machine::blocking::run(move || {
            let done =
                install::install(&paths, &path, own.as_ref(), &fetched, is_written_here, freeze);
            if let Ok(Installed::Done { loser: Some(loser), .. }) = &done {
                rejected::note(&paths, loser, &peer);
            }
            done
        });
        match work.await {
            Ok(Ok(Installed::Done { is_frozen, loser })) => {
                if let Some(loser) = loser {
                    log::warn!(path:% = self.path, node:% = self.peer, kept:% = loser.display(); "both nodes changed the configuration: the other's is newer, the local one is kept beside");
                }
                log::info!(path:% = self.path, from:% = self.peer; "configuration installed");
                self.put_in_force().await;
                if is_frozen {
                    let reason = Some("install");
                    self.emit("instance_freeze", EventFacts { reason, ..EventFacts::default() });
                }
                let from = Some(self.peer.clone());
                let facts = EventFacts { from, ..EventFacts::default() };
                self.emit("service_config_installed", facts);
                End::Installed(csum)
            }
            // What changed meanwhile is published, and looked at, in a moment.
            Ok(Ok(Installed::Changed)) => {
                self.put_in_force().await;
                End::Failed("the local file changed meanwhile".to_owned())
            }
            Ok(Ok(Installed::Same)) => {
                self.put_in_force().await;
                End::Done
            }
            Ok(Err(error)) => End::Failed(error.to_string()),
            Err(_) => End::Failed("the file could not be written".to_owned()),
        }
    }

    /// Whether the instance is frozen where the copy is from, which is waited for: who has just got the file has not
    /// evaluated it. What has no instance there is as frozen as others have it. What nobody tells of is frozen: whoever
    /// made it elsewhere lets it go when it is ready.
    async fn is_frozen_there(&self) -> bool {
        let is_for_it = self.copy.as_ref().is_some_and(|copy| copy.scope.contains(&self.peer));
        let start = Instant::now();
        loop {
            let snapshot = self.snapshot.load_full();
            let mut told = snapshot
                .instances(&self.path)
                .filter(|(node, _)| **node != self.nodename && (!is_for_it || **node == self.peer));
            let told = told.find_map(|(_, instance)| instance.frozen);
            if told.is_some() || !is_for_it || start.elapsed() >= PATIENCE {
                return told.is_none_or(|since| since.0 > 0.0);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn delete(&self) -> End {
        if self.is_up {
            // Others start what is not seen here any more; what runs here would run twice.
            return End::Failed(
                "it is not for this node any more, but its instance is up: it is deleted once stopped".to_owned(),
            );
        }
        // What is up although the instance is down, as standby resources are, goes with it.
        let words = ["delete", "--force", "--local"].map(str::to_owned);
        let words = std::iter::once(self.path.to_string()).chain(words).collect();
        let command = RunCommand { words, sync: true, path: None, time: Some(DELETE_PATIENCE) };
        log::info!(path:% = self.path, node:% = self.peer; "not for this node any more: deleted");
        let end = match self.tell.run.send(command).await {
            Ok(Ok(CommandOutcome::Ended { ret: 0, .. } | CommandOutcome::Started { .. })) => {
                End::Done
            }
            Ok(Ok(CommandOutcome::Ended { ret, err, .. })) => {
                End::Failed(format!("delete ended with {ret}: {}", err.trim_end()))
            }
            Ok(Err(error)) => End::Failed(format!("delete: {error}")),
            Err(_) => End::Failed("the runner is not there now".to_owned()),
        };
        self.put_in_force().await;
        end
    }

    /// Does what a deletion means here.
    async fn bury(&self) -> End {
        let Some(Known { deletion, is_followed, .. }) = self.deletion.clone() else {
            return End::Done;
        };
        let (paths, path, about) = (self.paths.clone(), self.path.clone(), deletion.clone());
        let work =
            machine::blocking::run(move || install::judge(&paths, &path, &about, is_followed));
        match work.await {
            Ok(Ok(Fate::Gone)) => {
                self.put_in_force().await;
                End::Buried
            }
            Ok(Ok(Fate::Newer)) => {
                self.put_in_force().await;
                End::Done
            }
            Ok(Ok(Fate::Anew)) => {
                log::info!(path:% = self.path; "made anew after it was deleted: dated after that");
                self.put_in_force().await;
                End::Done
            }
            Ok(Ok(Fate::Delete)) => self.carry_out_deletion(deletion.purged).await,
            Ok(Err(error)) => End::Failed(error.to_string()),
            Err(_) => End::Failed("the file could not be looked at".to_owned()),
        }
    }

    async fn carry_out_deletion(&self, purged: bool) -> End {
        if let Some(monitor) = &self.monitor {
            log::info!(path:% = self.path; "deleted elsewhere: so it is here");
            let target = if purged { GlobalExpect::Purged } else { GlobalExpect::Deleted };
            let change = Change { global_expect: Some(Some(target)), ..Change::default() };
            return match monitor.send(SetMonitor(change)).timeout(PATIENCE).await {
                Ok(()) => End::Ordered,
                Err(_) => End::Failed("its monitor is not there now".to_owned()),
            };
        }
        if self.is_up {
            return End::Failed("deleted, but its instance here is up: stop it".to_owned());
        }
        log::info!(path:% = self.path; "deleted");
        let action = RunAction { path: self.path.clone(), action: Action::Delete, priority: 0 };
        let end = match self.tell.act.send(action).timeout(DELETE_PATIENCE).await {
            Ok(Some(0)) => End::Buried,
            Ok(Some(code)) => {
                End::Failed(format!("delete ended with {code}: see `om {} logs`", self.path))
            }
            Ok(None) => End::Failed("delete could not be run".to_owned()),
            Err(_) => End::Failed("the runner is not there now".to_owned()),
        };
        self.put_in_force().await;
        end
    }

    /// Returns when the daemon goes by the new file.
    async fn put_in_force(&self) {
        if self.path.kind() == Kind::Ccfg {
            _ = self.tell.reload.send(Reload).timeout(PATIENCE).await;
        } else {
            _ = self.tell.look.send(Look(vec![self.path.clone()])).timeout(PATIENCE).await;
        }
    }

    fn emit(&self, id: &'static str, facts: EventFacts) {
        let told = Emit { id, path: Some(self.path.clone()), facts };
        // Whoever does not keep up loses events.
        _ = self.tell.emit.try_send(told);
    }
}
