//! Changes that no node of a running cluster survives as a member, though the files before and after are both good.

use model::NodeName;

use crate::complaint::{Complaint, Severity};
use crate::doc::Doc;
use crate::node::settings::{Envelope, NodeSettings};

impl NodeSettings {
    /// What forbids to go on from these settings to `next` by an edit; for who edits, not for who reads: another node
    /// may have done it already.
    #[must_use]
    pub fn step_faults(&self, next: &Self) -> Vec<Complaint> {
        let mut faults = self.lost(next);
        let complaint = |keyword: &str, reason: String| about_cluster(next, keyword, reason);
        let is_lost: Vec<String> = faults.iter().map(|fault| fault.keyword.clone()).collect();
        let cut = self.key_faults(next).into_iter();
        faults.extend(cut.filter(|fault| !is_lost.contains(&fault.keyword)));
        faults.extend(self.reason_of_envelope(next).map(|reason| complaint("envelope", reason)));
        let here = &self.nodename;
        let is_told = faults.iter().any(|fault: &Complaint| fault.keyword == "nodes");
        if !is_told && self.nodes.contains(here) && !next.nodes.contains(here) {
            faults.push(complaint(
                "nodes",
                format!(
                    "without {here}, which is this node: `om daemon leave` takes it out of its cluster"
                ),
            ));
        }
        faults
    }
}

impl NodeSettings {
    /// A dialect that the others do not understand: the file travels from node to node in an envelope, and whoever has it
    /// would not be understood by who has it not.
    pub(super) fn reason_of_envelope(&self, next: &Self) -> Option<String> {
        let is_split = matches!(
            (self.envelope, next.envelope),
            (Envelope::Sealed, Envelope::Classic) | (Envelope::Classic, Envelope::Sealed)
        );
        if !is_split || self.nodes.len().max(next.nodes.len()) < 2 {
            return None;
        }
        let (from, to) = (self.envelope.as_str(), next.envelope.as_str());
        Some(format!(
            "nodes with {from} do not understand nodes with {to}: set it to any, and to {to} once all nodes have that"
        ))
    }

    /// The other members that are none any more, if this node goes on from these settings to `next`.
    #[must_use]
    pub fn ejected<'a>(&'a self, next: &Self) -> Vec<&'a NodeName> {
        let is_ejected = |node: &&NodeName| **node != self.nodename && !next.nodes.contains(node);
        self.nodes.iter().filter(is_ejected).collect()
    }
}

/// An error about a keyword of the section `cluster`, where it stands.
pub(super) fn about_cluster(settings: &NodeSettings, keyword: &str, reason: String) -> Complaint {
    let (file, line) = Doc::Node(&settings.conf).place("cluster", keyword);
    Complaint {
        severity: Severity::Error,
        file,
        line,
        section: "cluster".into(),
        keyword: keyword.into(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(before: &str, after: &str) -> Vec<String> {
        let of = |text: &str| {
            let text = format!("[cluster]\nsecret = abcdefghijklmnop\n{text}");
            NodeSettings::parse(NodeName::new("n1").unwrap(), &text, "").unwrap()
        };
        of(before).step_faults(&of(after)).iter().map(|fault| fault.keyword.clone()).collect()
    }

    #[test]
    fn the_dialect_changes_through_any_where_there_are_others_to_understand() {
        for (before, after, is_refused) in [
            ("sealed", "classic", true),
            ("classic", "sealed", true),
            ("sealed", "any", false),
            ("any", "classic", false),
            ("any", "sealed", false),
        ] {
            let text = |envelope, nodes| format!("envelope = {envelope}\nnodes = {nodes}\n");
            let several = faults(&text(before, "n1 n2"), &text(after, "n1 n2"));
            assert_eq!(several.contains(&"envelope".to_owned()), is_refused, "{before} {after}");
            assert_eq!(faults(&text(before, "n1"), &text(after, "n1")), Vec::<String>::new());
        }
    }

    #[test]
    fn what_makes_the_node_a_member_is_not_unset() {
        assert_eq!(faults("nodes = n1 n2\nid = i\n", "nodes = n1 n2\n"), ["id"]);
        assert_eq!(faults("nodes = n1 n2\n", ""), ["nodes"]);
    }

    #[test]
    fn a_node_does_not_take_itself_out_by_an_edit() {
        assert_eq!(faults("nodes = n1 n2\n", "nodes = n2\n"), ["nodes"]);
        assert_eq!(faults("nodes = n1 n2\n", "nodes = n1\n"), Vec::<String>::new());
        assert_eq!(faults("nodes = n2\n", "nodes = n3\n"), Vec::<String>::new());
    }
}
