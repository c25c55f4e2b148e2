//! What of the cluster data is a transition that the journals keep, and what a journal adds up to.

mod outages;

use model::{
    Aggregate, EventFacts, Happening, InstanceMonitor, InstanceStatus, NodeData, NodeName,
    ObjectPath, Provisioned, Record, Status, Timestamp,
};

pub use outages::{Outage, Told, outages};

/// What a node knows of an object at one time.
#[derive(Debug, Clone, Default)]
pub struct Known<'a> {
    /// The local instance.
    pub instance: Option<&'a InstanceStatus>,
    /// The object over all its instances.
    pub object: Option<&'a Aggregate>,
    /// The nodes whose instance is up.
    pub up_on: Vec<NodeName>,
    /// Checksum of the local configuration.
    pub csum: Option<&'a str>,
}

/// The transitions from one time to the next, as the journal of the object keeps them. `now`: of the second.
#[must_use]
pub fn transitions(now: Timestamp, old: &Known<'_>, new: &Known<'_>) -> Vec<Record> {
    let mut records = vec![];
    let mut add = |what, from: Option<String>, to: Option<String>| {
        if from != to && to.is_some() {
            records.push(Record::new(now, what).change(from, to));
        }
    };
    let csum = |known: &Known<'_>| known.csum.map(|csum| csum.chars().take(8).collect::<String>());
    if old.csum.is_some() {
        add(Happening::Config, csum(old), csum(new));
    }
    let word = |status: &Option<Status>| status.as_ref().map(ToString::to_string);
    let was = old.instance.filter(|status| status.is_known());
    if let Some(is) = new.instance.filter(|status| status.is_known()) {
        let pairs = [
            (Happening::Avail, was.map(|it| &it.avail), &is.avail),
            (Happening::Overall, was.map(|it| &it.overall), &is.overall),
        ];
        for (what, was, is) in pairs {
            add(what, was.and_then(word), word(is));
        }
        add(Happening::Frozen, was.map(frozen), Some(frozen(is)));
        add(Happening::Provisioned, was.and_then(provisioned), provisioned(is));
    }
    let idle = InstanceMonitor::default();
    let monitor = |status: Option<&'_ InstanceStatus>| {
        status.and_then(|status| status.monitor.clone()).unwrap_or_else(|| idle.clone())
    };
    let (before, after) = (monitor(old.instance), monitor(new.instance));
    let target = |monitor: &InstanceMonitor| {
        Some(monitor.global_expect.as_ref().map_or("none".to_owned(), ToString::to_string))
    };
    let local = |monitor: &InstanceMonitor| {
        Some(monitor.local_expect.as_ref().map_or("none".to_owned(), ToString::to_string))
    };
    add(Happening::Target, target(&before), target(&after));
    add(Happening::LocalTarget, local(&before), local(&after));
    add(Happening::Monitor, Some(before.status.to_string()), Some(after.status.to_string()));
    if let Some(record) = failure(now, old.instance, new.instance) {
        records.push(record);
    }
    records.extend(object(now, old, new));
    timed(&mut records, &before);
    records
}

/// For how long what the monitor did before lasted.
fn timed(records: &mut [Record], before: &InstanceMonitor) {
    let since = before.status_updated;
    for record in records.iter_mut().filter(|record| record.what == Happening::Monitor) {
        record.took =
            since.filter(|_| before.status.is_transitioning()).map(|at| record.t.since(at));
    }
}

fn frozen(status: &InstanceStatus) -> String {
    let is_frozen = status.frozen.is_some_and(|at| at.0 > 0.0);
    (if is_frozen { "frozen" } else { "thawed" }).to_owned()
}

fn provisioned(status: &InstanceStatus) -> Option<String> {
    let word = match status.provisioned? {
        Provisioned::Yes => "true",
        Provisioned::No => "false",
        Provisioned::Mixed => "mixed",
        Provisioned::NotApplicable => "n/a",
    };
    Some(word.to_owned())
}

/// An action failed that had not failed then.
fn failure(
    now: Timestamp,
    old: Option<&InstanceStatus>,
    new: Option<&InstanceStatus>,
) -> Option<Record> {
    let is = new?.last_failure.as_ref()?;
    let was = old.and_then(|status| status.last_failure.as_ref());
    (was.map(|was| was.at) != Some(is.at)).then(|| {
        let record = Record::new(now, Happening::Failure).because(&is.reason);
        Record { action: Some(is.action.clone()), rid: is.rid.clone(), ..record }
    })
}

/// The object over all its instances changed.
fn object(now: Timestamp, old: &Known<'_>, new: &Known<'_>) -> Option<Record> {
    let avail = |known: &Known<'_>| {
        known.object.and_then(|object| object.avail.as_ref()).map(ToString::to_string)
    };
    let (was, is) = (avail(old), avail(new));
    let moved = was == is && !new.up_on.is_empty() && old.up_on != new.up_on;
    (is.is_some() && (was != is || moved)).then(|| Record {
        on: new.up_on.clone(),
        ..Record::new(now, Happening::Object).change(was, is)
    })
}

/// An event of the monitors, as the journals keep it; none for what they know from elsewhere.
#[must_use]
pub fn of_event(
    now: Timestamp,
    id: &str,
    path: Option<&ObjectPath>,
    facts: &EventFacts,
) -> Option<Record> {
    let why = facts.text.as_deref().or(facts.reason).unwrap_or_default();
    let on = || facts.peer.iter().cloned().collect();
    let record = match id {
        // Of the node.
        "forget_peer" | "blacklist_add" | "hb_beating" | "hb_stale" => return None,
        "resource_restart" | "stdby_resource_restart" => {
            let tries = facts.r#try.zip(facts.restart);
            let tries = tries.map(|(tries, most)| format!("try {tries} of {most}"));
            Record::new(now, Happening::Restart).because(&tries.unwrap_or_default())
        }
        "crash" | "reboot" | "stop" if path.is_none() => {
            let votes =
                facts.votes.map(|votes| format!("{} of {} votes", votes.pro_voters, votes.voting));
            Record::new(now, Happening::Split)
                .change(None, Some(format!("lost: {id}")))
                .because(&votes.unwrap_or_else(|| why.to_owned()))
        }
        _ => Record::new(now, Happening::Decided).change(None, Some(id.to_owned())).because(why),
    };
    Some(Record { rid: facts.rid.clone(), on: on(), ..record })
}

/// The transitions of a node from one time to the next: of itself, as its journal keeps them.
#[must_use]
pub fn node_transitions(now: Timestamp, old: Option<&NodeData>, new: &NodeData) -> Vec<Record> {
    let mut records = vec![];
    let frozen = |data: &NodeData| {
        data.frozen.map(|at| (if at.0 > 0.0 { "frozen" } else { "thawed" }).to_owned())
    };
    let (was, is) = (old.and_then(frozen), frozen(new));
    if is.is_some() && was != is && !(was.is_none() && is.as_deref() == Some("thawed")) {
        let why = new.frozen_by.as_deref().unwrap_or_default();
        records.push(Record::new(now, Happening::Frozen).change(was, is).because(why));
    }
    let monitor = |data: &NodeData| data.monitor.clone();
    if let (Some(was), Some(is)) = (old.and_then(monitor), monitor(new)) {
        let words = [
            (Happening::Monitor, Some(was.status.to_string()), Some(is.status.to_string())),
            (Happening::Target, target_of(&was.global_expect), target_of(&is.global_expect)),
        ];
        let changed = words.into_iter().filter(|(_, was, is)| was != is);
        records.extend(changed.map(|(what, was, is)| Record::new(now, what).change(was, is)));
    }
    records
}

fn target_of(target: &Option<model::GlobalExpect>) -> Option<String> {
    Some(target.as_ref().map_or("none".to_owned(), ToString::to_string))
}

#[cfg(test)]
mod tests;
