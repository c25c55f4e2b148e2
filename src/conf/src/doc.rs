//! A document as evaluations see it: that of an object, or those of the node.

use model::NodeName;

use crate::ini::Ini;
use crate::keywords::{Tables, keyword};
use crate::node::NodeConf;
use crate::object::ObjectConf;

/// A document being evaluated.
#[derive(Clone, Copy)]
pub(crate) enum Doc<'a> {
    Object(&'a ObjectConf),
    Node(&'a NodeConf),
}

impl<'a> Doc<'a> {
    pub(crate) fn get(self, section: &str, keyword: &str) -> Option<&'a str> {
        match self {
            Self::Object(conf) => conf.ini().get(section, keyword),
            Self::Node(conf) => {
                conf.node.get(section, keyword).or_else(|| conf.cluster.ini().get(section, keyword))
            }
        }
    }

    pub(crate) fn tables(self) -> Tables {
        match self {
            Self::Object(conf) => Tables::Object(conf.path().kind()),
            Self::Node(_) => Tables::Node,
        }
    }

    /// The file written to.
    pub(crate) fn ini(self) -> &'a Ini {
        match self {
            Self::Object(conf) => conf.ini(),
            Self::Node(conf) => &conf.node,
        }
    }

    /// Name of the file written to, below `<etc>`.
    pub(crate) fn file(self) -> String {
        match self {
            Self::Object(conf) => conf.path().config_file(),
            Self::Node(_) => "node.conf".into(),
        }
    }

    /// File and line of a keyword, of any of its scopes, or of its section.
    pub(crate) fn place(self, section: &str, keyword: &str) -> (String, usize) {
        let line = |ini: &Ini| {
            let is_scope = |(written, _): &(&str, &str)| {
                written.split_once('@').is_some_and(|(name, _)| name == keyword)
            };
            let written = match ini.get(section, keyword) {
                Some(_) => None,
                None => ini.keywords(section).find(is_scope),
            };
            ini.line_of(section, written.map_or(keyword, |(written, _)| written))
        };
        match self {
            Self::Object(conf) => (conf.path().config_file(), line(conf.ini())),
            Self::Node(conf) if conf.node.get(section, keyword).is_none() => {
                let cluster = conf.cluster.ini();
                if cluster.get(section, keyword).is_some() || !conf.node.has_section(section) {
                    ("cluster.conf".into(), line(cluster))
                } else {
                    ("node.conf".into(), line(&conf.node))
                }
            }
            Self::Node(conf) => ("node.conf".into(), line(&conf.node)),
        }
    }

    /// The value of a keyword that is scoped by the name of a node. Names of nodes have no case.
    pub(crate) fn of_node(self, section: &str, keyword: &str, node: &NodeName) -> Option<&'a str> {
        let is_scoped = |written: &str| {
            written.split_once('@').is_some_and(|(name, scope)| {
                name == keyword && scope.eq_ignore_ascii_case(node.as_str())
            })
        };
        let of = |ini: &'a Ini| {
            let as_it_is = ini.get(section, &format!("{keyword}@{node}"));
            as_it_is.or_else(|| {
                ini.keywords(section).find(|(written, _)| is_scoped(written)).map(|(_, raw)| raw)
            })
        };
        match self {
            Self::Object(conf) => of(conf.ini()),
            Self::Node(conf) => of(&conf.node).or_else(|| of(conf.cluster.ini())),
        }
    }

    /// Type of a section: as written, as its prefix says, or the default of its group.
    pub(crate) fn driver(self, section: &str) -> Option<&'a str> {
        if section == "DEFAULT" {
            return None;
        }
        let (group, implied) = keyword::group_of(section);
        self.get(section, "type")
            .or(implied)
            .or_else(|| self.tables().default_type(group))
            .filter(|driver| !driver.is_empty())
    }
}
