//! The mistakes of a whole document (config.md §10, validation).

use std::cell::Cell;
use std::collections::BTreeSet;

use crate::eval::{Doc, Evaluation, MAX_DOCUMENT_WORK};
use crate::keywords::{self, Lookup};
use crate::{Complaint, Context, Converter, EvalReason, Schedule, Severity};

/// All mistakes, in the order of the document.
pub(crate) fn validate(doc: Doc<'_>, ctx: &Context) -> Vec<Complaint> {
    let budget = Cell::new(MAX_DOCUMENT_WORK);
    let mut validator =
        Validator { doc, ctx, budget, drivers: BTreeSet::new(), complaints: vec![] };
    for section in doc.ini().sections().filter(|section| is_resource(doc, section)) {
        let (group, _) = keywords::group_of(section);
        let driver = keywords::table_driver(group, doc.driver(section).unwrap_or_default());
        validator.drivers.insert((group, driver));
    }
    for section in doc.ini().sections() {
        validator.section(section);
    }
    validator.complaints
}

struct Validator<'a> {
    doc: Doc<'a>,
    ctx: &'a Context,
    budget: Cell<usize>,
    /// Drivers in use: group and type.
    drivers: BTreeSet<(&'a str, &'a str)>,
    complaints: Vec<Complaint>,
}

impl Validator<'_> {
    fn complain(&mut self, severity: Severity, section: &str, keyword: &str, reason: &str) {
        let ini = self.doc.ini();
        let file = self.doc.file();
        let line = ini.line_of(section, keyword);
        self.complaints.push(Complaint {
            severity,
            file,
            line,
            section: section.into(),
            keyword: keyword.into(),
            reason: reason.into(),
        });
    }

    fn section(&mut self, section: &str) {
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
                let before = self.complaints.len();
                self.keyword(section, driver, keyword);
                let line = doc.ini().line_of(section, written);
                for complaint in &mut self.complaints[before..] {
                    complaint.line = line;
                }
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

    fn keyword(&mut self, section: &str, driver: Option<&str>, keyword: &str) {
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
                let is_known = self.drivers.iter().any(|(group, driver)| {
                    tables.find(&format!("{group}#"), Some(driver), keyword) != Lookup::Unknown
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
        match Evaluation::eval_within(self.doc, self.ctx, &self.budget, section, keyword) {
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
