//! A keyword: what it holds, where it is looked for, and what becomes of it.

use crate::convert::Converter;

/// Value of a keyword that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Default {
    /// Null, converted.
    Unset,
    /// A text, its references replaced, converted.
    Text(&'static str),
    /// A boolean where the keyword holds a text otherwise.
    No,
    /// The local node.
    LocalNode,
}

/// Where a keyword is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inheritance {
    /// Its section, then DEFAULT.
    LeafThenHead,
    /// Its section only.
    Leaf,
    /// DEFAULT only.
    Head,
}

/// What becomes of a keyword that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Somebody reads it: a test holds us to it.
    Read,
    /// It describes, and asks for nothing.
    Describes,
    /// It is read, and part of what it asks for is not done: that is told.
    Partly(&'static str),
    /// Nobody reads it: what is not done is told to who sets it.
    Unread(&'static str),
    /// What it asks for would be done wrong without it: it is a mistake to set it.
    Refused(&'static str),
}

/// A keyword of some section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keyword {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) converter: Converter,
    /// What it is when unset.
    pub(crate) default: Default,
    /// Whether `keyword@node` counts.
    pub(crate) is_scopable: bool,
    /// Where it is looked for.
    pub(crate) inheritance: Inheritance,
    /// Whether its section makes no sense without it.
    pub(crate) is_required: bool,
    /// The only values it may have; any when empty.
    pub(crate) candidates: &'static [&'static str],
    /// Name it is inherited under from DEFAULT; its own when none.
    pub(crate) default_keyword: Option<&'static str>,
    /// The least number that means anything.
    pub(crate) least: i64,
    /// Who does something about it.
    pub(crate) fate: Fate,
    /// What it does, for its reader: one clause, with its unit, and no dot at the end.
    pub(crate) text: &'static str,
}

/// A table of keywords. A row is the name, what the keyword is beside a text that may be unset, and its text:
/// `"port".to(Integer).or("1214").at(): "port that the daemon listens at";`
macro_rules! table {
    ($($name:literal $(.$set:ident($($arg:tt)*))* : $text:literal;)*) => {
        &[$($crate::keywords::keyword::kw($name, $text)$(.$set($($arg)*))*),*]
    };
}
pub(crate) use table;

pub(crate) const fn kw(name: &'static str, text: &'static str) -> Keyword {
    Keyword {
        name,
        text,
        converter: Converter::Text,
        default: Default::Unset,
        is_scopable: false,
        inheritance: Inheritance::LeafThenHead,
        is_required: false,
        candidates: &[],
        default_keyword: None,
        least: 0,
        fate: Fate::Read,
    }
}

impl Keyword {
    pub(crate) const fn to(mut self, converter: Converter) -> Self {
        self.converter = converter;
        self
    }

    pub(crate) const fn or(mut self, default: &'static str) -> Self {
        self.default = Default::Text(default);
        self
    }

    pub(crate) const fn or_no(mut self) -> Self {
        self.default = Default::No;
        self
    }

    pub(crate) const fn or_local_node(mut self) -> Self {
        self.default = Default::LocalNode;
        self
    }

    /// Scopable, the `@` of the tables.
    pub(crate) const fn at(mut self) -> Self {
        self.is_scopable = true;
        self
    }

    pub(crate) const fn head(mut self) -> Self {
        self.inheritance = Inheritance::Head;
        self
    }

    pub(crate) const fn leaf(mut self) -> Self {
        self.inheritance = Inheritance::Leaf;
        self
    }

    pub(crate) const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    pub(crate) const fn one_of(mut self, candidates: &'static [&'static str]) -> Self {
        self.candidates = candidates;
        self
    }

    pub(crate) const fn from(mut self, least: i64) -> Self {
        self.least = least;
        self
    }

    pub(crate) const fn describes(mut self) -> Self {
        self.fate = Fate::Describes;
        self
    }

    pub(crate) const fn partly(mut self, reason: &'static str) -> Self {
        self.fate = Fate::Partly(reason);
        self
    }

    pub(crate) const fn unread(mut self, reason: &'static str) -> Self {
        self.fate = Fate::Unread(reason);
        self
    }

    pub(crate) const fn refused(mut self, reason: &'static str) -> Self {
        self.fate = Fate::Refused(reason);
        self
    }

    pub(crate) const fn inherits(mut self, keyword: &'static str) -> Self {
        self.default_keyword = Some(keyword);
        self
    }

    /// What it is when unset, for a reader; none when it is nothing then.
    pub(crate) fn usual(&self) -> Option<&'static str> {
        match self.default {
            Default::Text("") => None,
            Default::Text(text) => Some(text),
            Default::No => Some("false"),
            Default::LocalNode => Some("this node"),
            Default::Unset if self.converter == Converter::Boolean => Some("false"),
            Default::Unset => None,
        }
    }

    /// The answer to a name that is nearly this one: `did you mean restart? (integer, default 0: how often ..)`.
    pub(crate) fn meant(&self) -> String {
        let words: Vec<&str> = self.candidates.iter().copied().filter(|w| !w.is_empty()).collect();
        let holds = match words.len() {
            2..=MOST_SHOWN => words.join("|"),
            _ => self.converter.noun().to_owned(),
        };
        let usual = match (self.is_required, self.usual()) {
            (true, _) => ", required".to_owned(),
            (false, Some(usual)) => format!(", default {usual}"),
            (false, None) => String::new(),
        };
        format!("did you mean {}? ({holds}{usual}: {})", self.name, self.text)
    }
}

/// The most values that an answer lists.
const MOST_SHOWN: usize = 6;

/// The keyword whose name is nearest to a word that is none, if one is near.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k Keyword]) -> Option<&'k Keyword> {
    let name = model::nearest(word, known.iter().map(|keyword| keyword.name))?;
    known.iter().copied().find(|keyword| keyword.name == name)
}

/// Environments, for `DEFAULT.env` and `node.env`.
pub(crate) const ENVIRONMENTS: &[&str] = &[
    "CERT", "DEV", "DRP", "FOR", "INT", "MUS", "POC", "PRA", "PRD", "PRJ", "PPR", "PPRD", "QUAL",
    "RCT", "REC", "STG", "TMP", "TST", "UAT",
];

/// What is known of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It is in the tables.
    Known(&'static Keyword),
    /// Its section takes any keyword: free-form, or a driver of the field that has no table here.
    Free,
    /// Nothing reads it.
    Unknown,
}

/// Deprecated section prefixes that are a disk of that type.
const DISK_PREFIXES: [&str; 12] =
    ["drbd", "vdisk", "vmdg", "pool", "zpool", "loop", "md", "zvol", "lv", "raw", "vxdg", "vxvol"];

/// Group of a section of an object, and the type its prefix implies.
pub(crate) fn group_of(section: &str) -> (&str, Option<&'static str>) {
    let prefix = section.split_once('#').map_or(section, |(prefix, _)| prefix);
    let old = DISK_PREFIXES.into_iter().find(|old| *old == prefix && section.contains('#'));
    match old {
        Some("pool") => ("disk", Some("zpool")),
        Some(old) => ("disk", Some(old)),
        None => (prefix, None),
    }
}

/// A keyword without its scope.
pub(crate) fn base(written: &str) -> &str {
    written.split_once('@').map_or(written, |(keyword, _)| keyword)
}
