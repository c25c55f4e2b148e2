//! Which of the files that were read are put in force: one that is no configuration, lost what made the node a member, or
//! has a mistake that the one in force has not, changes nothing.

use std::sync::Arc;

use crate::complaint::{Complaint, Severity};
use crate::ini::Ini;
use crate::node::NodeConf;
use crate::node::settings::NodeSettings;
use crate::object::ObjectConf;

/// The names of the files, as complaints have them: cluster.conf first.
pub const NODE_FILES: [&str; 2] = ["cluster.conf", "node.conf"];

/// A file, as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// Its text.
    Text(&'a str),
    /// There is none.
    Nothing,
    /// It could not be read, which was complained about.
    Unread,
}

/// What follows the configuration in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Followed {
    /// What is in force now. Its complaints are those about the files that are in force.
    pub settings: NodeSettings,
    /// For each of [`NODE_FILES`], whether what is in force is not what was found.
    pub is_kept: [bool; 2],
    /// Why, beside what the caller knows of a file that it could not read.
    pub refused: Vec<Complaint>,
}

/// Keywords without which a node of a cluster is in none: a file that lost one is half written, or mistyped.
const LASTING: [&str; 3] = ["id", "secret", "nodes"];

impl NodeSettings {
    /// Judges both files against what is in force: `found` in the order of [`NODE_FILES`].
    #[must_use]
    pub fn follow(&self, found: [Found<'_>; 2]) -> Followed {
        self.judge(found, true)
    }

    /// The same for files with which the node joins a cluster or leaves it: the secret and the name are to change.
    #[must_use]
    pub fn follow_elsewhere(&self, found: [Found<'_>; 2]) -> Followed {
        self.judge(found, false)
    }

    fn judge(&self, found: [Found<'_>; 2], is_same_cluster: bool) -> Followed {
        let [cluster, node] = &found;
        let mut refused = vec![];
        let last = (&self.conf.cluster, &self.conf.node);
        let cluster = self.candidate(0, cluster, last.0.text(), &mut refused).and_then(|text| {
            let parsed = ObjectConf::parse(last.0.path().clone(), text);
            parsed.map(Arc::new).map_err(|error| refused.push(unreadable(0, error))).ok()
        });
        let node = self.candidate(1, node, last.1.text(), &mut refused).and_then(|text| {
            Ini::parse(text).map_err(|error| refused.push(unreadable(1, error))).ok()
        });
        let mut new = (cluster, node);
        // At most one round for each file that is put aside, and the one without them.
        loop {
            let conf = NodeConf::new(
                self.nodename.clone(),
                new.0.clone().unwrap_or_else(|| last.0.clone()),
                new.1.clone().unwrap_or_else(|| last.1.clone()),
            );
            let settings = Self::new(Arc::new(conf));
            let mut mistakes = settings.complaints.clone();
            mistakes.extend(self.lost(&settings));
            if is_same_cluster {
                mistakes.extend(self.cut_off(&settings));
            }
            let fresh = self.added(&mistakes);
            let is_new = [new.0.is_some(), new.1.is_some()];
            let is_bad = |file: usize| fresh.iter().any(|each| each.file == NODE_FILES[file]);
            let aside = match (0..2).filter(|file| is_new[*file] && is_bad(*file)).max() {
                _ if fresh.is_empty() => None,
                Some(file) => Some(file),
                // A file that stays is bad beside the other one.
                None => (0..2).find(|file| is_new[*file]),
            };
            let Some(aside) = aside else {
                let is_kept = is_new.map(|is_new| !is_new);
                return Followed { settings, is_kept, refused };
            };
            let told = |each: &Complaint| each.file == NODE_FILES[aside];
            if fresh.iter().any(told) {
                refused.extend(mistakes.into_iter().filter(told));
            } else {
                refused.extend(fresh);
            }
            match aside {
                0 => new.0 = None,
                _ => new.1 = None,
            }
        }
    }

    /// Errors that what is in force has not. Where they stand may have changed.
    fn added(&self, mistakes: &[Complaint]) -> Vec<Complaint> {
        let errors = mistakes.iter().filter(|each| each.severity == Severity::Error);
        errors.filter(|each| !each.is_among(&self.complaints)).cloned().collect()
    }

    /// The text to judge; none where what is in force stays.
    fn candidate<'a>(
        &self,
        file: usize,
        found: &Found<'a>,
        last: &str,
        refused: &mut Vec<Complaint>,
    ) -> Option<&'a str> {
        let is_empty = |text: &str| text.trim().is_empty();
        match found {
            Found::Unread => None,
            Found::Text(text) if is_empty(text) && !is_empty(last) => {
                refused.push(about(file, "is empty"));
                None
            }
            Found::Text(text) => Some(text),
            // A node without node.conf has an empty one; one without cluster.conf would be in no cluster.
            Found::Nothing if file == 0 && !is_empty(last) => {
                refused.push(about(file, "does not exist"));
                None
            }
            Found::Nothing => Some(""),
        }
    }

    /// What made the node a member of its cluster and is not set any more.
    pub(super) fn lost(&self, new: &Self) -> Vec<Complaint> {
        let is_set = |settings: &Self, keyword: &str| {
            let scoped = format!("cluster.{keyword}@{}", settings.nodename);
            let found =
                [settings.conf.get(&format!("cluster.{keyword}")), settings.conf.get(&scoped)];
            found.into_iter().flatten().any(|text| !text.trim().is_empty())
        };
        let lost = LASTING.into_iter().filter(|it| is_set(self, it) && !is_set(new, it));
        lost.map(|keyword| {
            let was_in_node = self.conf.node.get("cluster", keyword).is_some();
            Complaint {
                section: "cluster".into(),
                keyword: keyword.into(),
                ..about(usize::from(was_in_node), "was set, and is not any more")
            }
        })
        .collect()
    }
}

fn unreadable(file: usize, error: crate::ini::error::IniError) -> Complaint {
    let reason = crate::ini::error::IniError { line: 0, reason: error.reason }.to_string();
    Complaint { line: error.line, reason, ..about(file, "") }
}

fn about(file: usize, reason: &str) -> Complaint {
    Complaint {
        severity: Severity::Error,
        file: NODE_FILES[file].into(),
        line: 0,
        section: String::new(),
        keyword: String::new(),
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use model::NodeName;

    use super::*;

    const CLUSTER: &str = "[cluster]\nid = i\nsecret = abcdefghijklmnop\nnodes = n1 n2\n";
    const NODE: &str = "[listener]\nport = 2000\n";

    fn last() -> NodeSettings {
        NodeSettings::parse(NodeName::new("n1").unwrap(), CLUSTER, NODE).unwrap()
    }

    /// What is in force, and what is told.
    fn follow(found: [Found<'_>; 2]) -> (String, String, Vec<String>) {
        let followed = last().follow(found);
        let conf = &followed.settings.conf;
        let refused = followed.refused.iter().map(ToString::to_string).collect();
        (conf.cluster.text().to_owned(), conf.node.text().to_owned(), refused)
    }

    #[test]
    fn good_files_are_put_in_force_and_a_node_may_have_no_node_conf() {
        let cluster = format!("{CLUSTER}quorum = true\n");
        let found = follow([Found::Text(&cluster), Found::Nothing]);
        assert_eq!(found, (cluster, String::new(), vec![]));
    }

    #[test]
    fn a_file_that_is_gone_emptied_or_no_configuration_changes_nothing() {
        for (found, reason) in [
            (Found::Nothing, "cluster.conf: does not exist"),
            (Found::Text(""), "cluster.conf: is empty"),
            (Found::Text("\n \n"), "cluster.conf: is empty"),
            (
                Found::Text("[cluster]\nno\n"),
                "cluster.conf line 2: \"no\" is neither a comment, a [section], nor `keyword = value`",
            ),
        ] {
            let (cluster, node, refused) = follow([found, Found::Text("[node]\nenv = PRD\n")]);
            assert_eq!((cluster.as_str(), node.as_str()), (CLUSTER, "[node]\nenv = PRD\n"));
            assert_eq!(refused, [reason]);
        }
        let (cluster, node, refused) = follow([Found::Unread, Found::Text("")]);
        assert_eq!((cluster.as_str(), node.as_str()), (CLUSTER, NODE));
        assert_eq!(refused, ["node.conf: is empty"]);
    }

    #[test]
    fn a_file_with_a_new_mistake_changes_nothing_and_the_other_one_does() {
        let bad = format!("{CLUSTER}[listener]\nport = abc\n[hb#9]\ntype = bogus\n[foo]\n");
        let good = "[listener]\nport = 2001\n";
        let (cluster, node, refused) = follow([Found::Text(&bad), Found::Text(good)]);
        assert_eq!((cluster.as_str(), node.as_str()), (CLUSTER, good));
        assert_eq!(
            refused,
            [
                "cluster.conf line 6: listener.port: \"abc\" is not a number",
                "cluster.conf line 8: hb#9.type: \"bogus\" is not one of unicast, multicast, disk, relay",
                "cluster.conf line 9: [foo]: unknown section",
            ]
        );
        // Both bad: both told, nothing changed.
        let (cluster, node, refused) =
            follow([Found::Text(&bad), Found::Text("[node]\nready_period = abc\n")]);
        assert_eq!((cluster.as_str(), node.as_str()), (CLUSTER, NODE));
        for file in NODE_FILES {
            assert!(refused.iter().any(|text| text.starts_with(file)), "{refused:?}");
        }
    }

    #[test]
    fn what_made_the_node_a_member_is_not_lost_by_a_half_written_file() {
        for (text, lost) in [
            ("[cluster]\nid = i\nsecret = abcdefghijklmnop\n", "nodes"),
            ("[cluster]\nid = i\nnodes = n1 n2\n", "secret"),
            ("[cluster]\nsecret = abcdefghijklmnop\nnodes = n1 n2\n", "id"),
            ("[cluster]\nid = i\nsecret = short\nnodes = n1 n2\n", "secret"),
        ] {
            let (cluster, _, refused) = follow([Found::Text(text), Found::Text(NODE)]);
            assert_eq!(cluster, CLUSTER, "{lost}");
            assert!(refused[0].contains(&format!("cluster.{lost}")), "{refused:?}");
            assert!(!refused[0].contains("short"), "{refused:?}");
        }
    }

    #[test]
    fn a_mistake_that_was_there_at_the_start_is_no_reason_to_refuse_the_next_change() {
        let start = format!("{CLUSTER}[listener]\nport = abc\n");
        let last = NodeSettings::parse(NodeName::new("n1").unwrap(), &start, "").unwrap();
        let next = format!("\n{CLUSTER}quorum = true\n[listener]\nport = abc\n");
        let followed = last.follow([Found::Text(&next), Found::Nothing]);
        assert_eq!((followed.is_kept, followed.settings.quorum), ([false; 2], true));
        assert!(followed.settings.complaints.iter().any(|each| each.keyword == "port"));
    }
}
