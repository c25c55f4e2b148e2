//! Selectors of nodes.

use model::NodeName;

use crate::labels::Labels;
use crate::select::work::{MAX_WORK, SelectorError, Work, check_size, glob_counted};

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
    /// existing or not. None for what [`Self::try_expand`] refuses.
    #[must_use]
    pub fn expand(&self, selector: &str) -> Vec<String> {
        self.try_expand(selector).unwrap_or_default()
    }

    /// The same.
    ///
    /// # Errors
    ///
    /// [`SelectorError`] for what is too long, or takes too much work.
    pub fn try_expand(&self, selector: &str) -> Result<Vec<String>, SelectorError> {
        let selector = selector.trim();
        check_size(selector)?;
        let work = Work::new(MAX_WORK);
        if selector == "*" {
            let mut all = self.nodes.to_vec();
            if self.is_live {
                all.sort();
            }
            return Ok(texts(&all));
        }
        let words: Vec<&str> = selector.split_whitespace().collect();
        let has_sign = |word: &str| word.contains(['*', '?', '=', ',', '+', ':', '!', '[']);
        if words.len() > 1 && !selector.contains(['*', '?', '=', ',', '+']) {
            // Names of nodes have no case.
            return Ok(unique(words.into_iter().map(str::to_ascii_lowercase)));
        }
        if let [word] = words[..]
            && !has_sign(word)
        {
            let node = self.nodes.iter().find(|node| node.as_str().eq_ignore_ascii_case(word));
            return Ok(node.map(|node| vec![node.to_string()]).unwrap_or_default());
        }
        let mut selected = vec![];
        for word in words {
            selected.extend(texts(&self.word(word, &work)?));
            work.spend(selected.len() as u64 * 100)?;
        }
        Ok(unique(selected.into_iter()))
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
    fn word(&self, word: &str, work: &Work) -> Result<Vec<NodeName>, SelectorError> {
        let mut selected = self.nodes.to_vec();
        selected.sort();
        selected.dedup();
        for part in word.split('+') {
            let atoms: Vec<&str> = part.split(',').collect();
            let mut kept = vec![];
            for node in selected {
                work.spend(atoms.len() as u64 * 100)?;
                let mut is_match = false;
                for atom in &atoms {
                    is_match = self.matches(atom, &node, work)?;
                    if is_match {
                        break;
                    }
                }
                if is_match {
                    kept.push(node);
                }
            }
            selected = kept;
        }
        Ok(selected)
    }

    fn matches(&self, atom: &str, node: &NodeName, work: &Work) -> Result<bool, SelectorError> {
        let positive = atom.trim_start_matches('!');
        let label = |name: &str| self.labels.get(node).and_then(|labels| labels.get(name));
        let is_match = match positive {
            "" => return Ok(false),
            "*" => true,
            _ => match (positive.split_once('='), positive.strip_suffix(':')) {
                (Some((name, value)), _) => label(name).is_some_and(|label| label == value),
                (None, Some(name)) => label(name).is_some(),
                (None, None) => {
                    work.spend(positive.len() as u64 * 2)?;
                    let pattern: Vec<char> = positive.to_ascii_lowercase().chars().collect();
                    let name: Vec<char> = node.as_str().chars().collect();
                    let mut steps = 0;
                    let is_match = glob_counted(&pattern, &name, &mut steps);
                    work.spend(steps * 4)?;
                    is_match
                }
            },
        };
        Ok(is_match != atom.starts_with('!'))
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
    use crate::labels::Labels;

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
    fn what_takes_too_much_work_is_refused_and_what_people_type_is_not() {
        let nodes: Vec<NodeName> =
            (0..200).map(|n| NodeName::new(&format!("{}{n}", "a".repeat(50))).unwrap()).collect();
        let labels = Labels::new();
        let selector = NodeSelector { nodes: &nodes, labels: &labels, is_live: true };
        for usual in ["*", "a*1", "n1 n2 n3", "az=fr1,az=fr2+env:", "!a*[13],b?"] {
            assert!(selector.try_expand(usual).is_ok(), "{usual}");
        }
        for worst in [
            vec!["x"; 1_001].join(","),
            vec!["x,y"; 30_000].join(" "),
            format!("*{}", "[".repeat(60_000)),
            "n".repeat(65 << 10),
        ] {
            let refused = selector.try_expand(&worst).unwrap_err();
            assert!(refused.0.contains("more"), "{worst:.40}: {refused}");
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
