//! Names of keywords with their sections: `section.keyword`.

/// Splits `[section.]keyword`, DEFAULT when there is no section. Only a dot before a scope separates.
#[must_use]
pub fn split_keyword(text: &str) -> (&str, &str) {
    let before_scope = text.find('@').unwrap_or(text.len());
    match text[..before_scope].find('.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => ("DEFAULT", text),
    }
}
