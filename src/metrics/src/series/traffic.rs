//! What the daemon was asked, and what it ran.

use model::thread::{self, Report};

use crate::counts::{ACTION_BOUNDS, REQUEST_BOUNDS};
use crate::exposition::{Exposition, Kind, number};
use crate::series::facts::Facts;

pub(super) fn write(out: &mut Exposition, facts: &Facts<'_>) {
    actions(out, facts);
    patches(out, facts);
    connections(out, facts);
    requests(out, facts);
}

fn actions(out: &mut Exposition, facts: &Facts<'_>) {
    let mut family =
        out.family("opensvc_actions", Kind::Counter, "Actions of instances that the daemon ran.");
    for (action, counts, _) in facts.counts.actions() {
        for (result, count) in ["ok", "failed"].into_iter().zip(counts) {
            family.sample(&[("action", action), ("result", result)], number(count));
        }
    }
    let mut family = out.family(
        "opensvc_action_duration_seconds",
        Kind::Histogram,
        "How long actions that the daemon ran took.",
    );
    for (action, _, times) in facts.counts.actions() {
        family.histogram(&[("action", action)], &ACTION_BOUNDS, &times.buckets, times.sum);
    }
    out.family(
        "opensvc_resource_restarts",
        Kind::Counter,
        "Resources that the monitors started again because they fell.",
    )
    .sample(&[], number(facts.counts.resource_restarts()));
}

/// What nodes tell each other, and what did not open.
fn patches(out: &mut Exposition, facts: &Facts<'_>) {
    let tallies = &facts.counts.tallies;
    out.family(
        "opensvc_takeovers",
        Kind::Counter,
        "Instances that were started here because the node that ran them was lost.",
    )
    .sample(&[], number(tallies.takeovers()));
    let mut family = out.family(
        "opensvc_patches",
        Kind::Counter,
        "Messages with changes of the cluster data, each as often as it is sent or heard.",
    );
    for (direction, count, _) in tallies.patches() {
        family.sample(&[("direction", direction)], number(count));
    }
    let mut family = out.family("opensvc_patch_bytes", Kind::Counter, "Bytes of these messages.");
    for (direction, _, bytes) in tallies.patches() {
        family.sample(&[("direction", direction)], number(bytes));
    }
    let mut family = out.family(
        "opensvc_invalid_messages",
        Kind::Counter,
        "Messages that count against their sender, by what is wrong with them.",
    );
    for (reason, count) in tallies.invalid() {
        family.sample(&[("reason", reason)], number(count));
    }
}

fn connections(out: &mut Exposition, facts: &Facts<'_>) {
    let mut family = out.family("opensvc_connections", Kind::Gauge, "Connections that are open.");
    for (transport, _, open) in facts.counts.connections() {
        family.sample(&[("transport", transport)], number(open));
    }
    let mut family =
        out.family("opensvc_connections_accepted", Kind::Counter, "Connections that there were.");
    for (transport, all, _) in facts.counts.connections() {
        family.sample(&[("transport", transport)], number(all));
    }
    let blocks = facts.snapshot.threads();
    let report = |id: &str| blocks.get(id).map(|block| &block.report);
    let mut reasons: Vec<(&str, u64)> = facts.counts.tallies.refused().collect();
    if let Some(Report::Listener(listener)) = report(thread::LISTENER) {
        let sessions = &listener.stats.sessions;
        reasons.extend([
            ("blacklist", sessions.dropped),
            ("limit", sessions.refused),
            ("evicted", sessions.evicted),
        ]);
    }
    let mut family = out.family(
        "opensvc_connections_refused",
        Kind::Counter,
        "Connections that were closed because of who or how many they are, or of what they send.",
    );
    for (reason, count) in reasons {
        family.sample(&[("reason", reason)], number(count));
    }
    if let Some(Report::Blacklist { stats }) = report(thread::BLACKLIST) {
        out.family("opensvc_blacklisted", Kind::Gauge, "Senders that are on the blacklist.")
            .sample(&[], number(stats.blacklisted as u64));
    }
}

fn requests(out: &mut Exposition, facts: &Facts<'_>) {
    let mut family = out.family("opensvc_requests", Kind::Counter, "Requests that were answered.");
    for (transport, handler, code, count) in facts.counts.requests() {
        let code = code.to_string();
        let labels = [("transport", transport), ("handler", handler), ("code", &code)];
        family.sample(&labels, number(count));
    }
    let mut family = out.family(
        "opensvc_request_duration_seconds",
        Kind::Histogram,
        "How long requests took, without streams and those that wait on purpose.",
    );
    for (transport, times) in facts.counts.request_times() {
        family.histogram(&[("transport", transport)], &REQUEST_BOUNDS, &times.buckets, times.sum);
    }
    let mut family = out.family("opensvc_streams", Kind::Gauge, "Streams that are followed.");
    for (kind, count) in facts.counts.streams() {
        family.sample(&[("kind", kind)], number(count));
    }
    let mut family = out.family(
        "opensvc_stream_gaps",
        Kind::Counter,
        "How often somebody who follows a stream was told that it missed something.",
    );
    for (reason, count) in facts.counts.tallies.gaps() {
        family.sample(&[("reason", reason)], number(count));
    }
    let mut family = out.family(
        "opensvc_auth",
        Kind::Counter,
        "Requests over HTTP by how their sender proved who it is.",
    );
    for (method, result, count) in facts.counts.proofs() {
        family.sample(&[("method", method), ("result", result)], number(count));
    }
}
