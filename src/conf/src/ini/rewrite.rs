//! Changing some lines of a document and no others.
//!
//! Part of the `impl` of [`Ini`], in a file of its own for its length.

use std::collections::{BTreeMap, BTreeSet};

use crate::ini::error::{IniError, IniReason};
use crate::ini::lines::Kind;
use crate::ini::{Change, Ini, Section, lines};

impl Ini {
    /// Sets one keyword. See [`Ini::apply`].
    ///
    /// # Errors
    ///
    /// As [`Ini::apply`].
    pub fn set(&mut self, section: &str, keyword: &str, value: &str) -> Result<bool, IniError> {
        self.apply(&[Change::Set {
            section: section.into(),
            keyword: keyword.into(),
            value: value.into(),
        }])
    }

    /// Removes one keyword; whether it was there.
    pub fn unset(&mut self, section: &str, keyword: &str) -> bool {
        self.apply(&[Change::Unset { section: section.into(), keyword: keyword.into() }])
            .expect("what is removed need not be written")
    }

    /// Removes a section; whether it was there.
    pub fn remove_section(&mut self, section: &str) -> bool {
        self.apply(&[Change::RemoveSection(section.into())])
            .expect("what is removed need not be written")
    }

    /// Applies changes in order, in one rewrite; whether anything changed. Lines of what did not change stay as
    /// they are, byte for byte.
    ///
    /// # Errors
    ///
    /// [`IniReason::Unwritable`] for a name or value that would read back otherwise, as a value with a line that
    /// starts with `#`. Nothing is changed then.
    pub fn apply(&mut self, changes: &[Change]) -> Result<bool, IniError> {
        let mut sets: BTreeMap<(&str, &str), Option<String>> = BTreeMap::new();
        let mut order: Vec<(&str, &str)> = vec![];
        let mut removed: BTreeSet<&str> = BTreeSet::new();
        for change in changes {
            match change {
                Change::Set { section, keyword, value } => {
                    if sets.insert((section, keyword), Some(lines::normalize(value))).is_none() {
                        order.push((section, keyword));
                    }
                }
                Change::Unset { section, keyword } => {
                    if sets.insert((section, keyword), None).is_none() {
                        order.push((section, keyword));
                    }
                }
                Change::RemoveSection(section) => {
                    removed.insert(section);
                    order.retain(|(other, _)| other != section);
                    sets.retain(|(other, _), _| *other != section.as_str());
                }
            }
        }
        // What was removed before being set again starts anew.
        let removed: BTreeSet<&str> =
            removed.into_iter().filter(|section| self.has_section(section)).collect();
        let is_gone = |section: &str, keyword: &str| {
            removed.contains(section) || self.get(section, keyword).is_none()
        };
        let edits: Vec<Edit<'_>> = order
            .into_iter()
            .filter_map(|(section, keyword)| {
                let value = sets.remove(&(section, keyword))?;
                let is_same = match &value {
                    Some(value) => {
                        !removed.contains(section)
                            && self.get(section, keyword) == Some(value.as_str())
                    }
                    None => is_gone(section, keyword),
                };
                (!is_same).then_some(Edit { section, keyword, value })
            })
            .collect();
        if edits.is_empty() && removed.is_empty() {
            return Ok(false);
        }
        *self = rewrite(self, &removed, &edits)?;
        Ok(true)
    }
}

/// One keyword that changes: to a value, or away.
struct Edit<'a> {
    section: &'a str,
    keyword: &'a str,
    value: Option<String>,
}

/// The document with sections removed, then keywords edited.
fn rewrite(ini: &Ini, removed: &BTreeSet<&str>, edits: &[Edit<'_>]) -> Result<Ini, IniError> {
    let wanted = wanted(ini, removed, edits);
    let in_place = Ini::parse(&in_place(ini, removed, edits));
    if let Ok(written) = in_place
        && has_same_content(&written, &wanted)
    {
        return Ok(written);
    }
    // An unusual indentation made neighbours read otherwise: the plain layout has none.
    let plain = Ini::parse(&plain(&wanted));
    match plain {
        Ok(written) if has_same_content(&written, &wanted) => Ok(written),
        _ => Err(IniError { line: 0, reason: IniReason::Unwritable(culprit(edits).into()) }),
    }
}

/// The content after the change, without a text.
fn wanted(ini: &Ini, removed: &BTreeSet<&str>, edits: &[Edit<'_>]) -> Ini {
    let mut wanted = Ini { text: "".into(), sections: ini.sections.clone(), doubled: vec![] };
    if !removed.is_empty() {
        wanted.sections.retain(|name, _| !removed.contains(name.as_ref()));
    }
    let mut unset: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edit in edits {
        match &edit.value {
            Some(value) => {
                let section = wanted.sections.entry(edit.section.into()).or_default();
                let entry = crate::ini::Entry { value: value.as_str().into(), line: 0 };
                section.entries.insert(edit.keyword.into(), entry);
            }
            None => _ = unset.entry(edit.section).or_default().insert(edit.keyword),
        }
    }
    for (section, keywords) in unset {
        if let Some(section) = wanted.sections.get_mut(section) {
            section.entries.retain(|keyword, _| !keywords.contains(keyword.as_ref()));
        }
    }
    wanted
}

/// Whether both hold the same keywords. Comments and lines may differ, sections without keywords too.
fn has_same_content(one: &Ini, other: &Ini) -> bool {
    let is_within = |one: &Ini, other: &Ini| {
        one.sections.iter().all(|(name, section)| {
            let mut entries = section.entries.iter();
            entries.all(|(keyword, entry)| other.get(name, keyword) == Some(entry.value.as_ref()))
        })
    };
    is_within(one, other) && is_within(other, one)
}

/// The first edit that does not read back when written alone.
fn culprit(edits: &[Edit<'_>]) -> String {
    let bad = edits.iter().find(|edit| {
        edit.value.as_ref().is_some_and(|value| {
            let alone = format!("[{}]\n{}", edit.section, keyword_lines("", edit.keyword, value, "\n"));
            !matches!(Ini::parse(&alone), Ok(ini) if ini.get(edit.section, edit.keyword) == Some(value))
        })
    });
    bad.map_or("this change".to_owned(), |edit| {
        let name = format!("{}.{}", edit.section, edit.keyword);
        format!("{:?}", name.chars().take(80).collect::<String>())
    })
}

/// Lines of one keyword.
fn keyword_lines(indent: &str, keyword: &str, value: &str, end: &str) -> String {
    let separator = if value.is_empty() || value.starts_with('\n') { " =" } else { " = " };
    let value = value.replace('\n', &format!("{end}{indent}\t"));
    format!("{indent}{keyword}{separator}{value}{end}")
}

/// The plain layout of deployed agents: one blank line after each section.
fn plain(wanted: &Ini) -> String {
    let mut text = String::new();
    for (name, section) in &wanted.sections {
        push_section(&mut text, name, section);
    }
    text
}

fn push_section(text: &mut String, name: &str, section: &Section) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("[{name}]\n"));
    for comment in &section.comments {
        text.push_str(&format!("# {comment}\n"));
    }
    for (keyword, entry) in &section.entries {
        text.push_str(&keyword_lines("", keyword, &entry.value, "\n"));
    }
}

/// A stretch of lines that belong together.
struct Block<'a> {
    /// Keyword, first line of its value, and indentation; none for anything else.
    keyword: Option<(&'a str, &'a str, &'a str)>,
    /// The section it stands in; none above the first.
    section: Option<&'a str>,
    lines: Vec<(&'a str, bool)>,
    is_header: bool,
}

impl Block<'_> {
    fn is_comment(&self) -> bool {
        self.keyword.is_none()
            && !self.is_header
            && self.lines.iter().all(|(_, is_comment)| *is_comment)
    }

    fn is_blank(&self) -> bool {
        self.keyword.is_none() && !self.is_header && !self.is_comment()
    }
}

/// Cuts the text: each header, each keyword with the lines of its value, each other line.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = vec![];
    let mut section = None;
    for line in lines::scan(text).map_while(Result::ok) {
        let is_comment = matches!(line.kind, Kind::Comment(_));
        let part = (line.text, is_comment);
        match line.kind {
            Kind::Continuation(_) => {
                // Blank lines and comments since the keyword turn out to lie inside its value.
                let start = blocks.iter().rposition(|block| block.keyword.is_some());
                let tail = start.map_or(vec![], |start| blocks.split_off(start + 1));
                if let Some(block) = blocks.last_mut() {
                    block.lines.extend(tail.into_iter().flat_map(|block| block.lines));
                    block.lines.push(part);
                }
            }
            Kind::Section(name) => {
                section = Some(name);
                blocks.push(Block { keyword: None, section, lines: vec![part], is_header: true });
            }
            Kind::Keyword { keyword, value } => {
                let keyword = Some((keyword, value, line.indent));
                blocks.push(Block { keyword, section, lines: vec![part], is_header: false });
            }
            Kind::Blank { .. } | Kind::Comment(_) => {
                blocks.push(Block { keyword: None, section, lines: vec![part], is_header: false });
            }
        }
    }
    blocks
}

/// Marks the blocks of removed sections. Comments between a blank line and the next header describe what follows:
/// they stay with it.
fn marks(blocks: &[Block<'_>], removed: &BTreeSet<&str>) -> Vec<bool> {
    let mut dropped: Vec<bool> = blocks
        .iter()
        .map(|block| block.section.is_some_and(|section| removed.contains(section)))
        .collect();
    for (header, block) in blocks.iter().enumerate() {
        if !block.is_header || dropped[header] {
            continue;
        }
        let comments = blocks[..header].iter().rev().take_while(|block| block.is_comment()).count();
        let start = header - comments;
        if start > 0 && blocks[start - 1].is_blank() {
            dropped[start..header].fill(false);
        }
    }
    dropped
}

/// The text with only the lines of what changed changed.
fn in_place(ini: &Ini, removed: &BTreeSet<&str>, edits: &[Edit<'_>]) -> String {
    let blocks = blocks(&ini.text);
    let dropped = if removed.is_empty() { vec![] } else { marks(&blocks, removed) };
    let end = if ini.text.contains("\r\n") { "\r\n" } else { "\n" };

    let mut last: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, block) in blocks.iter().enumerate() {
        if let Some(section) = block.section
            && !removed.contains(section)
        {
            if let Some((keyword, _, _)) = block.keyword {
                last.insert((section, keyword), index);
            }
            if block.is_header || block.keyword.is_some() {
                ends.insert(section, index);
            }
        }
    }

    let mut replaced: BTreeMap<usize, &Edit<'_>> = BTreeMap::new();
    let mut unset: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut inserted: BTreeMap<usize, Vec<&Edit<'_>>> = BTreeMap::new();
    let mut appended: Vec<(&str, Vec<&Edit<'_>>)> = vec![];
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for edit in edits {
        let known = last.get(&(edit.section, edit.keyword));
        match (&edit.value, known, ends.get(edit.section)) {
            (None, _, _) => _ = unset.insert((edit.section, edit.keyword)),
            (Some(_), Some(index), _) => _ = replaced.insert(*index, edit),
            (Some(_), None, Some(index)) => inserted.entry(*index).or_default().push(edit),
            (Some(_), None, None) => {
                let place = *places.entry(edit.section).or_insert_with(|| {
                    appended.push((edit.section, vec![]));
                    appended.len() - 1
                });
                appended[place].1.push(edit);
            }
        }
    }

    let mut text = String::with_capacity(ini.text.len() + 256);
    for (index, block) in blocks.iter().enumerate() {
        let is_unset = matches!((block.section, block.keyword),
            (Some(section), Some((keyword, _, _))) if unset.contains(&(section, keyword)));
        let indent = block.keyword.map_or("", |(_, _, indent)| indent);
        if dropped.get(index) == Some(&true) {
            continue;
        }
        if let Some(edit) = replaced.get(&index) {
            let value = edit.value.as_deref().unwrap_or_default();
            text.push_str(&keyword_lines(indent, edit.keyword, value, end));
        }
        let is_changed = is_unset || replaced.contains_key(&index);
        for (line, is_comment) in &block.lines {
            if !is_changed || *is_comment {
                text.push_str(line);
            }
        }
        for edit in inserted.get(&index).into_iter().flatten() {
            finish_line(&mut text, end);
            let value = edit.value.as_deref().unwrap_or_default();
            text.push_str(&keyword_lines(indent, edit.keyword, value, end));
        }
    }
    for (section, edits) in appended {
        finish_line(&mut text, end);
        if !text.is_empty() && !text.ends_with("\n\n") && !text.ends_with("\n\r\n") {
            text.push_str(end);
        }
        text.push_str(&format!("[{section}]{end}"));
        for edit in edits {
            let value = edit.value.as_deref().unwrap_or_default();
            text.push_str(&keyword_lines("", edit.keyword, value, end));
        }
    }
    text
}

fn finish_line(text: &mut String, end: &str) {
    if !text.is_empty() && !text.ends_with(['\n', '\r']) {
        text.push_str(end);
    }
}
