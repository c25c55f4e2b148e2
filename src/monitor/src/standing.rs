//! Whether the members of the cluster have the local node as one of theirs.
//!
//! Who is taken out of `cluster.nodes` by the others cannot know it from its own file: it only sees silence, as after the
//! loss of all peers, and would start what runs there. So it asks before it believes in a loss: a member answers, a
//! stranger is told that it is none (status 401), and a dead node says nothing.

use std::collections::BTreeMap;

use model::NodeName;

/// What a member makes of a request of the local node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is answered, whatever the answer is.
    Accepted,
    /// It says that the local node is no node of the cluster. It could open the request: it holds the same secret.
    Refused,
    /// Nothing, or nothing that can be read: it may be dead.
    Silent,
}

/// How the local node stands with the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Nobody refuses it.
    #[default]
    Member,
    /// Some refuse it, others do not: one of them has a configuration that is not everywhere yet. Nothing is decided
    /// until they agree.
    Doubted,
    /// Who answers refuses it: it is no member any more. It is frozen, and decides nothing.
    LeftOut,
}

/// What the members last said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opinions(BTreeMap<NodeName, Answer>);

impl Opinions {
    /// Takes an answer. Who is silent cannot vouch for the local node any more; that it refused it stays known.
    pub fn on_answer(&mut self, member: &NodeName, answer: Answer) {
        let is_known = self.0.get(member) == Some(&Answer::Refused) && answer == Answer::Silent;
        if !is_known {
            self.0.insert(member.clone(), answer);
        }
    }

    /// A member is asked again that was silent: what it says now is waited for.
    pub fn on_ask(&mut self, member: &NodeName) {
        if self.0.get(member) == Some(&Answer::Silent) {
            self.0.remove(member);
        }
    }

    /// Another configuration is in force: what was said was about the old one.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Who refuses the local node.
    pub fn refusing(&self) -> impl Iterator<Item = &NodeName> {
        self.said(Answer::Refused)
    }

    fn said(&self, answer: Answer) -> impl Iterator<Item = &NodeName> {
        self.0.iter().filter(move |(_, said)| **said == answer).map(|(member, _)| member)
    }

    /// Whether it was asked, and answered or not in time.
    #[must_use]
    pub fn has_said(&self, member: &NodeName) -> bool {
        self.0.contains_key(member)
    }

    /// What follows for a node with these peers. It is left out when all of them were asked, or the word of one with an
    /// old configuration would freeze it before another one is heard.
    #[must_use]
    pub fn standing(&self, peers: &[NodeName]) -> Standing {
        // Of whom it has left nothing is believed, whatever was said before that.
        let said = |wanted| self.said(wanted).find(|member| peers.contains(member));
        let is_accepted = said(Answer::Accepted).is_some();
        match said(Answer::Refused) {
            None => Standing::Member,
            Some(_) if is_accepted => Standing::Doubted,
            Some(_) if peers.iter().all(|peer| self.has_said(peer)) => Standing::LeftOut,
            Some(_) => Standing::Doubted,
        }
    }
}

/// What a configuration says about who belongs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roster<'a> {
    /// Keyword `cluster.id`.
    pub id: &'a str,
    /// Keyword `cluster.secret`.
    pub secret: Option<&'a str>,
    /// Keyword `cluster.nodes`.
    pub nodes: &'a [NodeName],
}

/// Those whom the others took out of the cluster, when `new` follows `old` on the node `local`: they are to be told. None
/// when it is the local node that goes: it then has another cluster, or is in none of the lists.
#[must_use]
pub fn taken_out(local: &NodeName, old: &Roster<'_>, new: &Roster<'_>) -> Vec<NodeName> {
    let is_same_cluster = old.id == new.id && old.secret == new.secret;
    if !is_same_cluster || !new.nodes.contains(local) {
        return vec![];
    }
    old.nodes.iter().filter(|node| *node != local && !new.nodes.contains(node)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &str) -> Vec<NodeName> {
        names.split_whitespace().map(|name| NodeName::new(name).unwrap()).collect()
    }

    fn standing(answers: &[(&str, Answer)]) -> Standing {
        let mut opinions = Opinions::default();
        for (name, answer) in answers {
            opinions.on_answer(&nodes(name)[0], *answer);
        }
        opinions.standing(&nodes("n1 n2"))
    }

    #[test]
    fn whom_nobody_refuses_is_a_member_and_silence_says_nothing() {
        use Answer::{Accepted, Silent};
        assert_eq!(standing(&[]), Standing::Member);
        assert_eq!(standing(&[("n1", Silent), ("n2", Silent)]), Standing::Member);
        assert_eq!(standing(&[("n1", Accepted), ("n2", Silent)]), Standing::Member);
    }

    #[test]
    fn whom_some_refuse_is_doubted_and_whom_all_refuse_that_answer_is_left_out() {
        use Answer::{Accepted, Refused, Silent};
        assert_eq!(standing(&[("n1", Refused), ("n2", Accepted)]), Standing::Doubted);
        assert_eq!(standing(&[("n1", Refused), ("n2", Silent)]), Standing::LeftOut);
        let turned = [("n1", Refused), ("n2", Accepted), ("n2", Refused)];
        assert_eq!(standing(&turned), Standing::LeftOut);
        // Who vouched and died vouches no more; who refused and died has refused.
        let died = [("n1", Refused), ("n2", Accepted), ("n2", Silent), ("n1", Silent)];
        assert_eq!(standing(&died), Standing::LeftOut);
    }

    #[test]
    fn nobody_is_left_out_before_all_were_asked() {
        use Answer::{Accepted, Refused, Silent};
        assert_eq!(standing(&[("n1", Refused)]), Standing::Doubted, "n2 may have the newer file");
        let mut opinions = Opinions::default();
        opinions.on_answer(&nodes("n2")[0], Silent);
        opinions.on_ask(&nodes("n2")[0]);
        opinions.on_answer(&nodes("n1")[0], Refused);
        assert_eq!(opinions.standing(&nodes("n1 n2")), Standing::Doubted, "it is asked again");
        opinions.on_answer(&nodes("n2")[0], Accepted);
        opinions.on_ask(&nodes("n2")[0]);
        assert_eq!(opinions.standing(&nodes("n1 n2")), Standing::Doubted);
    }

    #[test]
    fn what_nodes_say_that_are_no_members_any_more_is_nothing() {
        let mut opinions = Opinions::default();
        opinions.on_answer(&nodes("n1")[0], Answer::Refused);
        assert_eq!(opinions.standing(&[]), Standing::Member, "it is a cluster of its own");
        assert_eq!(opinions.standing(&nodes("n2")), Standing::Member);
        assert_eq!(opinions.standing(&nodes("n1")), Standing::LeftOut);
    }

    #[test]
    fn who_is_taken_back_is_a_member_and_another_configuration_is_another_question() {
        use Answer::{Accepted, Refused};
        let back = [("n1", Refused), ("n2", Refused), ("n1", Accepted), ("n2", Accepted)];
        assert_eq!(standing(&back), Standing::Member);
        let mut opinions = Opinions::default();
        opinions.on_answer(&nodes("n1")[0], Refused);
        assert_eq!(opinions.refusing().collect::<Vec<_>>(), [&nodes("n1")[0]]);
        opinions.clear();
        assert_eq!(opinions.standing(&nodes("n1")), Standing::Member);
    }

    #[test]
    fn who_is_taken_out_by_the_others_is_told_and_a_node_that_goes_itself_tells_nobody() {
        let (three, two, one) = (nodes("n1 n2 n3"), nodes("n1 n2"), nodes("n3"));
        let old = Roster { id: "1", secret: Some("s"), nodes: &three };
        let n1 = &nodes("n1")[0];
        assert_eq!(taken_out(n1, &old, &Roster { nodes: &two, ..old }), one);
        assert_eq!(taken_out(n1, &Roster { nodes: &two, ..old }, &old), []);
        // It leaves: another id and secret, and it is alone.
        let alone = nodes("n1");
        let left = Roster { id: "2", secret: Some("t"), nodes: &alone };
        assert_eq!(taken_out(n1, &old, &left), []);
        assert_eq!(taken_out(n1, &old, &Roster { secret: Some("s"), ..left }), []);
        // It is itself taken out.
        assert_eq!(taken_out(&nodes("n3")[0], &old, &Roster { nodes: &two, ..old }), []);
    }
}
