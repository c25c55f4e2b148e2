//! What an operator is told of configurations: mistakes, files that lost, what runs on without one, a host that was renamed.

use conf::{Complaint, NODE_FILES, NodeSettings};
use model::{NodeName, ObjectPath};
use serde_json::{Map, Value, json};

use super::rejected::{self, Rejected};
use super::{ConfigWatcher, MAX_ALERTS};
use crate::config::LoadedConfig;
use crate::resource::leftovers;
use crate::root::ThreadReport;
use crate::watching;

impl ConfigWatcher {
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
    pub(super) fn follow_left(&mut self, left: leftovers::Told) -> bool {
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
        let renamed_now = renamed(&new.node);
        if renamed_now != renamed(&old.node).filter(|_| old.is_loaded)
            && let Some(text) = renamed_now
        {
            log::error!("{text}");
        }
        self.show(new);
    }

    /// Shows what is wrong.
    pub(super) fn show(&self, new: &LoadedConfig) {
        let count = complaints_of(new).count();
        let alert = |(file, complaint): (&String, &Complaint)| {
            let severity = match complaint.severity {
                conf::Severity::Error => "error",
                conf::Severity::Mistake | conf::Severity::Warning | conf::Severity::Notice => {
                    "warning"
                }
            };
            json!({"severity": severity, "message": told(new, file, complaint)})
        };
        // The worst first: what is only odd does not hide what keeps a file from being in force.
        let mut worst: Vec<(&String, &Complaint)> = complaints_of(new).collect();
        worst.sort_by_key(|(_, complaint)| std::cmp::Reverse(complaint.severity));
        let mut alerts: Vec<Value> = worst.into_iter().take(MAX_ALERTS).map(alert).collect();
        if count > MAX_ALERTS {
            let message = format!("{} more configuration mistakes", count - MAX_ALERTS);
            alerts.push(json!({"severity": "warning", "message": message}));
        }
        let rejected = self.rejected.iter().take(MAX_ALERTS).map(|(file, winner)| {
            let message = rejected::message(file, winner.as_deref());
            json!({"severity": "warning", "message": message})
        });
        alerts.extend(rejected);
        alerts.extend(renamed(&new.node).map(|text| json!({"severity": "error", "message": text})));
        let left = self.left.values().take(MAX_ALERTS);
        alerts.extend(left.map(|text| json!({"severity": "warning", "message": text})));
        let blind = self.blind.iter();
        alerts.extend(blind.map(|reason| watching::alert("configuration files", reason)));
        for id in ["config", "monitor"] {
            let fields: Map<String, Value> =
                [("alerts".to_owned(), json!(alerts))].into_iter().collect();
            self.neighbours.root.1.do_send(ThreadReport { id: id.into(), fields });
        }
    }
}

/// That this host goes by a name that is none of the cluster, and what to do.
pub(super) fn renamed(node: &NodeSettings) -> Option<String> {
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
