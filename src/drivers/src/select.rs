//! Which resources an action is about: `--rid`, `--tags`, `--subsets`.

use model::ActionOptions;

use crate::driver::Resource;

/// The filter of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    rids: Vec<String>,
    /// Any of these sets of tags, all of a set.
    tags: Vec<Vec<String>>,
    subsets: Vec<String>,
}

fn list(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(',').map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Selection {
    /// Reads the options.
    pub(crate) fn read(options: &ActionOptions) -> Self {
        Self {
            rids: list(options.rid.as_deref()),
            tags: list(options.tags.as_deref())
                .iter()
                .map(|words| words.split('+').map(|tag| tag.trim().to_owned()).collect())
                .collect(),
            subsets: list(options.subsets.as_deref()),
        }
    }

    /// Whether nothing is filtered.
    pub(crate) fn is_all(&self) -> bool {
        self.rids.is_empty() && self.tags.is_empty() && self.subsets.is_empty()
    }

    /// Whether resources are chosen by what they have, and not by their names alone.
    pub(crate) fn is_by_trait(&self) -> bool {
        !self.tags.is_empty() || !self.subsets.is_empty()
    }

    /// Whether a resource is meant.
    pub(crate) fn has(&self, resource: &Resource) -> bool {
        self.matches(resource.rid.as_str(), &resource.kind, resource.subset.as_deref(), |tag| {
            resource.tags.contains(tag)
        })
    }

    fn matches(
        &self,
        rid: &str,
        kind: &str,
        subset: Option<&str>,
        has_tag: impl Fn(&str) -> bool,
    ) -> bool {
        let group = rid.split('#').next().unwrap_or(rid);
        let is_named = self.rids.is_empty()
            || self
                .rids
                .iter()
                .any(|word| word == rid || word == group || (word.contains('.') && word == kind));
        let is_tagged =
            self.tags.is_empty() || self.tags.iter().any(|all| all.iter().all(|tag| has_tag(tag)));
        let is_in_set = self.subsets.is_empty()
            || self.subsets.iter().any(|word| {
                let own = subset.unwrap_or(group);
                word == own || subset.is_some_and(|own| *word == format!("{group}:{own}"))
            });
        is_named && is_tagged && is_in_set
    }

    /// The ids that the command line names, to complain of those that nothing has.
    pub(crate) fn rids(&self) -> &[String] {
        &self.rids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(options: &ActionOptions, rid: &str, tags: &[&str], subset: Option<&str>) -> bool {
        let kind = format!("{}.simple", rid.split('#').next().unwrap());
        Selection::read(options).matches(rid, &kind, subset, |tag| tags.contains(&tag))
    }

    fn rid(text: &str) -> ActionOptions {
        ActionOptions { rid: Some(text.into()), ..Default::default() }
    }

    #[test]
    fn resources_are_named_by_id_group_or_driver() {
        assert!(selects(&ActionOptions::default(), "app#1", &[], None));
        assert!(selects(&rid("fs#1,app#1"), "app#1", &[], None));
        assert!(selects(&rid("app"), "app#1", &[], None));
        assert!(selects(&rid("app.simple"), "app#1", &[], None));
        assert!(!selects(&rid("app.forking"), "app#1", &[], None));
        assert!(!selects(&rid("app#10"), "app#1", &[], None));
    }

    #[test]
    fn tags_are_any_of_the_commas_and_all_of_the_pluses() {
        let tags = |text: &str| ActionOptions { tags: Some(text.into()), ..Default::default() };
        assert!(selects(&tags("a,b"), "app#1", &["b"], None));
        assert!(selects(&tags("a+b"), "app#1", &["a", "b"], None));
        assert!(!selects(&tags("a+b"), "app#1", &["a"], None));
        assert!(selects(&tags("a+b,c"), "app#1", &["c"], None));
    }

    #[test]
    fn subsets_are_named_with_or_without_their_group() {
        let sets = |text: &str| ActionOptions { subsets: Some(text.into()), ..Default::default() };
        assert!(selects(&sets("g1"), "app#1", &[], Some("g1")));
        assert!(selects(&sets("app:g1"), "app#1", &[], Some("g1")));
        assert!(selects(&sets("app"), "app#1", &[], None));
        assert!(!selects(&sets("g2"), "app#1", &[], Some("g1")));
    }
}
