//! What completes keywords and resource ids: of the tables, and of the sections that an object has.

use conf::{Book, Entry, split_keyword};

/// A word that depends on the sections of a configuration. Who asks tells them to [`Sections::words`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sections {
    /// The group of the command: `svc`, `node`.
    pub group: &'static str,
    /// The object, as it was typed; none for node.conf, and where none is named.
    pub object: Option<String>,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// Whether resource ids are wanted, else keywords.
    pub wants_rids: bool,
    /// Whether a value follows the keyword.
    pub is_set: bool,
    /// What is typed of the word.
    pub typed: String,
    /// Keywords that the line sets before it.
    pub given: Vec<String>,
}

/// A section that there is, with its type where that is written.
pub type Known = (String, Option<String>);

/// A candidate, and what it is for.
type Word = (String, &'static str);

impl Sections {
    /// The words that begin as what is typed.
    #[must_use]
    pub fn words(&self, known: &[Known]) -> Vec<Word> {
        let mut known = known.to_vec();
        for (keyword, value) in self.given.iter().filter_map(|word| word.split_once('=')) {
            let (section, name) = split_keyword(keyword);
            let driver = (name == "type").then(|| value.to_owned());
            match known.iter_mut().find(|(known, _)| known == section) {
                Some((_, old)) => *old = driver.or(old.take()),
                None => known.push((section.to_owned(), driver)),
            }
        }
        let mut words = if self.wants_rids { self.rids(&known) } else { self.keywords(&known) };
        words.retain(|(word, _)| word.starts_with(&self.typed));
        words
    }

    fn book(&self) -> Book {
        crate::lookup::book_of(self.group)
    }

    /// Resource ids and their groups; those before a comma are kept.
    fn rids(&self, known: &[Known]) -> Vec<Word> {
        let before = self.typed.rfind(',').map_or("", |at| &self.typed[..=at]);
        let rids = known.iter().map(|(section, _)| section.as_str());
        let rids: Vec<&str> =
            rids.filter(|rid| rid.contains('#') && !rid.starts_with("subset#")).collect();
        let mut groups: Vec<&str> = rids.iter().filter_map(|rid| rid.split('#').next()).collect();
        groups.sort_unstable();
        groups.dedup();
        let rids = rids.iter().map(|rid| (format!("{before}{rid}"), "resource"));
        rids.chain(groups.iter().map(|group| (format!("{before}{group}"), "all of them"))).collect()
    }

    fn keywords(&self, known: &[Known]) -> Vec<Word> {
        if let Some(at) = self.typed.find('=').filter(|_| self.is_set) {
            let name = self.typed[..at].trim_end_matches(['+', '|', '-']);
            return self.values(known, name, &self.typed[..=at]);
        }
        let end = if self.is_set { "=" } else { "" };
        if let Some((section, _)) = self.typed.split_once('.') {
            let entries = self.entries(known, section).into_iter();
            return entries
                .map(|entry| (format!("{section}.{}{end}", entry.keyword), entry.text))
                .collect();
        }
        let mut words: Vec<Word> = known
            .iter()
            .filter(|(section, _)| section != "DEFAULT")
            .map(|(section, _)| (format!("{section}."), "section"))
            .collect();
        if self.is_set {
            for group in self.book().groups().into_iter().filter(|group| group.name != "DEFAULT") {
                let sign = if group.is_indexed { '#' } else { '.' };
                words.push((format!("{}{sign}", group.name), group.text));
            }
            words.dedup_by(|a, b| a.0 == b.0);
        }
        let head = self.entries(known, "DEFAULT").into_iter();
        words.extend(head.map(|entry| (format!("{}{end}", entry.keyword), entry.text)));
        words
    }

    /// The values that a keyword may have, behind what is typed before them.
    fn values(&self, known: &[Known], name: &str, before: &str) -> Vec<Word> {
        let (section, keyword) = split_keyword(name);
        let keyword = keyword.split(['@', '[']).next().unwrap_or_default();
        let entries = self.entries(known, section).into_iter();
        let mut words: Vec<Word> = vec![];
        for entry in entries.filter(|entry| entry.keyword == keyword) {
            let values = match entry.values.as_slice() {
                [] if entry.holds == "boolean" => &["true", "false"],
                values => values,
            };
            words.extend(values.iter().map(|value| (format!("{before}{value}"), "")));
        }
        words.dedup();
        words
    }

    /// The keywords of a section, once each: of its driver, where that is known.
    fn entries(&self, known: &[Known], section: &str) -> Vec<Entry> {
        let driver = known.iter().find(|(name, _)| name == section);
        let driver = driver.and_then(|(_, driver)| driver.as_deref());
        let mut entries = self.book().entries(section, driver);
        let mut seen = std::collections::BTreeSet::new();
        entries.retain(|entry| seen.insert(entry.keyword));
        entries
    }
}

/// What completes a name of `om doc`.
pub(super) fn of_doc(book: Book, typed: &str) -> Vec<Word> {
    let mut words: Vec<Word> = match typed.split_once('.') {
        None => {
            book.groups().into_iter().map(|group| (group.name.to_owned(), group.text)).collect()
        }
        Some((section, _)) => {
            let entries = book.entries(section, None).into_iter();
            entries.map(|entry| (format!("{section}.{}", entry.keyword), entry.text)).collect()
        }
    };
    words.retain(|(word, _)| word.starts_with(typed));
    words.sort_unstable();
    words.dedup_by(|a, b| a.0 == b.0);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Known> {
        let section = |name: &str, driver: Option<&str>| (name.into(), driver.map(str::to_owned));
        vec![
            section("DEFAULT", None),
            section("app#1", Some("simple")),
            section("app#2", None),
            section("fs#data", Some("flag")),
            section("subset#app", None),
        ]
    }

    fn asked(typed: &str) -> Sections {
        Sections {
            group: "svc",
            object: Some("web".into()),
            namespace: None,
            wants_rids: false,
            is_set: true,
            typed: typed.into(),
            given: vec![],
        }
    }

    fn words(asked: &Sections) -> Vec<String> {
        asked.words(&known()).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn a_keyword_is_that_of_its_section_and_driver() {
        assert_eq!(words(&asked("app#1.ki")), ["app#1.kill="]);
        // The type of this one is none that has it.
        assert_eq!(words(&asked("fs#data.mn")), [""; 0]);
        assert_eq!(words(&asked("orch")), ["orchestrate="]);
        assert_eq!(words(&asked("app#")), ["app#1.", "app#2.", "app#"]);
        let told = asked("app#1.restart").words(&known());
        let (word, text) = &told[0];
        assert!(word == "app#1.restart=" && text.starts_with("how often"), "{told:?}");
        let read = Sections { is_set: false, ..asked("app#1.ki") };
        assert_eq!(words(&read), ["app#1.kill"]);
    }

    #[test]
    fn a_value_is_one_that_the_keyword_takes() {
        assert_eq!(words(&asked("app#1.kill=")), ["app#1.kill=parent", "app#1.kill=tree"]);
        assert_eq!(words(&asked("app#1.kill@n2=t")), ["app#1.kill@n2=tree"]);
        assert_eq!(words(&asked("orchestrate=h")), ["orchestrate=ha"]);
        assert_eq!(words(&asked("app#1.monitor=")), ["app#1.monitor=true", "app#1.monitor=false"]);
        assert_eq!(words(&asked("app#3.type=s")), ["app#3.type=simple"]);
        assert_eq!(words(&asked("app#1.start=")), [""; 0]);
        let node = Sections { group: "node", object: None, ..asked("node.split_action=") };
        let all = ["crash", "reboot", "stop"].map(|value| format!("node.split_action={value}"));
        assert_eq!(words(&node), all);
    }

    #[test]
    fn what_the_line_sets_before_counts() {
        let given = vec!["fs#9.type=tmpfs".to_owned()];
        let asked = Sections { given, ..asked("fs#9.") };
        let words = words(&asked);
        assert!(words.contains(&"fs#9.mnt=".to_owned()), "{words:?}");
        assert!(!words.contains(&"fs#9.mkfs_opt=".to_owned()), "{words:?}");
    }

    #[test]
    fn resources_are_those_of_the_object() {
        let asked = |typed: &str| Sections { wants_rids: true, ..asked(typed) };
        assert_eq!(words(&asked("")), ["app#1", "app#2", "fs#data", "app", "fs"]);
        assert_eq!(words(&asked("app#1,f")), ["app#1,fs#data", "app#1,fs"]);
    }

    #[test]
    fn names_of_the_manual_are_completed() {
        let words = |typed: &str| {
            let words = of_doc(Book::Whole, typed).into_iter();
            words.map(|(word, _)| word).collect::<Vec<_>>()
        };
        assert_eq!(words("arb"), ["arbitrator"]);
        assert_eq!(words("app.restart_"), ["app.restart_delay", "app.restart_reset"]);
        assert_eq!(words("fs.use"), ["fs.user"]);
    }
}
