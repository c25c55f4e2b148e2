//! What the tables say of each keyword, for who asks: `om doc`, the manual page, completion (src/conf/README.md, Keyword
//! tables).

use model::Kind;
use serde::Serialize;

use crate::keywords::keyword::{Fate, Inheritance, Keyword, Lookup, group_of};
use crate::keywords::{self, Tables, has_driver};

mod examples;
mod groups;
mod listed;
pub(crate) mod look_up;

/// Which configurations are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Book {
    /// All: services and volumes first, then the node and the cluster.
    Whole,
    /// Those of a kind of object; `ccfg` is the cluster.
    Object(Kind),
    /// node.conf.
    Node,
}

/// Sections that hold the same: a driver group, or a section of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name, without an index: `app`, `DEFAULT`, `hb`.
    #[serde(rename = "group")]
    pub name: &'static str,
    /// What it is for.
    pub text: &'static str,
    /// Its drivers whose keywords are known; empty where there are none.
    pub drivers: Vec<&'static str>,
    /// Those of them that this agent shows and leaves alone, and the others of the field.
    pub left_alone: Vec<&'static str>,
    /// Whether any keyword may stand there.
    pub is_free: bool,
    /// Whether there may be several sections, told apart by what stands behind a `#`.
    pub is_indexed: bool,
    /// What is not done about it.
    pub note: Option<&'static str>,
}

/// A keyword of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The group.
    pub section: &'static str,
    /// Drivers that have it; all of the group when empty.
    pub drivers: Vec<&'static str>,
    /// Its name.
    pub keyword: &'static str,
    /// What it holds, in a word or two.
    #[serde(rename = "type")]
    pub holds: &'static str,
    /// What it is when unset.
    pub default: Option<&'static str>,
    /// The only values it may have; any when empty.
    pub values: Vec<&'static str>,
    /// Whether `keyword@node` counts.
    pub scopable: bool,
    /// Whether its section makes no sense without it.
    pub required: bool,
    /// Where its value comes from when its section has none.
    pub inherits: Option<String>,
    /// What it does.
    pub text: &'static str,
    /// Whether every resource has it.
    pub common: bool,
    /// What is not done about it.
    pub note: Option<String>,
    /// A command line that sets it.
    pub example: Option<String>,
}

/// A group, as one of the kinds of documents has it.
#[derive(Debug, Clone, Copy)]
struct Shelf {
    tables: Tables,
    group: &'static str,
    /// Whether it is shown to who asks for no name.
    is_listed: bool,
}

impl Book {
    /// The groups, those of objects first.
    #[must_use]
    pub fn groups(self) -> Vec<Group> {
        self.shelves().into_iter().filter(|shelf| shelf.is_listed).map(Shelf::group).collect()
    }

    /// The keywords of a group or a section, those of some drivers first; with a driver, those that it has.
    #[must_use]
    pub fn entries(self, section: &str, driver: Option<&str>) -> Vec<Entry> {
        let (group, implied) = group_of(section);
        let shelf = self.shelves().into_iter().find(|shelf| shelf.group == group);
        shelf.map(|shelf| shelf.entries(driver.or(implied))).unwrap_or_default()
    }

    fn shelves(self) -> Vec<Shelf> {
        let on = |tables: Tables, is_listed: bool| {
            let shelf = move |group: &'static str| Shelf { tables, group, is_listed };
            groups::of(tables).into_iter().map(shelf)
        };
        let object = |kind: Kind| Tables::Object(kind);
        match self {
            Self::Whole => {
                let first: Vec<Shelf> = on(object(Kind::Svc), true).collect();
                let is_new = |shelf: &Shelf| first.iter().all(|known| known.group != shelf.group);
                let node = on(Tables::Node, true).filter(is_new).collect();
                // DEFAULT of the other kinds has more.
                let more = [Kind::Usr, Kind::Nscfg].into_iter().map(|kind| Shelf {
                    tables: object(kind),
                    group: "DEFAULT",
                    is_listed: false,
                });
                [first, node, more.collect()].concat()
            }
            Self::Object(kind) => on(object(kind), true).collect(),
            Self::Node => on(Tables::Node, true).collect(),
        }
    }
}

impl Shelf {
    fn is_resource(self) -> bool {
        matches!(self.tables, Tables::Object(kind) if kind.has_instances())
            && keywords::is_resource_group(self.group)
    }

    /// The drivers whose keywords are known.
    fn drivers(self) -> Vec<&'static str> {
        if self.is_resource() {
            keywords::table_drivers(self.group)
        } else if self.group == "hb" && self.tables.knows_section("hb#1") {
            vec!["unicast", "multicast", "disk", "relay"]
        } else {
            vec![]
        }
    }

    /// A driver with the same keywords, out of those that are listed.
    fn table_driver(self, driver: &str) -> &str {
        if self.is_resource() { keywords::table_driver(self.group, driver) } else { driver }
    }

    fn group(self) -> Group {
        let drivers = self.drivers();
        let is_left_alone = |driver: &&str| self.is_resource() && !has_driver(self.group, driver);
        let all = drivers.iter().copied().chain(keywords::drivers_of(self.group).iter().copied());
        let mut left_alone: Vec<&'static str> = all.filter(is_left_alone).collect();
        left_alone.sort_unstable();
        left_alone.dedup();
        Group {
            name: self.group,
            text: groups::text(self.group),
            drivers: drivers.into_iter().filter(|driver| !driver.is_empty()).collect(),
            left_alone,
            is_free: self.rows().is_empty(),
            is_indexed: groups::has_index(self.group),
            note: keywords::unread_section(self.tables, self.group),
        }
    }

    /// Rows with the drivers that have them, none where all have.
    fn rows(self) -> Vec<(Vec<&'static str>, &'static Keyword)> {
        let section = self.section();
        let drivers = self.drivers();
        let is_free = self.tables.find(&section, None, "any") == Lookup::Free;
        if is_free && !self.is_resource() {
            return vec![];
        }
        if drivers.is_empty() {
            let all = self.tables.all(&section, None);
            return all.into_iter().map(|keyword| (vec![], keyword)).collect();
        }
        let of = |driver: &str| self.tables.all(&section, Some(driver));
        let common: Vec<&Keyword> = if self.is_resource() {
            // No driver: what every one has.
            of("none")
        } else {
            let is_everywhere = |row: &&Keyword| drivers.iter().all(|name| of(name).contains(row));
            of(drivers[0]).into_iter().filter(is_everywhere).collect()
        };
        let mut rows: Vec<(Vec<&'static str>, &'static Keyword)> = vec![];
        for driver in &drivers {
            for keyword in of(driver).into_iter().filter(|keyword| !common.contains(keyword)) {
                match rows.iter_mut().find(|(_, known)| *known == keyword) {
                    Some((drivers, _)) => drivers.push(driver),
                    None => rows.push((vec![driver], keyword)),
                }
            }
        }
        rows.extend(common.into_iter().map(|keyword| (vec![], keyword)));
        rows
    }

    /// A section of the group.
    fn section(self) -> String {
        if groups::has_index(self.group) { format!("{}#1", self.group) } else { self.group.into() }
    }

    fn entries(self, driver: Option<&str>) -> Vec<Entry> {
        let driver = driver.map(|driver| self.table_driver(driver));
        let is_meant = |(drivers, _): &(Vec<&str>, _)| {
            drivers.is_empty() || driver.is_none_or(|driver| drivers.contains(&driver))
        };
        let rows = self.rows().into_iter().filter(is_meant);
        rows.map(|(drivers, keyword)| self.entry(drivers, keyword)).collect()
    }

    fn entry(self, drivers: Vec<&'static str>, keyword: &'static Keyword) -> Entry {
        let is_type = keyword.name == "type" && self.is_resource();
        let usual = if is_type { self.tables.default_type(self.group) } else { keyword.usual() };
        let values = match keyword.candidates {
            [] if is_type => keywords::drivers_of(self.group),
            candidates => candidates,
        };
        let is_inherited = self.group != "DEFAULT"
            && self.is_resource()
            && keyword.inheritance == Inheritance::LeafThenHead;
        let head = keyword.default_keyword.unwrap_or(keyword.name);
        Entry {
            section: self.group,
            drivers,
            keyword: keyword.name,
            holds: keyword.converter.noun(),
            default: usual.filter(|usual| !usual.is_empty()),
            values: values.iter().copied().filter(|value| !value.is_empty()).collect(),
            // The type of a resource is read as it is written.
            scopable: keyword.is_scopable && !is_type,
            required: keyword.is_required || is_type && keywords::needs_type(self.group),
            inherits: is_inherited.then(|| format!("DEFAULT.{head}")),
            text: keyword.text,
            common: self.is_resource() && keywords::is_common(keyword),
            note: self.note(keyword),
            example: self.example(keyword),
        }
    }

    fn note(self, keyword: &Keyword) -> Option<String> {
        match keyword.fate {
            Fate::Read if keyword.name == "type" && self.group == "fs" => Some(
                "flag, directory, tmpfs, or a type of mount, as ext4, xfs, nfs, bind".to_owned(),
            ),
            Fate::Read => keywords::unread_section(self.tables, self.group).map(not_read),
            Fate::Describes => Some("it describes, and asks for nothing".to_owned()),
            Fate::Partly(reason) => Some(format!("read in part: {reason}")),
            Fate::Unread(reason) => Some(not_read(reason)),
            Fate::Refused(reason) => Some(format!("refused: {reason}")),
        }
    }

    /// A command line that sets it; none for what nobody reads.
    fn example(self, keyword: &Keyword) -> Option<String> {
        let is_done = matches!(keyword.fate, Fate::Read | Fate::Partly(_) | Fate::Describes)
            && keywords::unread_section(self.tables, self.group).is_none();
        let value = examples::value(self.group, keyword).filter(|_| is_done)?;
        let object = match (self.tables, self.group) {
            (Tables::Node | Tables::Object(Kind::Ccfg), "node" | "listener") => "node",
            (Tables::Node, "DEFAULT") => "node",
            (Tables::Node | Tables::Object(Kind::Ccfg), _) => "cluster",
            (Tables::Object(Kind::Svc), _) => "web",
            (Tables::Object(Kind::Vol), _) => "vol/data",
            (Tables::Object(Kind::Cfg), _) => "cfg/web",
            (Tables::Object(Kind::Sec), _) => "sec/web",
            (Tables::Object(Kind::Usr), _) => "usr/joe",
            (Tables::Object(Kind::Nscfg), _) => "prod/",
        };
        let section = self.section();
        let place = if section == "DEFAULT" { String::new() } else { format!("{section}.") };
        let word = quoted(format!("{place}{}={value}", keyword.name));
        Some(format!("om {object} set --kw {word}"))
    }
}

fn not_read(reason: &str) -> String {
    format!("{}{reason}", crate::complaint::UNREAD)
}

/// A word as a shell takes it.
fn quoted(word: String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/:=@#,%+-".contains(c);
    if word.chars().all(is_plain) { word } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests;
