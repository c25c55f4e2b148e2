//! What becomes of the services of nodes that are emptied, told as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Fate, NodeName, ObjectPath, Outlook, WhatIf};

/// Where each object is up.
pub type Places = BTreeMap<ObjectPath, Vec<NodeName>>;

/// An object that leaves a node.
#[derive(Debug, Clone, PartialEq)]
struct Leaving {
    outlook: Outlook,
    /// The nodes that it leaves.
    left: Vec<NodeName>,
    /// When it was up there no more.
    gone: Option<Duration>,
}

/// The objects that leave, and what became of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Moves {
    pending: Vec<Leaving>,
    moved: usize,
    stopped: usize,
}

impl Moves {
    /// What is foretold of a drain.
    #[must_use]
    pub fn foretold(foretold: &WhatIf) -> Self {
        let is_left = |node: &&NodeName| foretold.drained.contains(node);
        let leaving = |outlook: &Outlook| {
            let left: Vec<NodeName> = outlook.from.iter().filter(is_left).cloned().collect();
            (!left.is_empty()).then(|| Leaving { outlook: outlook.clone(), left, gone: None })
        };
        let pending = foretold.objects.iter().filter_map(leaving).collect();
        Self { pending, moved: 0, stopped: 0 }
    }

    /// The objects of which the end is not known yet.
    pub fn pending(&self) -> impl Iterator<Item = &ObjectPath> {
        self.pending.iter().map(|leaving| &leaving.outlook.path)
    }

    /// Whether the end of each is known.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.pending.is_empty()
    }

    /// Looks where the objects are at `now`: a line for each whose end is known since the last look.
    pub fn look(&mut self, now: Duration, places: &Places) -> Vec<String> {
        let mut lines = vec![];
        for mut leaving in std::mem::take(&mut self.pending) {
            let path = &leaving.outlook.path;
            let up = places.get(path).map_or(&[][..], Vec::as_slice);
            if leaving.left.iter().any(|node| up.contains(node)) {
                self.pending.push(leaving);
                continue;
            }
            let gone = *leaving.gone.get_or_insert(now);
            let new = up.iter().filter(|node| !leaving.outlook.from.contains(node));
            let new: Vec<&str> = new.map(NodeName::as_str).collect();
            let left: Vec<&str> = leaving.left.iter().map(NodeName::as_str).collect();
            let from = left.join(", ");
            if !new.is_empty() {
                let took = now.saturating_sub(gone).as_secs_f64();
                lines.push(format!("{path}: {from} -> {} ({took:.1} s)", new.join(", ")));
                self.moved += 1;
            } else if leaving.outlook.fate == Fate::Moves {
                self.pending.push(leaving);
            } else {
                let goes_on = leaving.outlook.fate == Fate::Shrinks;
                let end = if goes_on { "goes on elsewhere" } else { &leaving.outlook.outcome };
                lines.push(format!("{path}: {from} -> stopped: {end}"));
                self.stopped += 1;
            }
        }
        lines
    }

    /// How many moved and were stopped: `2 moved, 1 stopped`.
    #[must_use]
    pub fn counts(&self) -> String {
        format!("{} moved, {} stopped", self.moved, self.stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn path(text: &str) -> ObjectPath {
        ObjectPath::parse(text).unwrap()
    }

    fn outlook(name: &str, fate: Fate, to: &[&str]) -> Outlook {
        Outlook {
            path: path(name),
            fate,
            from: vec![node("n1")],
            to: to.iter().map(|name| node(name)).collect(),
            after: 5.0,
            avail: None,
            outcome: "it has no other node".to_owned(),
            refusals: vec![],
            is_settled: true,
            steps: vec![],
        }
    }

    #[test]
    fn a_move_is_told_with_the_time_between() {
        let foretold = WhatIf {
            node: node("n2"),
            drained: vec![node("n1")],
            down: vec![],
            missed_after: 15.0,
            quorum: None,
            taken_out: vec![],
            objects: vec![outlook("web", Fate::Moves, &["n2"]), outlook("alone", Fate::Down, &[])],
        };
        let mut moves = Moves::foretold(&foretold);
        let on = |all: &[(&str, &str)]| {
            all.iter().map(|(name, on)| (path(name), vec![node(on)])).collect::<Places>()
        };
        let secs = Duration::from_secs;
        let none: [&str; 0] = [];
        assert_eq!(moves.look(secs(0), &on(&[("web", "n1"), ("alone", "n1")])), none);
        assert_eq!(
            moves.look(secs(2), &on(&[("web", "n1")])),
            ["alone: n1 -> stopped: it has no other node"]
        );
        assert_eq!(moves.look(secs(3), &on(&[])), none);
        assert!(!moves.is_over());
        // Where it really went, whatever was foretold.
        assert_eq!(moves.look(secs(7), &on(&[("web", "n3")])), ["web: n1 -> n3 (4.0 s)"]);
        assert!(moves.is_over());
        assert_eq!(moves.counts(), "1 moved, 1 stopped");
    }
}
