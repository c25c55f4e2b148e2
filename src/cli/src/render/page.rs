//! The manual page `om-keywords(5)`, of the tables that `om doc` shows.

use conf::{Book, Entry, Group};

use super::manual::facts;

const HEAD: &str = "\
.SH NAME
om-keywords \\- keywords of the configurations of om
.SH DESCRIPTION
A configuration has sections, and keywords in them. Services and volumes are files of their own, the node is
.IR node.conf ,
the cluster
.IR cluster.conf .
Sections of resources have an index, as
.BR [app#1] .
A scopable keyword may have a value for some nodes, as
.B restart@n1
or
.BR restart@nodes .
What a section of a resource inherits is read in
.B [DEFAULT]
where the section does not say it.
.PP
.B om doc
shows the same,
.B om doc app.restart
one keyword.
";

/// The page, as troff reads it; `version` is that of the product.
#[must_use]
pub fn manual_page(version: &str) -> String {
    let book = Book::Whole;
    let mut page = format!(".TH OM-KEYWORDS 5 \"\" \"om {version}\" \"File formats\"\n{HEAD}");
    let mut is_common_told = false;
    for group in book.groups() {
        let entries = book.entries(group.name, None);
        if !is_common_told && entries.iter().any(|entry| entry.common) {
            page += &every_resource(&entries);
            is_common_told = true;
        }
        page += &section(&group, &entries);
    }
    page += ".SH SEE ALSO\n.BR om (1)\n";
    page
}

fn section(group: &Group, entries: &[Entry]) -> String {
    let mut page = format!(".SH {}\n", escaped(&group.name.to_uppercase()));
    page += &format!("Sections\n.BR {} :\n{}.\n", escaped(group.name), escaped(group.text));
    if let Some(note) = group.note {
        page += &format!("Not read: {}.\n", escaped(note));
    }
    if !group.drivers.is_empty() {
        page += &format!(".PP\nDrivers: {}.\n", escaped(&group.drivers.join(", ")));
    }
    if !group.left_alone.is_empty() {
        let others = escaped(&group.left_alone.join(", "));
        page += &format!(".PP\nShown and left alone: {others}.\n");
    }
    if group.is_free {
        page += ".PP\nAny keyword may stand here.\n";
    }
    let common = entries.iter().filter(|entry| entry.common).count();
    if common > 0 {
        page += ".PP\nBeside what every resource has, see\n.BR \"EVERY RESOURCE\" .\n";
    }
    for entry in entries.iter().filter(|entry| is_own(entry)) {
        page += &keyword(entry);
    }
    page
}

/// Whether the section of its group tells of it: the type differs between groups.
fn is_own(entry: &Entry) -> bool {
    !entry.common || entry.keyword == "type"
}

/// What all groups of resources have.
fn every_resource(entries: &[Entry]) -> String {
    let common = entries.iter().filter(|entry| !is_own(entry)).map(keyword);
    format!(
        ".SH EVERY RESOURCE\nSections of each group of resources may have:\n{}",
        common.collect::<String>()
    )
}

fn keyword(entry: &Entry) -> String {
    let mut page = format!(".TP\n.B {}\n{}.\n", escaped(entry.keyword), escaped(entry.text));
    for (name, value) in facts(entry) {
        let value = escaped(&value);
        page += ".br\n";
        page += &match name {
            "scopable" if value == "no" => ".I not scopable\n".to_owned(),
            "scopable" => ".I scopable\n".to_owned(),
            "required" => ".I required\n".to_owned(),
            _ => format!(".IR {name} :\n{value}\n"),
        };
    }
    page
}

/// A text that troff takes for text.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_each_keyword_with_its_text() {
        let page = manual_page("1.2.3");
        assert_eq!(page.matches("\n.B restart_delay\n").count(), 1);
        assert!(page.starts_with(".TH OM-KEYWORDS 5 \"\" \"om 1.2.3\""));
        for group in Book::Whole.groups() {
            let begin = format!("\n.SH {}\n", escaped(&group.name.to_uppercase()));
            let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("{}", group.name));
            let part = rest.split("\n.SH ").next().unwrap_or_default();
            let common = page.split("\n.SH EVERY RESOURCE\n").nth(1).expect("one such section");
            for entry in Book::Whole.entries(group.name, None) {
                let row = format!(".B {}\n{}.\n", escaped(entry.keyword), escaped(entry.text));
                let part = if is_own(&entry) { part } else { common };
                assert!(part.contains(&row), "{}.{}", group.name, entry.keyword);
            }
        }
    }

    #[test]
    fn no_line_is_a_request_that_troff_does_not_know() {
        const KNOWN: [&str; 9] = [".TH", ".SH", ".PP", ".TP", ".B", ".BR", ".I", ".IR", ".br"];
        for line in manual_page("1").lines() {
            let word = line.split(' ').next().unwrap_or_default();
            let is_request = line.starts_with(['.', '\'']);
            assert!(!is_request || KNOWN.contains(&word), "{line}");
            assert!(!line.is_empty(), "an empty line");
        }
    }

    #[test]
    fn what_troff_would_read_is_escaped() {
        assert_eq!(escaped("a-b \\n"), "a\\-b \\en");
        assert_eq!(escaped(".br"), "\\&.br");
        assert_eq!(escaped("'x'"), "\\&'x'");
    }
}
