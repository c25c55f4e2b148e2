//! The threads of the daemon, its heartbeats, the nodes and the files.

use dataset::view::View;
use model::thread::{self, Block, Report, State};
use model::{NodeName, ObjectPath};

use crate::exposition::{Exposition, Kind, number};
use crate::series::facts::{Facts, Shown, flag};

/// The name that the monitors of all objects share: there are as many as objects.
const SERVICE_MONITORS: &str = "service_monitor";

pub(super) fn write(out: &mut Exposition, facts: &Facts<'_>, shown: Shown<'_>) {
    threads(out, facts);
    heartbeats(out, facts);
    nodes(out, facts);
    quorum(out, facts);
    let generation = number(facts.snapshot.generation());
    out.family(
        "opensvc_dataset_generation",
        Kind::Gauge,
        "Changes of the cluster data that this node published.",
    )
    .sample(&[], generation);
    files(out, facts, shown);
}

fn threads(out: &mut Exposition, facts: &Facts<'_>) {
    let of_objects = |id: &str| thread::is_service_monitor(id);
    let threads = || facts.snapshot.threads().iter();
    let mut running =
        out.family("opensvc_thread_running", Kind::Gauge, "Whether a thread of the daemon runs.");
    for (id, block) in threads().filter(|(id, _)| !of_objects(id)) {
        running.sample(&[("thread", id)], flag(block.state == State::Running));
    }
    let mut restarts = out.family(
        "opensvc_actor_restarts",
        Kind::Counter,
        "Panics that a part of the daemon survived.",
    );
    for (id, block) in threads().filter(|(id, _)| !of_objects(id)) {
        if let Some(count) = block.restarts {
            restarts.sample(&[("actor", id)], number(count));
        }
    }
    let of_objects = threads().filter(|(id, _)| of_objects(id));
    let sum = of_objects.filter_map(|(_, block)| block.restarts).sum();
    restarts.sample(&[("actor", SERVICE_MONITORS)], number(sum));
}

/// The heartbeats: section, direction and what is known.
fn beats<'a>(facts: &Facts<'a>) -> impl Iterator<Item = (&'a str, &'a str, &'a thread::Heartbeat)> {
    let of = |(id, block): (&'a String, &'a std::sync::Arc<Block>)| {
        let Report::Heartbeat(heartbeat) = &block.report else { return None };
        let (section, direction) = id.rsplit_once('.')?;
        Some((section, direction, &**heartbeat))
    };
    facts.snapshot.threads().iter().filter_map(of)
}

fn heartbeats(out: &mut Exposition, facts: &Facts<'_>) {
    type Counted = fn(&thread::HeartbeatStats) -> u64;
    let counters: [(&'static str, &'static str, Counted); 3] = [
        ("opensvc_heartbeat_beats", "Messages of a heartbeat.", |stats| stats.beats),
        ("opensvc_heartbeat_bytes", "Bytes of a heartbeat.", |stats| stats.bytes),
        ("opensvc_heartbeat_errors", "What went wrong in a heartbeat.", |stats| stats.errors),
    ];
    for (name, help, counted) in counters {
        let mut family = out.family(name, Kind::Counter, help);
        for (hb, direction, heartbeat) in beats(facts) {
            let labels = [("hb", hb), ("direction", direction)];
            family.sample(&labels, number(counted(&heartbeat.stats)));
        }
    }
    let local = facts.snapshot.nodename();
    let heard = || {
        beats(facts).filter(|(_, direction, _)| *direction == thread::RX).flat_map(|(hb, _, it)| {
            it.peers.iter().filter(|(node, _)| *node != local).map(move |peer| (hb, peer))
        })
    };
    let mut beating =
        out.family("opensvc_heartbeat_beating", Kind::Gauge, "Whether a peer was heard in time.");
    for (hb, (node, peer)) in heard() {
        beating.sample(&[("hb", hb), ("peer", node.as_str())], flag(peer.beating == Some(true)));
    }
    let mut age = out.family(
        "opensvc_heartbeat_age_seconds",
        Kind::Gauge,
        "Seconds since a peer was heard last.",
    );
    for (hb, (node, peer)) in heard() {
        if let Some(last) = peer.last {
            age.sample(&[("hb", hb), ("peer", node.as_str())], (facts.now.0 - last.0).max(0.0));
        }
    }
}

fn nodes(out: &mut Exposition, facts: &Facts<'_>) {
    let snapshot = facts.snapshot;
    let mut gauge = |name, help, value: &dyn Fn(&NodeName) -> bool| {
        let mut family = out.family(name, Kind::Gauge, help);
        for node in &snapshot.cluster().nodes {
            family.sample(&[("node", node.as_str())], flag(value(node)));
        }
    };
    gauge("opensvc_node_up", "Whether this node hears a node; itself it does.", &|node| {
        node == snapshot.nodename() || snapshot.node(node).is_some_and(|entry| entry.is_heard)
    });
    gauge("opensvc_node_frozen", "Whether a node is frozen.", &|node| {
        let frozen = snapshot.node(node).and_then(|entry| entry.data.frozen);
        frozen.is_some_and(|since| since.0 > 0.0)
    });
    gauge("opensvc_node_speaker", "Whether a node speaks to the collector.", &|node| {
        snapshot.node(node).is_some_and(|entry| entry.data.speaker)
    });
}

fn quorum(out: &mut Exposition, facts: &Facts<'_>) {
    let view = View::new(facts.snapshot, facts.config, false);
    if let Some(ballot) = &view.conditions.ballot {
        let required = (1..=ballot.voting()).find(|votes| ballot.is_majority(*votes));
        let mut gauge = |name, help, count: usize| {
            let count = u32::try_from(count).map_or(f64::MAX, f64::from);
            out.family(name, Kind::Gauge, help).sample(&[], count);
        };
        gauge("opensvc_quorum_votes", "Votes of this side: nodes and arbitrators.", ballot.votes());
        let required = required.unwrap_or_else(|| ballot.voting());
        gauge("opensvc_quorum_required", "Votes that a side needs to go on.", required);
    }
    let mut up = out.family("opensvc_arbitrator_up", Kind::Gauge, "Whether an arbitrator answers.");
    for (section, state) in facts.snapshot.local().iter().flat_map(|local| &local.data.arbitrators)
    {
        up.sample(&[("arbitrator", section)], flag(state.status == "up"));
    }
}

/// Certificates and configuration files.
fn files(out: &mut Exposition, facts: &Facts<'_>, shown: Shown<'_>) {
    let mut expiry = out.family(
        "opensvc_certificate_expiry_timestamp_seconds",
        Kind::Gauge,
        "When a certificate or a list of revocations ends, in seconds since 1970.",
    );
    for found in facts.expiries.iter().filter(|found| (shown.object)(&found.object)) {
        let labels = [("object", found.object.as_str()), ("kind", found.kind)];
        expiry.sample(&labels, found.end.0);
    }
    let mut complaints =
        out.family("opensvc_config_complaints", Kind::Gauge, "Mistakes in a configuration file.");
    let config = facts.config;
    let objects = config.objects.iter().map(|(_, object)| object);
    let of_objects = objects.filter(|object| !object.complaints.is_empty()).map(|object| {
        (object.path.to_string(), object.complaints.len(), (shown.object)(&object.path))
    });
    let of_files = config.complaints.iter().map(|(file, found)| {
        let path = ObjectPath::from_config_file(file);
        let name = path.as_ref().map_or_else(|| file.clone(), ToString::to_string);
        (name, found.len(), path.is_none_or(|path| (shown.object)(&path)))
    });
    let mut sums = std::collections::BTreeMap::new();
    for (file, count, _) in of_objects.chain(of_files).filter(|(.., is_shown)| *is_shown) {
        *sums.entry(file).or_insert(0) += count as u64;
    }
    for (file, count) in sums {
        complaints.sample(&[("file", &file)], number(count));
    }
}
