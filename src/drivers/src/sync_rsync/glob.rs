//! Patterns of file names, as a shell reads them: `*`, `?`, `[..]`, which match no slash and no leading dot.

use std::path::Path;

/// The files that a pattern matches, sorted; the text itself when it is none. A slash at the end stays.
pub(super) fn glob(pattern: &str) -> Vec<String> {
    if !is_pattern(pattern) {
        return vec![pattern.to_owned()];
    }
    let (root, rest) = match pattern.strip_prefix('/') {
        Some(rest) => ("/", rest),
        None => ("", pattern),
    };
    let mut found = vec![root.to_owned()];
    let parts: Vec<&str> = rest.split('/').collect();
    for (number, part) in parts.iter().enumerate() {
        let is_last = number + 1 == parts.len();
        let end = if is_last { "" } else { "/" };
        found = found.iter().flat_map(|folder| step(folder, part, end)).collect();
    }
    found
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// What one part of a pattern matches in a folder.
fn step(folder: &str, part: &str, end: &str) -> Vec<String> {
    let is_there = |path: &String| std::fs::symlink_metadata(path).is_ok();
    if !is_pattern(part) {
        return [format!("{folder}{part}{end}")].into_iter().filter(is_there).collect();
    }
    let read =
        std::fs::read_dir(if folder.is_empty() { Path::new(".") } else { Path::new(folder) });
    let names = read.into_iter().flatten().flatten();
    let mut names: Vec<String> =
        names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| (part.starts_with('.') || !name.starts_with('.')) && matches(part, name));
    names.sort();
    // A part with another behind it is a folder: the slash asks for one.
    names.into_iter().map(|name| format!("{folder}{name}{end}")).filter(is_there).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut read) = (0, 0);
    // Where to go on when what was read after the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while read < name.len() {
        match fits(&pattern[at..], name[read]) {
            Some(length) => {
                at += length;
                read += 1;
            }
            None if pattern.get(at) == Some(&'*') => {
                star = Some((at + 1, read));
                at += 1;
            }
            None => match star {
                Some((next, taken)) => {
                    star = Some((next, taken + 1));
                    (at, read) = (next, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|sign| *sign == '*')
}

/// The length of the pattern's next sign or set, if it fits.
fn fits(pattern: &[char], sign: char) -> Option<usize> {
    match pattern.first()? {
        '*' => None,
        '?' => Some(1),
        '[' => {
            let is_not = matches!(pattern.get(1), Some('!' | '^'));
            let start = if is_not { 2 } else { 1 };
            // A bracket that comes first is of the set.
            let rest = pattern.get(start + 1..).unwrap_or_default();
            let Some(length) = rest.iter().position(|other| *other == ']') else {
                return (sign == '[').then_some(1);
            };
            let set = &pattern[start..=start + length];
            let mut is_in = false;
            let mut at = 0;
            while at < set.len() {
                if let (Some('-'), Some(last)) = (set.get(at + 1), set.get(at + 2)) {
                    is_in |= (set[at]..=*last).contains(&sign);
                    at += 3;
                } else {
                    is_in |= set[at] == sign;
                    at += 1;
                }
            }
            (is_in != is_not).then_some(start + length + 2)
        }
        other => (*other == sign).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_a_pattern_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[!a-c]x", "dx", true),
            ("[]]", "]", true),
            ("[", "[", true),
            ("a**b", "ab", true),
            ("*.log", "x.log.1", false),
            ("*a*b", "xaab", true),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_matches_is_listed_in_order_and_a_text_is_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("{}/{name}", folder.path().display());
        for name in ["a1", "a2", ".a3"] {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(&format!("{name}/x.log")), "").unwrap();
        }
        std::fs::write(path("a4"), "").unwrap();
        assert_eq!(glob(&path("a*")), ["a1", "a2", "a4"].map(path));
        assert_eq!(glob(&path("a*/")), ["a1/", "a2/"].map(path));
        assert_eq!(glob(&path("*/*.log")), ["a1/x.log", "a2/x.log"].map(path));
        assert_eq!(glob(&path("a[12]/x.log")), ["a1/x.log", "a2/x.log"].map(path));
        assert_eq!(glob(&path("b*")), [] as [&str; 0]);
        assert_eq!(glob("/no/such/file/"), ["/no/such/file/"]);
    }
}
