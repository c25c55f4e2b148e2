//! The mistakes of a whole document (config.md §10, validation).

use std::collections::BTreeSet;

use crate::eval::{Doc, Evaluation};
use crate::keywords::{self, Lookup};
use crate::{Complaint, Context, Converter, EvalReason, Schedule, Severity};

/// All mistakes, in the order of the document.
pub(crate) fn validate(doc: Doc<'_>, ctx: &Context) -> Vec<Complaint> {
    let mut validator = Validator { doc, ctx, complaints: vec![] };
    let sections: Vec<&str> = doc.ini().sections().collect();
    for section in &sections {
        validator.section(section, &sections);
    }
    validator.complaints
}

struct Validator<'a> {
    doc: Doc<'a>,
    ctx: &'a Context,
    complaints: Vec<Complaint>,
}

impl Validator<'_> {
    fn complain(&mut self, severity: Severity, section: &str, keyword: &str, reason: &str) {
        let (file, line) = self.doc.place(section, keyword);
        self.complaints.push(Complaint {
            severity,
            file,
            line,
            section: section.into(),
            keyword: keyword.into(),
            reason: reason.into(),
        });
    }

    fn section(&mut self, section: &str, all: &[&str]) {
        let (doc, tables) = (self.doc, self.doc.tables());
        if !tables.knows_section(section) {
            self.complain(Severity::Warning, section, "", "unknown section");
            return;
        }
        let driver = doc.driver(section);
        let (group, _) = keywords::group_of(section);
        match driver {
            Some(driver) if section != "DEFAULT" && !tables.knows_driver(group, driver) => {
                let is_subset = group == "subset";
                if !is_subset {
                    let reason = format!("unknown driver {group}.{driver}");
                    self.complain(Severity::Error, section, "type", &reason);
                    return;
                }
            }
            None if is_resource(doc, section) && keywords::needs_type(section) => {
                self.complain(Severity::Error, section, "type", "required, and not set");
                return;
            }
            _ => {}
        }

        let mut seen = BTreeSet::new();
        for (written, _) in doc.ini().keywords(section) {
            let keyword = written.split_once('@').map_or(written, |(keyword, _)| keyword);
            if seen.insert(keyword) {
                self.keyword(section, driver, keyword, all);
            }
        }
        if section != "DEFAULT" && section != "sync#i0" {
            for keyword in tables.all(section, driver) {
                let is_missing = keyword.is_required && !seen.contains(keyword.name);
                if is_missing && keyword.name != "type" {
                    self.evaluate(section, keyword.name, &[], keyword.converter);
                } else if is_missing && doc.get(section, "type").is_none() {
                    self.complain(Severity::Error, section, "type", "required, and not set");
                }
            }
        }
    }

    fn keyword(&mut self, section: &str, driver: Option<&str>, keyword: &str, all: &[&str]) {
        let tables = self.doc.tables();
        match tables.find(section, driver, keyword) {
            Lookup::Known(definition) => {
                self.evaluate(section, keyword, definition.candidates, definition.converter);
            }
            Lookup::Free => self.evaluate(section, keyword, &[], Converter::Text),
            Lookup::Unknown if section == "DEFAULT" => {
                if let Some(new) = keywords::renamed(keyword) {
                    let reason = format!("deprecated, the name is {new}");
                    self.complain(Severity::Warning, section, keyword, &reason);
                    return;
                }
                let is_known = all.iter().any(|other| {
                    *other != "DEFAULT"
                        && is_resource(self.doc, other)
                        && tables.find(other, self.doc.driver(other), keyword) != Lookup::Unknown
                });
                if !is_known {
                    self.complain(Severity::Warning, section, keyword, "unknown keyword");
                }
            }
            Lookup::Unknown => {
                self.complain(Severity::Warning, section, keyword, "unknown keyword");
            }
        }
    }

    fn evaluate(
        &mut self,
        section: &str,
        keyword: &str,
        candidates: &[&str],
        converter: Converter,
    ) {
        match Evaluation::new(self.doc, self.ctx).eval(section, keyword, false) {
            Ok(found) => {
                let text = found.value.to_string();
                if found.is_set && !candidates.is_empty() && !candidates.contains(&text.as_str()) {
                    let reason = format!("{text:?} is not one of {}", candidates.join(", "));
                    self.complain(Severity::Error, section, keyword, &reason);
                }
                if found.is_set
                    && (keyword == "schedule" || keyword.ends_with("_schedule"))
                    && let Err(error) = Schedule::parse(&text)
                {
                    self.complain(Severity::Warning, section, keyword, &error.to_string());
                }
            }
            Err(error) => {
                // Deployed agents do not count a malformed duration: neither may the exit code.
                let is_duration = matches!(
                    converter,
                    Converter::Duration | Converter::DurationMinutes | Converter::DurationDays
                ) && matches!(error.reason, EvalReason::Value { .. });
                let severity = if is_duration { Severity::Notice } else { Severity::Error };
                self.complain(severity, section, keyword, &error.reason.to_string());
            }
        }
    }
}

fn is_resource(doc: Doc<'_>, section: &str) -> bool {
    matches!(doc, Doc::Object(conf) if conf.path().kind().has_instances())
        && section.contains('#')
        && keywords::is_resource_group(keywords::group_of(section).0)
}
