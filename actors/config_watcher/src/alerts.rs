//! What an operator is told of configurations: mistakes, files that lost, what runs on without one, a host that was renamed.

use std::collections::BTreeMap;

use actix::prelude::*;
use conf::{Complaint, NODE_FILES, NodeSettings};
use model::{Alert, NodeName, ObjectPath, thread};

use dataset::config::LoadedConfig;
use files::rejected;
use files::rejected::Rejected;
use machine::watching;
use mail::root::ThreadReport;

/// Alerts shown at a time.
const MAX_ALERTS: usize = 50;

/// What runs on of objects and sections that are gone: a text for each object.
pub(crate) type Left = BTreeMap<ObjectPath, String>;

/// What the alerts tell beside the mistakes of the configuration.
#[derive(Debug)]
pub(super) struct Alerts {
    /// Files that lost against newer ones.
    rejected: Rejected,
    /// What runs on of objects and sections that are gone.
    pub(super) left: Left,
    /// Why not everything is watched.
    pub(super) blind: Option<String>,
    /// Shows them.
    root: Recipient<ThreadReport>,
}

impl Alerts {
    /// No alert.
    pub(super) fn new(root: Recipient<ThreadReport>) -> Self {
        Self { rejected: Rejected::new(), left: Left::new(), blind: None, root }
    }

    /// Takes over which files lost against newer ones, and tells the news of it. Whether there are any.
    pub(super) fn follow_rejected(&mut self, rejected: Rejected) -> bool {
        let old = std::mem::replace(&mut self.rejected, rejected);
        for (file, winner) in &self.rejected {
            if old.get(file) != Some(winner) {
                log::warn!("{}", rejected::message(file, winner.as_deref()));
            }
        }
        for file in old.keys().filter(|file| !self.rejected.contains_key(*file)) {
            log::info!(file = file.as_str(); "a configuration that lost is no longer kept");
        }
        old != self.rejected
    }

    /// Takes over what runs on of objects and sections that are gone. Whether that is news.
    pub(super) fn follow_left(&mut self, left: Left) -> bool {
        let old = std::mem::replace(&mut self.left, left);
        for (path, text) in &self.left {
            if old.get(path) != Some(text) {
                log::warn!(path:% = path; "{text}");
            }
        }
        old != self.left
    }

    /// Logs and shows what is wrong.
    pub(super) fn report(&self, old: &LoadedConfig, new: &LoadedConfig) {
        // What was wrong at the start was not told yet.
        let known = |file: &String| old.complaints.get(file).filter(|_| old.is_loaded);
        for (file, complaint) in complaints_of(new) {
            let is_told = old.kept.contains(file) == new.kept.contains(file)
                && known(file).is_some_and(|known| known.contains(complaint));
            if !is_told {
                log::log!(level_of(complaint), "{}", told(new, file, complaint));
            }
        }
        for file in old.complaints.keys().filter(|file| !new.complaints.contains_key(*file)) {
            let is_gone = ObjectPath::from_config_file(file)
                .is_some_and(|path| !new.objects.contains_key(&path));
            match is_gone {
                true => log::info!(file = file.as_str(); "configuration is gone"),
                false => log::info!(file = file.as_str(); "configuration is valid again"),
            }
        }
        let known = if old.is_loaded { faults(&old.node) } else { vec![] };
        for fault in faults(&new.node).iter().filter(|fault| !known.contains(fault)) {
            log::error!("{fault}");
        }
        self.show(new);
    }

    /// Shows what is wrong.
    pub(super) fn show(&self, new: &LoadedConfig) {
        let count = complaints_of(new).count();
        let alert = |(file, complaint): (&String, &Complaint)| {
            let message = told(new, file, complaint);
            match complaint.severity {
                conf::Severity::Error => Alert::error(message),
                conf::Severity::Mistake | conf::Severity::Warning | conf::Severity::Notice => {
                    Alert::warning(message)
                }
            }
        };
        // The worst first: what is only odd does not hide what keeps a file from being in force.
        let mut worst: Vec<(&String, &Complaint)> = complaints_of(new).collect();
        worst.sort_by_key(|(_, complaint)| std::cmp::Reverse(complaint.severity));
        let mut alerts: Vec<Alert> = worst.into_iter().take(MAX_ALERTS).map(alert).collect();
        if count > MAX_ALERTS {
            let rest = format!("{} more configuration mistakes", count - MAX_ALERTS);
            alerts.push(Alert::warning(rest));
        }
        let rejected = self
            .rejected
            .iter()
            .take(MAX_ALERTS)
            .map(|(file, winner)| Alert::warning(rejected::message(file, winner.as_deref())));
        alerts.extend(rejected);
        alerts.extend(faults(&new.node).into_iter().map(Alert::error));
        let left = self.left.values().take(MAX_ALERTS);
        alerts.extend(left.map(Alert::warning));
        let blind = self.blind.iter();
        alerts.extend(blind.map(|reason| watching::alert("configuration files", reason)));
        for id in [thread::CONFIG, thread::MONITOR] {
            self.root.do_send(ThreadReport::alerts(id, alerts.clone()).told_by(thread::CONFIG));
        }
    }
}

/// What is wrong with a cluster of which no line is wrong.
pub(super) fn faults(node: &NodeSettings) -> Vec<String> {
    [renamed(node), unheard(node)].into_iter().flatten().collect()
}

/// That this host goes by a name that is none of the cluster, and what to do.
fn renamed(node: &NodeSettings) -> Option<String> {
    let name = &node.nodename;
    if node.nodes.contains(name) || node.drpnodes.contains(name) {
        return None;
    }
    let members: Vec<&str> = node.nodes.iter().map(NodeName::as_str).collect();
    Some(format!(
        "this host is called {name}, which is none of cluster.nodes ({}): it takes no part in the cluster. Give it its name \
         back and restart the daemon, or make it a member under the new one: on a member `om cluster set --force --kw \
         cluster.nodes-=OLD`, then here `om daemon rejoin --node MEMBER`",
        members.join(" ")
    ))
}

/// That the nodes of the cluster have nothing by which they hear each other, and what to do.
fn unheard(node: &NodeSettings) -> Option<String> {
    (node.nodes.len() > 1 && node.heartbeats.is_empty()).then(|| {
        format!(
            "the cluster has {} nodes and no heartbeat: they do not know of each other, and no service is taken over. Add \
             one, on each node: `om cluster set --kw hb#1.type=unicast`",
            node.nodes.len()
        )
    })
}

fn complaints_of(config: &LoadedConfig) -> impl Iterator<Item = (&String, &Complaint)> {
    let by_file = config.complaints.iter();
    by_file.flat_map(|(file, complaints)| complaints.iter().map(move |each| (file, each)))
}

fn level_of(complaint: &Complaint) -> log::Level {
    match complaint.severity {
        conf::Severity::Error => log::Level::Error,
        conf::Severity::Mistake | conf::Severity::Warning | conf::Severity::Notice => {
            log::Level::Warn
        }
    }
}

/// A complaint with what applies instead.
fn told(config: &LoadedConfig, file: &str, complaint: &Complaint) -> String {
    let is_node = NODE_FILES.contains(&file);
    match (complaint.severity, config.kept.contains(file)) {
        (conf::Severity::Error, true) => {
            format!("{complaint}: the last good configuration stays in force")
        }
        (conf::Severity::Error, false) if is_node && !complaint.keyword.is_empty() => {
            format!("{complaint}: its default applies")
        }
        _ => complaint.to_string(),
    }
}
