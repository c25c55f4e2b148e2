//! Changes of the secret and of the name, which a node shares with the others or does not hear them.
//!
//! A secret follows another one by a rotation only: whoever has the one before opens what the one after is handed out in.
//! Any other change takes the node out of its cluster at once, without a mistake in any file.

use model::NodeName;

use super::step::about_cluster;
use crate::node::follow::NODE_FILES;
use crate::node::settings::NodeSettings;
use crate::{Complaint, Context};

/// Keywords that a rotation writes, and nobody else where there are others.
const ROTATED: [&str; 4] = ["secret", "secret_generation", "secret_next", "secret_previous"];

impl NodeSettings {
    /// What would cut this node off from the others of its cluster, if it went on from these settings to `next`.
    #[must_use]
    pub fn cut_off(&self, next: &Self) -> Vec<Complaint> {
        if !self.has_peers() {
            return vec![];
        }
        let mut faults = vec![];
        if self.secret.is_some() && next.secret.is_some() && !self.is_handed_on(next) {
            let keyword = match self.secret == next.secret {
                true => "secret_generation",
                false => "secret",
            };
            faults.push(self.about(next, keyword, self.reason_of_secret()));
        }
        if self.cluster_name != next.cluster_name {
            faults.push(self.about(next, "name", self.reason_of_name()));
        }
        if let Some(reason) = self.reason_of_envelope(next) {
            faults.push(self.about(next, "envelope", reason));
        }
        faults
    }

    /// What would cut this node or another one off, by an edit here. A rotation is carried out by the daemons: an edit of
    /// what it writes would undo it half way.
    pub(super) fn key_faults(&self, next: &Self) -> Vec<Complaint> {
        if !self.has_peers() {
            return vec![];
        }
        let mut faults = vec![];
        for keyword in ROTATED {
            let is_changed = self
                .nodes
                .iter()
                .any(|node| self.as_seen_by(node, keyword) != next.as_seen_by(node, keyword));
            if is_changed {
                faults.push(about_cluster(next, keyword, self.reason_of_secret()));
            }
        }
        let name = |settings: &Self, node: &NodeName| {
            settings.as_seen_by(node, "name").map(|name| name.to_lowercase())
        };
        if self.nodes.iter().any(|node| name(self, node) != name(next, node)) {
            faults.push(about_cluster(next, "name", self.reason_of_name()));
        }
        let is_rotating = self.secret_next.is_some() || self.secret_previous.is_some();
        if is_rotating && self.envelope != next.envelope {
            let reason = "the secret is being rotated: once that is over (`om cluster rotate secret --wait`)";
            faults.push(about_cluster(next, "envelope", reason.into()));
        }
        faults
    }

    /// Whether the secret of `next` is ours, or follows ours by a rotation: who has ours gets it from who has that.
    #[must_use]
    pub fn is_handed_on(&self, next: &Self) -> bool {
        let generations = (self.secret_generation, next.secret_generation);
        if self.secret == next.secret {
            return generations.0 == generations.1;
        }
        let is_next = generations.0.checked_add(1) == Some(generations.1)
            && (next.secret_previous == self.secret
                || (self.secret_next.is_some() && next.secret == self.secret_next));
        // Two parts of the cluster rotated apart from each other: what both had before leads from one to the other.
        let is_beside = generations.0 == generations.1
            && self.secret_previous.is_some()
            && next.secret_previous == self.secret_previous;
        is_next || is_beside
    }

    /// An error in the file that changed.
    fn about(&self, next: &Self, keyword: &str, reason: String) -> Complaint {
        let fault = about_cluster(next, keyword, reason);
        let written =
            |settings: &Self| settings.conf.node.get("cluster", keyword).map(str::to_owned);
        match written(self) == written(next) {
            true => fault,
            false => Complaint {
                file: NODE_FILES[1].into(),
                line: next.conf.node.line_of("cluster", keyword),
                ..fault
            },
        }
    }

    /// Whether this node goes on from these settings to `next`, whichever file is newer: its secret follows ours. Of two
    /// secrets that both follow the one before, the newer file has the one that stays.
    #[must_use]
    pub fn is_handed(&self, next: &Self, is_newer: bool) -> bool {
        let is_later = next.secret_generation > self.secret_generation;
        let is_other = self.secret != next.secret;
        is_other && self.is_handed_on(next) && (is_later || is_newer)
    }

    fn has_peers(&self) -> bool {
        self.nodes.iter().any(|node| *node != self.nodename)
    }

    fn peers(&self) -> String {
        let peers = self.nodes.iter().filter(|node| **node != self.nodename);
        peers.map(NodeName::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The value of a keyword of the section `cluster` on a node; none where it is unset or cannot be evaluated.
    fn as_seen_by(&self, node: &NodeName, keyword: &str) -> Option<String> {
        let context = Context::new(self.conf.clone()).impersonating(node);
        let found = self.conf.eval(&context, "cluster", keyword).ok()?;
        Some(found.value.to_string()).filter(|text| !text.is_empty())
    }

    fn reason_of_secret(&self) -> String {
        format!(
            "{} would not understand this node any more: `om cluster rotate secret` changes the secret of all nodes",
            self.peers()
        )
    }

    fn reason_of_name(&self) -> String {
        format!(
            "{} would not understand this node any more. `om daemon leave` makes it a cluster of its own, `om daemon join` a \
             member of another one; the name of this one is changed in the file of each node while no daemon runs, and its \
             copy of before, last_good/cluster.conf in the folder of its state, is removed there",
            self.peers()
        )
    }
}

#[cfg(test)]
mod tests {
    use model::NodeName;

    use super::*;
    use crate::node::follow::Found;

    const S1: &str = "secret-of-the-first-gen";
    const S2: &str = "secret-of-the-second-gen";
    const S3: &str = "secret-of-somebody-else";

    fn settings(nodes: &str, text: &str) -> NodeSettings {
        let text = format!("[cluster]\nid = i\nnodes = {nodes}\n{text}");
        NodeSettings::parse(NodeName::new("n1").unwrap(), &text, "").unwrap()
    }

    fn keywords(faults: &[Complaint]) -> Vec<&str> {
        faults.iter().map(|fault| fault.keyword.as_str()).collect()
    }

    fn cut(before: &str, after: &str) -> Vec<String> {
        let faults = settings("n1 n2", before).cut_off(&settings("n1 n2", after));
        keywords(&faults).into_iter().map(str::to_owned).collect()
    }

    fn steady(secret: &str, generation: u32) -> String {
        format!("secret = {secret}\nsecret_generation = {generation}\n")
    }

    #[test]
    fn a_generation_is_read_and_its_secrets_are_not_shown() {
        let read = settings("n1 n2", &format!("secret = {S1}\n"));
        assert_eq!((read.secret_generation, &read.secret_next), (1, &None));
        let text = format!("{}secret_next = {S2}\nsecret_previous = short\n", steady(S1, 7));
        let read = settings("n1 n2", &text);
        assert_eq!(read.secret_generation, 7);
        assert_eq!(read.secret_next.as_ref().unwrap().expose(), S2);
        assert_eq!(keywords(&read.complaints), ["secret_previous"]);
        let shown = format!("{:?}{}", read.secret_next, read.complaints[0]);
        assert!(!shown.contains(S2) && !shown.contains("short"), "{shown}");
    }

    #[test]
    fn a_rotation_leads_from_one_secret_to_the_next() {
        let offered = format!("{}secret_next = {S2}\n", steady(S1, 1));
        let used = format!("{}secret_previous = {S1}\n", steady(S2, 2));
        let none: [&str; 0] = [];
        assert_eq!(cut(&steady(S1, 1), &offered), none);
        assert_eq!(cut(&offered, &used), none);
        // It was away while the next one was handed out.
        assert_eq!(cut(&steady(S1, 1), &used), none);
        assert_eq!(cut(&used, &steady(S2, 2)), none);
        assert_eq!(cut(&offered, &steady(S2, 2)), none);
        // Another part of the cluster rotated too.
        let other = format!("{}secret_previous = {S1}\n", steady(S3, 2));
        assert_eq!(cut(&used, &other), none);
    }

    #[test]
    fn any_other_secret_or_generation_cuts_the_node_off() {
        let used = format!("{}secret_previous = {S1}\n", steady(S2, 2));
        assert_eq!(cut(&steady(S1, 1), &steady(S2, 1)), ["secret"]);
        assert_eq!(cut(&steady(S1, 1), &steady(S2, 2)), ["secret"]);
        assert_eq!(cut(&steady(S1, 1), &steady(S1, 2)), ["secret_generation"]);
        assert_eq!(cut(&used, &steady(S1, 1)), ["secret"], "back to the one before");
        assert_eq!(cut(&used, &steady(S3, 2)), ["secret"]);
        assert_eq!(
            cut(&steady(S2, 2), &format!("{}secret_previous = {S1}\n", steady(S3, 2))),
            ["secret"]
        );
        let skipped = format!("{}secret_previous = {S2}\n", steady(S3, 3));
        assert_eq!(cut(&steady(S1, 1), &skipped), ["secret"]);
        assert_eq!(cut(&steady(S1, 1), &format!("{}name = x\n", steady(S1, 1))), ["name"]);
        // As it is compared: lower case.
        let named = |name: &str| format!("{}name = {name}\n", steady(S1, 1));
        let speaking = |envelope: &str| format!("{}envelope = {envelope}\n", steady(S1, 1));
        assert_eq!(cut(&speaking("sealed"), &speaking("classic")), ["envelope"]);
        assert_eq!(cut(&speaking("classic"), &speaking("sealed")), ["envelope"]);
        assert_eq!(cut(&speaking("sealed"), &speaking("any")), [] as [&str; 0]);
        assert_eq!(cut(&named("Demo"), &named("demo")), [] as [&str; 0]);
    }

    #[test]
    fn a_cluster_of_one_node_has_nobody_to_be_cut_off_from() {
        let before = settings("n1", &steady(S1, 1));
        let after = settings("n1", &format!("{}name = x\n", steady(S2, 5)));
        assert_eq!(before.cut_off(&after), []);
        assert_eq!(before.step_faults(&after), []);
    }

    #[test]
    fn an_edit_changes_nothing_that_a_rotation_writes_on_any_node() {
        let faults = |before: &str, after: &str| {
            let faults = settings("n1 n2", before).step_faults(&settings("n1 n2", after));
            keywords(&faults).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let plain = steady(S1, 1);
        assert_eq!(faults(&plain, &steady(S2, 1)), ["secret"]);
        assert_eq!(faults(&plain, &format!("{plain}secret@n2 = {S2}\n")), ["secret"]);
        assert_eq!(faults(&plain, &format!("{plain}secret@n9 = {S2}\n")), [] as [&str; 0]);
        assert_eq!(faults(&plain, &format!("{plain}name@n2 = other\n")), ["name"]);
        let offered = format!("{plain}secret_next = {S2}\n");
        assert_eq!(faults(&plain, &offered), ["secret_next"]);
        assert_eq!(faults(&offered, &plain), ["secret_next"]);
        assert_eq!(faults(&offered, &format!("{offered}envelope = any\n")), ["envelope"]);
        let used = format!("{}secret_previous = {S1}\n", steady(S2, 2));
        assert_eq!(faults(&used, &steady(S2, 2)), ["secret_previous"]);
        assert_eq!(faults(&plain, "envelope = sealed\n"), ["secret"], "lost is told once");
    }

    #[test]
    fn an_edited_file_that_cuts_the_node_off_is_not_followed_and_names_the_command() {
        let before = settings("n1 n2", &steady(S1, 1));
        let cluster = |text: &str| format!("[cluster]\nid = i\nnodes = n1 n2\n{text}");
        let edited = cluster(&steady(S2, 1));
        let followed = before.follow([Found::Text(&edited), Found::Nothing]);
        assert_eq!(followed.is_kept, [true, false]);
        assert_eq!(followed.settings.secret, before.secret);
        let told: Vec<String> = followed.refused.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "cluster.conf line 4: cluster.secret: n2 would not understand this node any more: `om cluster rotate \
              secret` changes the secret of all nodes"
            ]
        );
        // The other file overrides it.
        let same = cluster(&steady(S1, 1));
        for node in [format!("[cluster]\nsecret = {S2}\n"), "[cluster]\nname = x\n".to_owned()] {
            let followed = before.follow([Found::Text(&same), Found::Text(&node)]);
            assert_eq!(followed.is_kept, [false, true], "{node}");
            assert_eq!(followed.refused[0].file, NODE_FILES[1]);
        }
        let name = NodeName::new("n1").unwrap();
        let overridden = NodeSettings::parse(name, &same, &format!("[cluster]\nsecret = {S2}\n"));
        let followed = overridden.unwrap().follow([Found::Text(&same), Found::Nothing]);
        assert_eq!(followed.is_kept, [false, true], "the override is gone");
        let rotated = cluster(&format!("{}secret_next = {S2}\n", steady(S1, 1)));
        let followed = before.follow([Found::Text(&rotated), Found::Nothing]);
        assert_eq!((followed.is_kept, followed.refused), ([false; 2], vec![]));
        // Who joins another cluster changes both.
        let joined = format!("[cluster]\nid = j\nname = other\nnodes = n1 n9\n{}", steady(S3, 4));
        assert_eq!(before.follow([Found::Text(&joined), Found::Nothing]).is_kept, [true, false]);
        let followed = before.follow_elsewhere([Found::Text(&joined), Found::Nothing]);
        assert_eq!((followed.is_kept, followed.settings.secret_generation), ([false; 2], 4));
    }
}
