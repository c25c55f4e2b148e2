//! The text of a configuration file: sections of keywords, with everything around them kept.
//!
//! The dialect is in src/conf/README.md, Documents. Writing changes the lines of what changed and no others: comments,
//! blank lines, unknown keywords, order and layout stay as the operator left them.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::ini::error::{IniError, IniReason};

pub(crate) mod error;
mod lines;
mod rewrite;

/// A configuration as JSON: keywords by section. Which there are is up to who wrote it.
pub type Sections = serde_json::Map<String, serde_json::Value>;

/// One keyword of a section.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    /// The value, its lines joined by newlines.
    value: Box<str>,
    /// Line of the keyword that counts, the last one.
    line: u32,
}

impl std::fmt::Debug for Entry {
    /// Values may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} bytes of line {})", self.value.len(), self.line)
    }
}

/// One section, its duplicates merged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Section {
    line: u32,
    entries: IndexMap<Box<str>, Entry>,
    /// Comment texts without their signs.
    comments: Vec<Box<str>>,
}

/// A section or a keyword that stands in more than one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubled {
    /// The section.
    pub section: Box<str>,
    /// The keyword; empty for the section itself.
    pub keyword: Box<str>,
    /// Line of each but the first.
    pub line: usize,
}

/// One change of a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Sets a keyword, making its section if need be.
    Set {
        /// The section.
        section: String,
        /// The keyword, with its scope if any.
        keyword: String,
        /// The new value.
        value: String,
    },
    /// Removes a keyword; one that is not there is no error.
    Unset {
        /// The section.
        section: String,
        /// The keyword, with its scope if any.
        keyword: String,
    },
    /// Removes a section with all it holds.
    RemoveSection(String),
}

/// A configuration document.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Ini {
    text: Arc<str>,
    sections: IndexMap<Box<str>, Section>,
    /// At most [`MAX_DOUBLED`].
    doubled: Vec<Doubled>,
}

/// More doubled lines than an operator reads.
const MAX_DOUBLED: usize = 20;

impl fmt::Debug for Ini {
    /// Without its text, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ini({} sections, {} bytes)", self.sections.len(), self.text.len())
    }
}

impl Ini {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`IniError`] with the first line that is none of the dialect: the whole text is unreadable then.
    pub fn parse(text: &str) -> Result<Self, IniError> {
        let mut sections: IndexMap<Box<str>, Section> = IndexMap::new();
        let mut above = vec![];
        let mut current: Option<usize> = None;
        let mut open: Option<(Box<str>, String, u32)> = None;
        let mut doubled = vec![];
        for line in lines::scan(text) {
            let line = line?;
            match line.kind {
                lines::Kind::Blank { inside } => {
                    if let (true, Some((_, value, _))) = (inside, &mut open) {
                        value.push('\n');
                    }
                }
                lines::Kind::Comment(comment) => match current {
                    Some(index) => sections[index].comments.push(comment.into()),
                    None => above.push(comment.into()),
                },
                lines::Kind::Continuation(more) => {
                    if let Some((_, value, _)) = &mut open {
                        value.push('\n');
                        value.push_str(more);
                    }
                }
                lines::Kind::Section(name) => {
                    close(&mut sections, current, open.take(), &mut doubled);
                    let entry = sections.entry(name.into());
                    current = Some(entry.index());
                    let section = entry.or_default();
                    if section.line == 0 {
                        section.line = number(line.number);
                    } else {
                        note(&mut doubled, name, "", line.number);
                    }
                }
                lines::Kind::Keyword { keyword, value } => {
                    close(&mut sections, current, open.take(), &mut doubled);
                    open = Some((keyword.into(), value.to_owned(), number(line.number)));
                }
            }
        }
        close(&mut sections, current, open.take(), &mut doubled);
        if !above.is_empty() {
            let default = sections.entry("DEFAULT".into()).or_default();
            above.append(&mut default.comments);
            default.comments = above;
        }
        sections.shrink_to_fit();
        doubled.shrink_to_fit();
        Ok(Self { text: text.into(), sections, doubled })
    }

    /// Reads a document from the bytes of a file.
    ///
    /// # Errors
    ///
    /// As [`Ini::parse`]; also for what is not UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IniError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => {
                let before = &bytes[..error.valid_up_to()];
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                Err(IniError { line, reason: IniReason::Binary })
            }
        }
    }

    /// The text, as read or as changed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Names of the sections, in the order of their first lines.
    pub fn sections(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.sections.keys().map(AsRef::as_ref)
    }

    /// Sections and keywords that stand in more than one place: sections are merged, and of keywords the last one counts.
    #[must_use]
    pub fn doubled(&self) -> &[Doubled] {
        &self.doubled
    }

    /// Whether the section exists.
    #[must_use]
    pub fn has_section(&self, section: &str) -> bool {
        self.sections.contains_key(section)
    }

    /// Keywords of a section as written, scopes included, with their values.
    pub fn keywords(&self, section: &str) -> impl Iterator<Item = (&str, &str)> {
        let section = self.sections.get(section);
        section.into_iter().flat_map(|section| {
            section.entries.iter().map(|(keyword, entry)| (keyword.as_ref(), entry.value.as_ref()))
        })
    }

    /// Raw value of a keyword exactly as it is spelled here, scope included.
    #[must_use]
    pub fn get(&self, section: &str, keyword: &str) -> Option<&str> {
        Some(self.sections.get(section)?.entries.get(keyword)?.value.as_ref())
    }

    /// Line of a keyword, or of its section when it is not there; 0 when neither is.
    #[must_use]
    pub fn line_of(&self, section: &str, keyword: &str) -> usize {
        self.sections.get(section).map_or(0, |section| {
            section.entries.get(keyword).map_or(section.line, |entry| entry.line) as usize
        })
    }

    /// The pseudo keyword `comment` of a section: its real `comment`, then the texts of its comments; those above
    /// the first section count for DEFAULT.
    #[must_use]
    pub fn comment(&self, section: &str) -> Option<String> {
        let section = self.sections.get(section)?;
        let real = section.entries.get("comment").map(|entry| entry.value.as_ref());
        let texts: Vec<&str> =
            real.into_iter().chain(section.comments.iter().map(AsRef::as_ref)).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// All sections with their raw keywords, comments gathered in the pseudo keyword `comment`, as deployed agents
    /// print them.
    #[must_use]
    pub fn to_json(&self) -> Sections {
        let mut all = serde_json::Map::new();
        for name in self.sections() {
            let mut section: serde_json::Map<_, _> = self
                .keywords(name)
                .map(|(keyword, value)| (keyword.to_owned(), value.into()))
                .collect();
            if let Some(comment) = self.comment(name) {
                section.insert("comment".to_owned(), comment.into());
            }
            all.insert(name.to_owned(), section.into());
        }
        all
    }

    /// The text of a keyword that a JSON document holds: texts as they are, lists as words, numbers and booleans as they are
    /// written. None for null.
    #[must_use]
    pub fn text_of(value: &serde_json::Value) -> Option<String> {
        let word = |value: &serde_json::Value| match value.as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        };
        match value {
            serde_json::Value::Null => None,
            serde_json::Value::Array(words) => {
                Some(words.iter().map(word).collect::<Vec<_>>().join(" "))
            }
            other => Some(word(other)),
        }
    }
}

fn number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

fn close(
    sections: &mut IndexMap<Box<str>, Section>,
    current: Option<usize>,
    open: Option<(Box<str>, String, u32)>,
    doubled: &mut Vec<Doubled>,
) {
    if let (Some(index), Some((keyword, mut value, line))) = (current, open) {
        value.truncate(value.trim_end_matches(lines::is_blank).len());
        if sections[index].entries.contains_key(&keyword) {
            let section = sections.get_index(index).map_or("", |(name, _)| name);
            note(doubled, section, &keyword, line as usize);
        }
        sections[index].entries.insert(keyword, Entry { value: value.into(), line });
    }
}

fn note(doubled: &mut Vec<Doubled>, section: &str, keyword: &str, line: usize) {
    if doubled.len() < MAX_DOUBLED {
        doubled.push(Doubled { section: section.into(), keyword: keyword.into(), line });
    }
}

#[cfg(test)]
mod tests;
