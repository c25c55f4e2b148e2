//! What a word of `om doc` means: a group, a keyword, or nearly one. Part of the `impl` of `Book`.

use std::fmt;

use crate::keywords;
use crate::keywords::keyword::{Inheritance, Keyword, Lookup, base, group_of, nearest};
use crate::manual::{Book, Entry, Group, Shelf};

/// What is known of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// No word: the groups.
    Groups(Vec<Group>),
    /// A group, and its keywords.
    Group(Box<Group>, Vec<Entry>),
    /// Keywords of that name.
    Keywords(Vec<Entry>),
}

/// A word that names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfound {
    /// The word.
    pub asked: String,
    /// What is nearest, or what to do instead.
    pub advice: String,
    /// Whether it names what is nearest.
    pub is_near: bool,
}

impl fmt::Display for Unfound {
    /// `app.restrat: did you mean restart? (integer, default 0: ..)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.advice)
    }
}

impl std::error::Error for Unfound {}

impl Book {
    /// Looks a word up: `app`, `app.restart`, `app.simple`, `app.simple.kill`, `app#1.restart@n2`, `restart`.
    ///
    /// # Errors
    ///
    /// [`Unfound`] with what is nearest.
    pub fn look_up(self, asked: Option<&str>) -> Result<Answer, Unfound> {
        let Some(asked) = asked else { return Ok(Answer::Groups(self.groups())) };
        let shelves = self.shelves();
        let (first, rest) = match base(asked).split_once('.') {
            Some((first, rest)) => (first, Some(rest).filter(|rest| !rest.is_empty())),
            None => (base(asked), None),
        };
        let (group, implied) = group_of(first);
        let found: Vec<Shelf> =
            shelves.iter().copied().filter(|shelf| shelf.group == group).collect();
        let (found, other) = match (found.first(), rest) {
            (Some(shelf), None) => {
                return Ok(Answer::Group(Box::new(shelf.group()), shelf.entries(implied)));
            }
            (Some(shelf), Some(rest)) => (
                of_group(&found, &shelves, implied, rest).ok_or(not_there(*shelf, implied, rest)),
                format!("no such keyword: `om doc {group}` lists those of {group}"),
            ),
            (None, None) => (
                named(&shelves, first).ok_or(nearest_of_all(&shelves, first)),
                "no section and no keyword: `om doc` lists the sections".to_owned(),
            ),
            (None, Some(rest)) => (
                Err(nearest_section(&shelves, group, rest)),
                "no such section: `om doc` lists them".to_owned(),
            ),
        };
        found.map_err(|near| Unfound {
            asked: asked.to_owned(),
            is_near: near.is_some(),
            advice: near.unwrap_or(other),
        })
    }
}

/// What stands behind the name of a group: a keyword, a driver, or both.
fn of_group(found: &[Shelf], all: &[Shelf], implied: Option<&str>, rest: &str) -> Option<Answer> {
    let named = |shelf: &Shelf, driver: Option<&str>, name: &str| {
        let entries = shelf.entries(driver).into_iter();
        entries.filter(|entry| entry.keyword == name).collect::<Vec<Entry>>()
    };
    let entries = found.iter().map(|shelf| named(shelf, implied, rest));
    if let Some(entries) = entries.into_iter().find(|entries| !entries.is_empty()) {
        return Some(Answer::Keywords(entries));
    }
    let shelf = found.first()?;
    if shelf.group == "DEFAULT" {
        return inherited(all, rest).map(Answer::Keywords);
    }
    let (driver, keyword) = rest.split_once('.').map_or((rest, None), |(a, b)| (a, Some(b)));
    let known = shelf.drivers();
    let others = if shelf.is_resource() { keywords::drivers_of(shelf.group) } else { &[] };
    let is_mount = || shelf.is_resource() && keywords::is_mount(shelf.group, driver);
    if !(known.contains(&driver) || others.contains(&driver) || is_mount()) {
        return None;
    }
    match keyword {
        None => Some(Answer::Group(Box::new(shelf.group()), shelf.entries(Some(driver)))),
        Some(keyword) => {
            let entries = named(shelf, Some(driver), keyword);
            (!entries.is_empty()).then_some(Answer::Keywords(entries))
        }
    }
}

/// What resources inherit from DEFAULT, as they have it.
fn inherited(all: &[Shelf], name: &str) -> Option<Vec<Entry>> {
    let is_meant = |row: &Keyword| {
        row.default_keyword.unwrap_or(row.name) == name
            && row.inheritance == Inheritance::LeafThenHead
    };
    let mut found: Vec<(&Keyword, Entry)> = vec![];
    for shelf in all.iter().filter(|shelf| shelf.is_resource()) {
        for (drivers, row) in shelf.rows() {
            if is_meant(row) && found.iter().all(|(known, _)| *known != row) {
                found.push((row, shelf.entry(drivers, row)));
            }
        }
    }
    (!found.is_empty()).then(|| found.into_iter().map(|(_, entry)| entry).collect())
}

/// A keyword without its section: everywhere it is, once each.
fn named(shelves: &[Shelf], name: &str) -> Option<Answer> {
    let mut found: Vec<(&Keyword, Entry)> = vec![];
    for shelf in shelves {
        for (drivers, row) in shelf.rows() {
            if row.name == name && found.iter().all(|(other, _)| *other != row) {
                found.push((row, shelf.entry(drivers, row)));
            }
        }
    }
    let entries: Vec<Entry> = found.into_iter().map(|(_, entry)| entry).collect();
    (!entries.is_empty()).then_some(Answer::Keywords(entries))
}

/// The section or the keyword that is nearest to a word.
fn nearest_of_all(shelves: &[Shelf], word: &str) -> Option<String> {
    let rows = shelves.iter().flat_map(|shelf| shelf.rows());
    let known: Vec<&Keyword> = rows.map(|(_, row)| row).collect();
    nearest(word, &known).map(Keyword::meant).or_else(|| {
        let near = model::nearest(word, shelves.iter().map(|shelf| shelf.group))?;
        Some(format!("did you mean {near}?"))
    })
}

/// The section that is nearest to a word, with its keyword where it has that.
fn nearest_section(shelves: &[Shelf], group: &str, name: &str) -> Option<String> {
    let near = model::nearest(group, shelves.iter().map(|shelf| shelf.group))?;
    let shelf = shelves.iter().find(|shelf| shelf.group == near)?;
    Some(match shelf.rows().iter().any(|(_, row)| row.name == name) {
        true => format!("did you mean {near}.{name}?"),
        false => format!("no such section: did you mean {near}?"),
    })
}

/// The answer to a keyword that a group has not: its new name, or the one that is nearest.
fn not_there(shelf: Shelf, implied: Option<&str>, word: &str) -> Option<String> {
    let section = shelf.section();
    let (driver, word) = word.rsplit_once('.').map_or((implied, word), |(a, b)| (Some(a), b));
    let drivers = shelf.drivers();
    let new = keywords::renamed(word).filter(|_| section == "DEFAULT").or_else(|| {
        let all = driver.into_iter().chain(drivers.iter().copied()).map(Some).chain([None]);
        all.into_iter().find_map(|driver| keywords::renamed_in(&section, driver, word))
    });
    let find = |name: &str| {
        let all = drivers.iter().copied().map(Some).chain([None]);
        all.into_iter().find_map(|driver| match shelf.tables.find(&section, driver, name) {
            Lookup::Known(keyword) => Some(keyword),
            Lookup::Free | Lookup::Unknown => None,
        })
    };
    if let Some(new) = new {
        return Some(match find(new) {
            Some(keyword) => format!("the name is {new} now: {}", keyword.text),
            None => format!("the name is {new} now"),
        });
    }
    let rows: Vec<&Keyword> = shelf.rows().into_iter().map(|(_, row)| row).collect();
    nearest(word, &rows).map(Keyword::meant).or_else(|| {
        let near = model::nearest(word, drivers.iter().copied())?;
        Some(format!("did you mean {}.{near}?", shelf.group))
    })
}
