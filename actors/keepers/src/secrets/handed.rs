//! How a node that was away gets the secret in force: a member answers, to who proves that it has the one before, with its
//! configuration of the cluster.
//!
//! Part of the `impl` of [`SecretKeeper`], in a file of its own for its length.

use std::time::Instant;

use actix::prelude::*;
use conf::{NodeConf, NodeSettings, ObjectConf};
use model::{NodeName, ObjectPath};
use serde_json::json;
use wire::reply::{Lines, status_of};

use crate::secrets::{ASK_PAUSE, PATIENCE, RELOAD_PATIENCE, SecretKeeper};
use files::edit::{Locked, MODE, Target, Writer};
use files::fetched::Fetched;
use files::last_good;
use machine::paths::Paths;
use machine::{durable, regular};
use mail::config_watcher::Reload;
use mail::peers::AskPeer;

impl SecretKeeper {
    /// Asks members whose messages do not open for their configuration, with each secret that this node has.
    pub(super) fn ask_those_ahead(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        self.behind.retain(|member, _| self.node.nodes.contains(member));
        let mut due = vec![];
        for (member, last) in &mut self.behind {
            let is_due = last.is_none_or(|last| now >= last + ASK_PAUSE);
            if is_due && !self.asked.contains(member) {
                *last = Some(now);
                due.push(member.clone());
            }
        }
        let before = self.node.secret_previous.as_ref();
        let before = before.and(self.node.secret_generation.checked_sub(1));
        let generations: Vec<u32> =
            [Some(self.node.secret_generation), before].into_iter().flatten().collect();
        for member in due {
            self.asked.insert(member.clone());
            let asked = fetch(self.tell.ask.clone(), member.clone(), generations.clone());
            ctx.spawn(asked.into_actor(self).map(move |fetched, this, ctx| {
                this.asked.remove(&member);
                match fetched {
                    Ok(fetched) => this.take(member, fetched, ctx),
                    // Asked again when its next message does not open, and not at once.
                    Err(reason) => {
                        log::debug!(member:% = member, reason = reason.as_str(); "no configuration of it");
                        ctx.run_later(ASK_PAUSE, move |this, _| _ = this.behind.remove(&member));
                    }
                }
            }));
        }
    }

    /// Goes on from the configuration of a member, if its secret follows ours.
    fn take(&mut self, member: NodeName, fetched: Fetched, ctx: &mut Context<Self>) {
        let (paths, conf) = (self.paths.clone(), self.node.conf.clone());
        let work = machine::blocking::run(move || install(&paths, &conf, &fetched));
        let reload = self.tell.reload.clone();
        let done = async move {
            let taken = work.await.unwrap_or_else(|error| Err(error.to_string()));
            if let Ok(true) = taken {
                _ = reload.send(Reload).timeout(RELOAD_PATIENCE).await;
            }
            taken
        };
        ctx.spawn(done.into_actor(self).map(move |taken, this, ctx| {
            match taken {
                Ok(true) => {
                    log::warn!(from:% = member; "the cluster has another secret: it was handed to this node");
                }
                Ok(false) => {}
                Err(reason) => this.fail(member.as_str(), &reason, ctx),
            }
            ctx.run_later(ASK_PAUSE, move |this, _| _ = this.behind.remove(&member));
        }));
    }
}

async fn fetch(
    ask: Recipient<AskPeer>,
    member: NodeName,
    generations: Vec<u32>,
) -> Result<Fetched, String> {
    let mut failed = String::new();
    for generation in generations {
        let request = json!({
            "action": "object_config", "method": "GET", "options": {"path": "cluster"},
        });
        let mut asked = AskPeer::new(member.clone(), &request, PATIENCE);
        asked.generation = Some(generation);
        match ask.send(asked).timeout(PATIENCE + PATIENCE).await {
            Ok(Ok(reply)) if status_of(&reply) == 0 => return Fetched::from_reply(&reply),
            Ok(Ok(reply)) => failed = Lines::of(&reply).errors.join(", "),
            Ok(Err(error)) => failed = error.to_string(),
            Err(error) => failed = error.to_string(),
        }
    }
    Err(failed)
}

/// Puts the configuration of a member in the place of the own one, whichever is newer, if its secret follows ours; whether
/// it did. What was written here meanwhile is kept beside. Blocks.
pub(super) fn install(paths: &Paths, ours: &NodeConf, fetched: &Fetched) -> Result<bool, String> {
    let path = ObjectPath::cluster();
    let failed = |error: std::io::Error| error.to_string();
    let locked = Locked::take(paths, &Target::cluster(), Writer::Daemon).map_err(failed)?;
    let settings = |cluster: &str| -> Result<NodeSettings, String> {
        let conf = ObjectConf::parse(path.clone(), cluster).map_err(|error| error.to_string())?;
        let conf = NodeConf::new(ours.nodename.clone(), conf.into(), ours.node.clone());
        Ok(NodeSettings::new(conf.into()))
    };
    let in_force = last_good::file_in_force(paths, &path);
    let own = machine::regular::read_text(&in_force).map_err(failed)?;
    let written = regular::modified(&std::fs::metadata(&in_force).map_err(failed)?);
    let is_newer = fetched.mtime > written.0;
    let (before, after) = (settings(&own)?, settings(&fetched.text)?);
    if !before.is_handed(&after, is_newer) {
        return Ok(false);
    }
    if !after.nodes.contains(&ours.nodename) {
        return Err("its configuration of the cluster is without this node".to_owned());
    }
    let found = machine::regular::read_text(locked.file()).unwrap_or_default();
    if !is_newer || found != own {
        let mut kept = locked.file().as_os_str().to_owned();
        kept.push(".rej");
        durable::write(kept.as_ref(), found.as_bytes(), MODE).map_err(failed)?;
        log::warn!(
            "cluster.conf was changed here while the cluster got another secret: that is kept in cluster.conf.rej"
        );
    }
    let modified = fetched.modified().ok_or("the time in the reply is none")?;
    locked.write_at(&fetched.text, modified).map_err(failed)?;
    Ok(true)
}
