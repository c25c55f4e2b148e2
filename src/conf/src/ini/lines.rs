//! What each line of a document is.

use crate::ini::error::{IniError, IniReason};

/// A line and what it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    /// The whole line with its end.
    pub(super) text: &'a str,
    /// Blanks before the first sign.
    pub(super) indent: &'a str,
    pub(super) kind: Kind<'a>,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Nothing to see; `inside` a value it may be one of its lines.
    Blank { inside: bool },
    /// A comment, without its sign.
    Comment(&'a str),
    /// Start of a section.
    Section(&'a str),
    /// A keyword and the first line of its value.
    Keyword { keyword: &'a str, value: &'a str },
    /// A further line of the value above.
    Continuation(&'a str),
}

/// Blanks as the deployed parsers strip them.
pub(super) fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// A value as it reads back: lines trimmed, joined by `\n`, none at the end.
pub(super) fn normalize(value: &str) -> String {
    let lines: Vec<&str> = split(value).map(|line| line.trim_matches(is_blank)).collect();
    lines.join("\n").trim_end_matches(is_blank).to_owned()
}

/// Lines with their ends: `\n`, `\r\n` or `\r`.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = match rest.find(['\n', '\r']) {
            Some(at) if rest[at..].starts_with("\r\n") => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, after) = rest.split_at(end);
        rest = after;
        Some(line)
    })
}

/// Tells what each line is; ends at the first error.
pub(super) fn scan(text: &str) -> impl Iterator<Item = Result<Line<'_>, IniError>> {
    let mut in_section = false;
    let mut in_value = false;
    let mut value_indent = 0;
    let mut is_over = false;
    let mut number = 0;
    let mut lines = split(text);
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let text = lines.next()?;
        number += 1;
        let mut fail = |reason| {
            is_over = true;
            Some(Err(IniError { line: number, reason }))
        };
        if text.contains('\0') {
            return fail(IniReason::Binary);
        }
        let marked = if number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        let content = marked.trim_matches(is_blank);
        let indent = &marked[..marked.len() - marked.trim_start_matches(is_blank).len()];
        let done = |kind| Some(Ok(Line { number, text, indent, kind }));
        if content.is_empty() {
            return done(Kind::Blank { inside: in_value });
        }
        if content.starts_with(['#', ';']) {
            return done(Kind::Comment(
                content.trim_start_matches(|c| is_blank(c) || matches!(c, '#' | ';')),
            ));
        }
        let depth = indent.chars().count();
        if in_value && depth > value_indent {
            return done(Kind::Continuation(content));
        }
        value_indent = depth;
        if let Some((name, _)) = content.strip_prefix('[').and_then(|rest| rest.split_once(']'))
            && !name.is_empty()
        {
            in_section = true;
            in_value = false;
            return done(Kind::Section(name));
        }
        let excerpt = || content.chars().take(60).collect::<String>().into();
        if !in_section {
            return fail(IniReason::NoSection(excerpt()));
        }
        match content.split_once(['=', ':']) {
            None => fail(IniReason::NoDelimiter(excerpt())),
            Some((keyword, value)) => {
                let keyword = keyword.trim_end_matches(is_blank);
                if keyword.is_empty() {
                    return fail(IniReason::NoKeyword);
                }
                in_value = true;
                done(Kind::Keyword { keyword, value: value.trim_start_matches(is_blank) })
            }
        }
    })
}
