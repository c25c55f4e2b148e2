//! Words as a shell splits them.

use crate::convert::expected::Expected;

/// Splits a command line into words: quotes and backslashes as in a POSIX shell, no expansion, no comments.
///
/// # Errors
///
/// An unterminated quote, or a backslash at the end.
pub fn split_words(text: &str) -> Result<Vec<String>, Expected> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a command line: a quote is not closed"),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("a command line: a quote is not closed"),
                        },
                        Some(c) => word.push(c),
                        None => return Err("a command line: a quote is not closed"),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a command line: nothing follows the last backslash"),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Takes `-abc` apart into `-a -b -c`; words with `=` or two dashes stay.
pub(super) fn expand_options(words: Vec<String>) -> Vec<String> {
    let mut expanded = Vec::with_capacity(words.len());
    for word in words {
        match word.strip_prefix('-') {
            Some(letters)
                if !letters.is_empty() && !letters.starts_with('-') && !letters.contains('=') =>
            {
                expanded.extend(letters.chars().map(|letter| format!("-{letter}")));
            }
            _ => expanded.push(word),
        }
    }
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        let split = |text| split_words(text).unwrap();
        assert_eq!(split(r#"a 'b c' "d\"e" f\ g # h"#), ["a", "b c", "d\"e", "f g", "#", "h"]);
        assert_eq!(split(r#""a\b" ''"#), [r"a\b", ""]);
        assert_eq!(split("  "), Vec::<String>::new());
        for text in ["'a", "\"a", "\"a\\", "a\\"] {
            assert!(split_words(text).is_err(), "{text}");
        }
    }
}
