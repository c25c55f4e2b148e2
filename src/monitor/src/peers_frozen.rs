//! What the peers had frozen when the daemon ended last: what they froze since then is followed at the start.

use std::collections::BTreeMap;

use model::{NodeName, ObjectPath, Timestamp};
use serde::{Deserialize, Serialize};

/// When the peers froze what is frozen, by their clocks.
///
/// These times only tell a freeze from another one, for the clocks of two nodes may be hours apart: one that is the same as
/// before is known, and any other one is news.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Freezes {
    #[serde(default)]
    nodes: BTreeMap<NodeName, Timestamp>,
    #[serde(default)]
    instances: BTreeMap<NodeName, BTreeMap<ObjectPath, Timestamp>>,
}

impl Freezes {
    /// Notes what a peer says of itself. One that is not frozen is not noted.
    pub fn note_node(&mut self, peer: &NodeName, frozen: Option<Timestamp>) {
        match set(frozen) {
            Some(time) => _ = self.nodes.insert(peer.clone(), time),
            None => _ = self.nodes.remove(peer),
        }
    }

    /// Notes an instance of a peer.
    pub fn note_instance(&mut self, peer: &NodeName, path: &ObjectPath, frozen: Option<Timestamp>) {
        let instances = self.instances.entry(peer.clone()).or_default();
        match set(frozen) {
            Some(time) => _ = instances.insert(path.clone(), time),
            None => _ = instances.remove(path),
        }
    }

    /// Forgets a peer that is no member any more.
    pub fn retain(&mut self, is_member: impl Fn(&NodeName) -> bool) {
        self.nodes.retain(|peer, _| is_member(peer));
        self.instances.retain(|peer, instances| is_member(peer) && !instances.is_empty());
    }

    /// Forgets what is noted of the instances of a peer, which tells them all anew.
    pub fn forget_instances(&mut self, peer: &NodeName) {
        self.instances.remove(peer);
    }

    /// Whether a peer is frozen, and was not by the same freeze before.
    #[must_use]
    pub fn is_news_of_node(&self, peer: &NodeName, frozen: Option<Timestamp>) -> bool {
        set(frozen).is_some_and(|time| self.nodes.get(peer) != Some(&time))
    }

    /// As [`is_news_of_node`](Self::is_news_of_node), of an instance.
    #[must_use]
    pub fn is_news_of_instance(
        &self,
        peer: &NodeName,
        path: &ObjectPath,
        frozen: Option<Timestamp>,
    ) -> bool {
        let known = self.instances.get(peer).and_then(|instances| instances.get(path));
        set(frozen).is_some_and(|time| known != Some(&time))
    }
}

fn set(frozen: Option<Timestamp>) -> Option<Timestamp> {
    frozen.filter(|time| time.0 != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_freeze_is_known_whatever_its_time() {
        let n2 = NodeName::new("n2").expect("a name");
        let svc1 = ObjectPath::parse("svc1").expect("a path");
        let at = |time| Some(Timestamp(time));
        let mut freezes = Freezes::default();
        freezes.note_node(&n2, at(1795362986.6978464));
        freezes.note_instance(&n2, &svc1, at(5.0));
        let text = serde_json::to_string(&freezes).expect("text");
        let mut freezes: Freezes = serde_json::from_str(&text).expect("the same");
        assert!(!freezes.is_news_of_node(&n2, at(1795362986.6978464)));
        assert!(freezes.is_news_of_node(&n2, at(1795362000.0)), "its clock was set back");
        assert!(!freezes.is_news_of_node(&n2, at(0.0)) && !freezes.is_news_of_node(&n2, None));
        assert!(!freezes.is_news_of_instance(&n2, &svc1, at(5.0)));
        assert!(freezes.is_news_of_instance(&n2, &svc1, at(4.0)));
        freezes.note_node(&n2, None);
        assert!(freezes.is_news_of_node(&n2, at(1795362986.6978464)), "it was thawed meanwhile");
        freezes.forget_instances(&n2);
        assert!(freezes.is_news_of_instance(&n2, &svc1, at(5.0)));
        freezes.note_node(&n2, at(1.0));
        freezes.retain(|_| false);
        assert_eq!(freezes, Freezes::default());
    }
}
