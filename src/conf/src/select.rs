//! Selectors of nodes and objects (src/conf/README.md, Node selectors, Object selectors).

pub(crate) mod nodes;
pub(crate) mod objects;
mod path_query;
pub(crate) mod work;

#[cfg(test)]
mod tests {
    use crate::select::work::glob;

    #[test]
    fn a_pattern_matches_as_in_a_shell() {
        for (pattern, text, matches) in [
            ("n?", "n1", true),
            ("n?", "n", false),
            ("*", "", true),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxbc", false),
            ("n[12]", "n2", true),
            ("n[!12]", "n2", false),
            ("n[1-3]", "n2", true),
            ("[", "[", true),
            ("[]a]", "]", true),
            ("a/*", "a/b/c", true),
            ("", "", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
        assert!(!glob(&"*a".repeat(5_000), &"a".repeat(4_999)));
    }
}
