//! The keywords as request `keywords` lists them. Keys are those of deployed agents, whose web page reads them; `unread` is ours.
//!
//! Part of the `impl` of [`Book`], in a file of its own for its subject.

use serde_json::{Map, Value, json};

use crate::keywords;
use crate::keywords::keyword::{Default, Fate, Inheritance, Keyword, group_of};
use crate::manual::{Book, Shelf};

/// Which of several scopes counts.
const SCOPES: &str = "specific > generic";

impl Book {
    /// All keywords, by section: those of each driver with its `type`.
    #[must_use]
    pub fn listed(self) -> Map<String, Value> {
        let sections =
            self.shelves().into_iter().map(|shelf| (shelf.group.to_owned(), shelf.listed()));
        sections
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(group, rows)| (group, rows.into()))
            .collect()
    }

    /// Those of a section (`app`, `app#1`), and of these the ones of that name. None where there are none.
    #[must_use]
    pub fn listed_in(
        self,
        section: Option<&str>,
        name: Option<&str>,
    ) -> Option<Map<String, Value>> {
        let mut sections = self.listed();
        if let Some(section) = section {
            sections.retain(|group, _| group == group_of(section).0);
        }
        if let Some(name) = name {
            for rows in sections.values_mut().filter_map(Value::as_array_mut) {
                rows.retain(|row| row["keyword"] == name);
            }
            sections.retain(|_, rows| rows.as_array().is_some_and(|rows| !rows.is_empty()));
        }
        Some(sections).filter(|sections| !sections.is_empty())
    }
}

impl Shelf {
    fn listed(self) -> Vec<Value> {
        if self.is_resource() {
            return self.of_each_driver();
        }
        let rows = self.rows().into_iter();
        rows.flat_map(|(drivers, keyword)| match &*drivers {
            [] => vec![described(keyword, None)],
            drivers => drivers.iter().map(|driver| described(keyword, Some(driver))).collect(),
        })
        .collect()
    }

    /// The keywords of a group of resources, of each driver all.
    fn of_each_driver(self) -> Vec<Value> {
        let drivers: Vec<&str> = keywords::known_drivers()
            .filter(|(group, _)| *group == self.group)
            .map(|(_, driver)| driver)
            .collect();
        if drivers.is_empty() {
            return vec![];
        }
        let mut rows = vec![json!({
            "keyword": "type",
            "at": true,
            "candidates": drivers,
            "convert": "string",
            "inheritance": "leaf",
            "scope_order": SCOPES,
            "text": "what kind of resource it is",
        })];
        for driver in drivers {
            let all = self.tables.all(self.group, Some(driver));
            rows.extend(all.iter().map(|row| described(row, Some(driver))));
        }
        rows
    }
}

/// A keyword, as deployed agents describe theirs: what is not said is absent.
fn described(keyword: &Keyword, driver: Option<&str>) -> Value {
    let mut row = json!({
        "keyword": keyword.name,
        "convert": keyword.converter.word(),
        "inheritance": match keyword.inheritance {
            Inheritance::LeafThenHead => "leaf > head",
            Inheritance::Leaf => "leaf",
            Inheritance::Head => "head",
        },
        "scope_order": SCOPES,
        "text": keyword.text,
    });
    let default = match keyword.default {
        Default::Unset | Default::LocalNode => None,
        Default::Text(text) => Some(text.into()),
        Default::No => Some(false.into()),
    };
    let mut say = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            row[key] = value;
        }
    };
    say("type", driver.map(Into::into));
    say("default_text", default.clone());
    say("default", default);
    say("candidates", (!keyword.candidates.is_empty()).then(|| keyword.candidates.into()));
    say("required", keyword.is_required.then_some(true.into()));
    say("at", keyword.is_scopable.then_some(true.into()));
    say("unread", Some(unread(keyword.fate)).filter(|reason| !reason.is_null()));
    row
}

fn unread(fate: Fate) -> Value {
    match fate {
        Fate::Read | Fate::Partly(_) | Fate::Refused(_) => Value::Null,
        Fate::Describes => "it describes, and asks for nothing".into(),
        Fate::Unread(reason) => reason.into(),
    }
}
