//! Selectors of nodes and objects (src/conf/README.md, Node selectors, Object selectors).

mod nodes;
mod objects;
mod path_query;

pub use nodes::NodeSelector;
pub use objects::{ObjectSelector, Objects, SelectorError};

/// Whether a text matches a shell pattern of `*`, `?`, `[..]` and `[!..]`, slashes included. Work is bounded by the
/// product of both lengths.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    glob_counted(&pattern, &text, &mut 0)
}

/// The same, adding to `steps` what it looked at.
fn glob_counted(pattern: &[char], text: &[char], steps: &mut u64) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while t < text.len() {
        *steps += 1;
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => match class(&pattern[p..], text[t]) {
                Some((is_in, length)) => {
                    *steps += length as u64;
                    is_in.then_some(p + length)
                }
                // The rest was looked at for the end of the class.
                None => {
                    *steps += (pattern.len() - p) as u64;
                    (text[t] == '[').then_some(p + 1)
                }
            },
            Some(c) => (*c == text[t]).then_some(p + 1),
            None => None,
        };
        match (step, retry) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((star, at))) => {
                p = star + 1;
                t = at + 1;
                retry = Some((star, at + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether `c` is in the class that `pattern` starts with, and its length; none when the class is not closed.
fn class(pattern: &[char], c: char) -> Option<(bool, usize)> {
    let is_negated = pattern.get(1) == Some(&'!');
    let start = 1 + usize::from(is_negated);
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|c| *c == ']')?;
    let mut is_in = false;
    let mut at = start;
    while at < end {
        if at + 2 < end && pattern[at + 1] == '-' {
            is_in |= (pattern[at]..=pattern[at + 2]).contains(&c);
            at += 3;
        } else {
            is_in |= pattern[at] == c;
            at += 1;
        }
    }
    Some((is_in != is_negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

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
