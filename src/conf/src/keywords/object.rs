//! Keywords of DEFAULT and of the sections of objects.

use model::Kind;

use crate::keywords::drivers;
use crate::keywords::drivers::common::{COMMON, GROUP_CAPS};
use crate::keywords::drivers::replication::SYNC;
use crate::keywords::keyword::{Keyword, Lookup, group_of};

mod data;
mod head;

use data::{CERTIFICATE, DATA, NAMESPACE, NAMESPACE_CAPS, USER};
use head::{HEAD, SUBSET};

/// Looks a keyword of a service or volume up.
pub(super) fn find(section: &str, driver: Option<&str>, keyword: &str) -> Lookup {
    let (group, implied) = group_of(section);
    if section == "DEFAULT" {
        let is_common =
            |kw: &&Keyword| kw.inheritance != crate::keywords::keyword::Inheritance::Leaf;
        return in_tables(&[HEAD], keyword)
            .or_else(|| in_tables(&[COMMON, GROUP_CAPS], keyword).filter(is_common))
            .map_or(Lookup::Unknown, Lookup::Known);
    }
    if group == "subset" {
        return in_tables(&[SUBSET, GROUP_CAPS], keyword).map_or(Lookup::Unknown, Lookup::Known);
    }
    if drivers::default_type(group).is_none() {
        return Lookup::Unknown;
    }
    let driver = driver.or(implied).unwrap_or_default();
    let tables = drivers::tables(group, driver);
    let of_driver = tables.and_then(|tables| in_tables(tables, keyword));
    let of_group = || if group == "sync" { in_tables(&[SYNC], keyword) } else { None };
    match of_driver.or_else(of_group).or_else(|| in_tables(&[COMMON, GROUP_CAPS], keyword)) {
        Some(found) => Lookup::Known(found),
        None if tables.is_none() && drivers::knows(group, driver) => Lookup::Free,
        None => Lookup::Unknown,
    }
}

/// All keywords of a section of a service or volume.
pub(super) fn all(section: &str, driver: Option<&str>) -> Vec<&'static Keyword> {
    let (group, implied) = group_of(section);
    match section {
        "DEFAULT" => HEAD.iter().collect(),
        _ if group == "subset" => SUBSET.iter().chain(GROUP_CAPS).collect(),
        _ => {
            let tables = drivers::tables(group, driver.or(implied).unwrap_or_default());
            let tables = tables.unwrap_or(&[]).iter().flat_map(|table| table.iter());
            let mut all: Vec<&Keyword> = tables.collect();
            all.extend(COMMON.iter().chain(GROUP_CAPS));
            all
        }
    }
}

/// Looks a keyword of another kind of object up.
pub(super) fn find_other(kind: Kind, section: &str, keyword: &str) -> Lookup {
    let found = all_other(kind, section).into_iter().find(|kw| kw.name == keyword);
    found.map_or(Lookup::Unknown, Lookup::Known)
}

/// All keywords of a section of another kind of object.
pub(super) fn all_other(kind: Kind, section: &str) -> Vec<&'static Keyword> {
    if section != "DEFAULT" {
        return vec![];
    }
    let more: &[&[Keyword]] = match kind {
        Kind::Sec => &[CERTIFICATE],
        Kind::Usr => &[CERTIFICATE, USER],
        Kind::Nscfg => &[NAMESPACE, NAMESPACE_CAPS],
        Kind::Cfg | Kind::Ccfg | Kind::Svc | Kind::Vol => &[],
    };
    DATA.iter().chain(more.iter().flat_map(|table| table.iter())).collect()
}

fn in_tables(tables: &[&'static [Keyword]], keyword: &str) -> Option<&'static Keyword> {
    tables.iter().flat_map(|table| table.iter()).find(|kw| kw.name == keyword)
}
