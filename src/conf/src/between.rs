//! What makes one configuration of another one, keyword by keyword.

use crate::edit::Edit;
use crate::ini::Ini;

/// The edits that make `after` of `before`. Comments and the order of lines are in none.
#[must_use]
pub fn edits_between(before: &Ini, after: &Ini) -> Vec<Edit> {
    let mut edits = vec![];
    for section in after.sections() {
        for (keyword, value) in after.keywords(section) {
            if before.get(section, keyword) != Some(value) {
                edits.push(Edit::Set(format!("{section}.{keyword}={value}")));
            }
        }
    }
    for section in before.sections() {
        let gone =
            before.keywords(section).filter(|(keyword, _)| after.get(section, keyword).is_none());
        edits.extend(gone.map(|(keyword, _)| Edit::Unset(format!("{section}.{keyword}"))));
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_set_and_what_went_is_unset() {
        let before = "[DEFAULT]\nid = x\nnodes = n1\n[app#1]\nstart = /bin/a\nstart@n2 = /bin/b\n[old]\na = b\n";
        let after =
            "# why\n[DEFAULT]\nnodes = n1 n2\nid = x\n[app#1]\nstart = /bin/a\n[env]\nk = a=b\n";
        let [before, after] = [before, after].map(|text| Ini::parse(text).unwrap());
        let edits = edits_between(&before, &after);
        let set = |text: &str| Edit::Set(text.to_owned());
        let unset = |text: &str| Edit::Unset(text.to_owned());
        assert_eq!(
            edits,
            [set("DEFAULT.nodes=n1 n2"), set("env.k=a=b"), unset("app#1.start@n2"), unset("old.a")]
        );
        assert_eq!(edits_between(&after, &after), []);
    }
}
