//! `om daemon leave`: making this node a cluster of its own.

use model::{NodeName, thread};
use wire::Request;
use wire::reply::{Lines, status_of};

use files::in_force;
use link::link::Link;
use machine::{durable, random};

use crate::join::shared::shared_instances;
use crate::join::{Files, Freeze, await_daemon, edit_locks, only, peers, read};
use crate::om::{ANSWER, Done, Failure, Om, note};

/// Makes this node a cluster of its own: tells the others, then forgets them. It stays frozen: what runs here may be
/// started there. A member that cannot be told is a warning: leaving a cluster that is broken is what the command is
/// needed for.
pub(crate) fn leave(om: &Om, force: bool) -> Done {
    let _only = only(om)?;
    let settings = in_force::load_node_as_it_speaks(&om.paths, om.nodename.clone())?;
    let peers: Vec<&NodeName> = peers(&settings).collect();
    if peers.is_empty() {
        // Of a leave that was over but for this.
        durable::remove(&om.paths.node_frozen_by_join())?;
        note("this node is a cluster of its own: there is nothing to leave");
        return Ok(0);
    }
    let link = om.link(None)?;
    let shared = shared_instances(om, &link)?;
    if !shared.is_empty() && !force {
        return Err(Failure::new(format!(
            "the other members would start what runs here a second time: {}: `om node drain --wait` first, or --force",
            shared.join(", ")
        )));
    }
    let freeze = Freeze::set(&om.paths)?;
    // What cannot be read or written is known before anybody is told.
    let staged = match stage_leave(om) {
        Ok(staged) => staged,
        Err(failure) => {
            freeze.undo()?;
            return Err(failure);
        }
    };
    stop_sending(&link);
    let unaware: Vec<(&NodeName, String)> = peers
        .iter()
        .zip(tell(&link, &peers))
        .filter_map(|(peer, told)| Some((*peer, told.err()?)))
        .collect();
    staged.commit()?;
    freeze.keep()?;
    crate::node::wake(om, "leave");
    await_daemon(om);
    for (peer, reason) in &unaware {
        note(&format!("warning: {peer}: {reason}"));
    }
    note(
        "this node is now a cluster of its own, frozen: `om node thaw --local` lets it start services again",
    );
    if unaware.len() == peers.len() {
        // Else they hear it from those that were told.
        note(&format!(
            "warning: no member could be told: there, `om cluster set --force --kw cluster.nodes-={}`",
            om.nodename
        ));
    }
    Ok(0)
}

fn stage_leave(om: &Om) -> Result<Files, Failure> {
    let locks = edit_locks(om)?;
    let [node_conf, cluster_conf] = &locks;
    let (mut node, mut cluster) = (read(node_conf.file())?, read(cluster_conf.file())?);
    let is_changed = conf::leave_node_conf(&mut node);
    let secret = random::random_secret();
    conf::leave_cluster_conf(&mut cluster, &om.nodename, &random::random_uuid(), &secret)
        .map_err(|error| Failure::new(error.to_string()))?;
    let node = match is_changed {
        true => {
            let text = node.text().to_owned();
            Some((node_conf.stage(&text, None)?, text))
        }
        false => None,
    };
    let text = cluster.text().to_owned();
    let cluster = Some((cluster_conf.stage(&text, None)?, text));
    Ok(Files { node, cluster, aside: vec![], paths: om.paths.clone(), _locks: locks })
}

/// Stops what sends heartbeats, if the daemon runs and sends any: the members are not to hear of us again.
fn stop_sending(link: &Link) {
    let thr_id = Some(thread::TX.to_owned());
    let stop = wire::DaemonStop { thr_id, session_id: None, wait: true, upgrade: false };
    _ = link.ask(&Request::new(stop), Some(ANSWER * 2));
}

/// Tells all members at once that this node leaves. One that no longer knows this node was told before.
fn tell(link: &Link, peers: &[&NodeName]) -> Vec<Result<(), String>> {
    std::thread::scope(|scope| {
        let told: Vec<_> = peers
            .iter()
            .map(|peer| {
                let link = link.to_node(peer.as_str());
                scope.spawn(move || match link.ask(&Request::new(wire::Leave {}), Some(ANSWER)) {
                    Ok(reply) if matches!(status_of(&reply), 0 | 401) => Ok(()),
                    Ok(reply) => Err(format!("{peer}: {}", Lines::of(&reply).errors.join(", "))),
                    Err(error) => Err(format!("{peer}: {error}")),
                })
            })
            .collect();
        let failed = || Err("a member could not be told".to_owned());
        told.into_iter().map(|told| told.join().unwrap_or_else(|_| failed())).collect()
    })
}
