//! Selectors of nodes.

use model::NodeName;

use super::glob;
use crate::Labels;

/// Expands a node selector: `n1 n2`, `n[12]`, `zone=a+arch=x86`, `!label:`, `*`.
#[derive(Debug, Clone, Copy)]
pub struct NodeSelector<'a> {
    /// Nodes of the cluster, in their order.
    pub nodes: &'a [NodeName],
    /// Their labels.
    pub labels: &'a Labels,
    /// Sort what `*` selects, as selections from live data do.
    pub is_live: bool,
}

impl NodeSelector<'_> {
    /// Names of the selected nodes, in order, without duplicates. Several plain words are taken as they are,
    /// existing or not.
    #[must_use]
    pub fn expand(&self, selector: &str) -> Vec<String> {
        let selector = selector.trim();
        if selector == "*" {
            let mut all = self.nodes.to_vec();
            if self.is_live {
                all.sort();
            }
            return texts(&all);
        }
        let words: Vec<&str> = selector.split_whitespace().collect();
        let has_sign = |word: &str| word.contains(['*', '?', '=', ',', '+', ':', '!', '[']);
        if words.len() > 1 && !selector.contains(['*', '?', '=', ',', '+']) {
            // Names of nodes have no case.
            return unique(words.into_iter().map(str::to_ascii_lowercase));
        }
        if let [word] = words[..]
            && !has_sign(word)
        {
            let node = self.nodes.iter().find(|node| node.as_str().eq_ignore_ascii_case(word));
            return node.map(|node| vec![node.to_string()]).unwrap_or_default();
        }
        unique(words.into_iter().flat_map(|word| texts(&self.word(word))))
    }

    /// Why a selector cannot mean what it says: the part that is neither a name, a pattern nor a label.
    #[must_use]
    pub fn fault(&self, selector: &str) -> Option<String> {
        let words: Vec<&str> = selector.split_whitespace().collect();
        let fits = |atom: &str| {
            let atom = atom.trim_start_matches('!');
            match (atom.split_once('='), atom.strip_suffix(':')) {
                (Some((label, _)), _) | (None, Some(label)) => !label.is_empty(),
                (None, None) => {
                    !atom.is_empty()
                        && atom.chars().all(|c| {
                            c.is_ascii_alphanumeric()
                                || matches!(c, '-' | '_' | '.' | '*' | '?' | '[' | ']' | '!')
                        })
                }
            }
        };
        let mut atoms = words.iter().flat_map(|word| word.split(['+', ',']));
        atoms.find(|atom| !fits(atom)).map(|atom| {
            let short: String = atom.chars().take(80).collect();
            format!("{short:?} is no node name, pattern or label")
        })
    }

    /// One word: intersections of unions. Sorted.
    fn word(&self, word: &str) -> Vec<NodeName> {
        let mut selected = self.nodes.to_vec();
        selected.sort();
        selected.dedup();
        for part in word.split('+') {
            let atoms: Vec<&str> = part.split(',').collect();
            selected.retain(|node| atoms.iter().any(|atom| self.matches(atom, node)));
        }
        selected
    }

    fn matches(&self, atom: &str, node: &NodeName) -> bool {
        let positive = atom.trim_start_matches('!');
        let label = |name: &str| self.labels.get(node).and_then(|labels| labels.get(name));
        let is_match = match positive {
            "" => return false,
            "*" => true,
            _ => match (positive.split_once('='), positive.strip_suffix(':')) {
                (Some((name, value)), _) => label(name).is_some_and(|label| label == value),
                (None, Some(name)) => label(name).is_some(),
                (None, None) => glob(&positive.to_ascii_lowercase(), node.as_str()),
            },
        };
        is_match != atom.starts_with('!')
    }
}

fn texts(nodes: &[NodeName]) -> Vec<String> {
    nodes.iter().map(|node| node.as_str().to_owned()).collect()
}

fn unique(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    words.filter(|word| seen.insert(word.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    #[test]
    fn names_of_nodes_have_no_case_and_labels_do() {
        let nodes = ["n1", "n2"].map(|name| NodeName::new(name).unwrap());
        let labels: Labels =
            [(nodes[0].clone(), [("Az".to_owned(), "Fr1".to_owned())].into())].into();
        let selector = NodeSelector { nodes: &nodes, labels: &labels, is_live: true };
        for (text, selected) in [
            ("N1", &["n1"][..]),
            ("N1 n2", &["n1", "n2"]),
            ("N[12]", &["n1", "n2"]),
            ("N1,Nx", &["n1"]),
            ("!N1,!N*", &["n2"]),
            ("Az=Fr1", &["n1"]),
            ("az=fr1", &[]),
        ] {
            assert_eq!(selector.expand(text), selected, "{text}");
        }
    }

    #[test]
    fn what_can_be_no_node_is_named() {
        let (nodes, labels) = (vec![NodeName::new("n1").unwrap()], Labels::new());
        let selector = NodeSelector { nodes: &nodes, labels: &labels, is_live: true };
        for good in ["*", "n1 n2", "n[12]*", "!n1", "az=fr1,az=fr2+env:", "n?.dom", ""] {
            assert_eq!(selector.fault(good), None, "{good}");
        }
        for (bad, part) in [("*{", "*{"), ("n1 {env.x}", "{env.x}"), ("n1,,n2", ""), ("=a", "=a")] {
            let expected = format!("{part:?} is no node name, pattern or label");
            assert_eq!(selector.fault(bad), Some(expected), "{bad}");
        }
    }
}
