//! The mistakes of a whole document: the one judge of `create`, `set`, `edit config`, `validate config` and the daemon.

use std::cell::Cell;
use std::collections::BTreeSet;

use model::{Kind, nearest};

use crate::complaint::{Complaint, Severity, UNREAD};
use crate::context::Context;
use crate::convert::Converter;
use crate::doc::Doc;
use crate::eval::error::EvalReason;
use crate::eval::{Evaluation, MAX_DOCUMENT_WORK, references};
use crate::keywords;
use crate::keywords::keyword;
use crate::keywords::keyword::{Fate, Keyword, Lookup, base};
use crate::value::Value;

mod document;
mod values;
pub(crate) mod volumes;

/// All mistakes, in the order of the document.
pub(crate) fn validate(doc: Doc<'_>, ctx: &Context) -> Vec<Complaint> {
    let budget = Cell::new(MAX_DOCUMENT_WORK);
    let mut validator =
        Validator { doc, ctx, budget, drivers: BTreeSet::new(), complaints: vec![] };
    for section in doc.ini().sections().filter(|section| is_resource(doc, section)) {
        let (group, _) = keyword::group_of(section);
        let driver = keywords::table_driver(group, doc.driver(section).unwrap_or_default());
        validator.drivers.insert((group, driver));
    }
    for section in doc.ini().sections() {
        validator.section(section);
    }
    validator.document();
    validator.complaints.sort_by_key(|complaint| complaint.line);
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

impl<'a> Validator<'a> {
    /// Complains about a keyword where it stands, or where the first of its scopes does.
    fn complain(&mut self, severity: Severity, section: &str, keyword: &str, reason: &str) {
        let ini = self.doc.ini();
        let line = match ini.get(section, keyword) {
            Some(_) => ini.line_of(section, keyword),
            None => {
                let written = self.written(section, keyword).next();
                ini.line_of(section, written.map_or(keyword, |(written, _)| written))
            }
        };
        self.complain_at(severity, line, section, keyword, reason);
    }

    fn complain_at(
        &mut self,
        severity: Severity,
        line: usize,
        section: &str,
        keyword: &str,
        reason: &str,
    ) {
        self.complaints.push(Complaint {
            severity,
            file: self.doc.file(),
            line,
            section: section.into(),
            keyword: keyword.into(),
            reason: reason.into(),
        });
    }

    /// A keyword and its scopes as they are written, with their texts.
    fn written(&self, section: &str, keyword: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let doc: Doc<'a> = self.doc;
        let all = doc.ini().keywords(section);
        all.filter(move |(written, _)| base(written) == keyword)
    }

    fn section(&mut self, section: &str) {
        let (doc, tables) = (self.doc, self.doc.tables());
        if !tables.knows_section(section) {
            let reason = match keywords::section_near(tables, section) {
                Some(near) => format!("unknown section: did you mean [{near}]?"),
                None => "unknown section".to_owned(),
            };
            self.complain(Severity::Warning, section, "", &reason);
            return;
        }
        let driver = doc.driver(section);
        if !self.driver(section, driver) {
            return;
        }
        if let Some(reason) = keywords::unread_section(tables, section) {
            let reason = format!("{UNREAD}{reason}");
            self.complain(Severity::Warning, section, "", &reason);
        }
        let mut seen = BTreeSet::new();
        for (written, _) in doc.ini().keywords(section) {
            let keyword = base(written);
            if seen.insert(keyword) {
                self.keyword(section, driver, keyword);
                self.references(section, keyword);
            }
        }
        self.unwatched(section, driver);
        self.left_behind(section);
        if section != "DEFAULT" && section != "sync#i0" {
            for keyword in tables.all(section, driver) {
                let is_missing = keyword.is_required && !seen.contains(keyword.name);
                if is_missing && keyword.name != "type" {
                    self.evaluate(section, keyword.name, Some(keyword));
                } else if is_missing && doc.get(section, "type").is_none() {
                    self.complain(Severity::Error, section, "type", "required, and not set");
                }
            }
        }
    }

    /// Judges the type of a section; false when nothing else of it can be judged.
    fn driver(&mut self, section: &str, driver: Option<&str>) -> bool {
        let (doc, tables) = (self.doc, self.doc.tables());
        let (group, _) = keyword::group_of(section);
        match driver {
            Some(driver)
                if section != "DEFAULT"
                    && group != "subset"
                    && !tables.knows_driver(group, driver) =>
            {
                self.complain(Severity::Error, section, "type", &unknown_driver(group, driver));
                return false;
            }
            Some(driver) if is_resource(doc, section) && section != "sync#i0" => {
                if let Some(reason) = keywords::unknown_mount(group, driver) {
                    self.complain(Severity::Mistake, section, "type", &reason);
                } else if !keywords::has_driver(group, driver) {
                    // It is shown and left alone: good on a node that has it.
                    let reason = format!("this agent has no driver {group}.{driver}");
                    self.complain(Severity::Warning, section, "type", &reason);
                }
            }
            None if is_resource(doc, section) && keywords::needs_type(section) => {
                self.complain(Severity::Error, section, "type", "required, and not set");
                return false;
            }
            _ => {}
        }
        true
    }

    fn keyword(&mut self, section: &str, driver: Option<&str>, keyword: &str) {
        let tables = self.doc.tables();
        if section == "DEFAULT" && is_cluster(self.doc) && keywords::meant_in_cluster(keyword) {
            let reason = format!("not read here: cluster.{keyword} is meant");
            self.complain(Severity::Warning, section, keyword, &reason);
            return;
        }
        match tables.find(section, driver, keyword) {
            Lookup::Known(definition) => {
                self.evaluate(section, keyword, Some(definition));
                self.scopes(section, definition.name, definition);
                self.unread(section, definition);
            }
            Lookup::Free => {
                self.evaluate(section, keyword, None);
                self.mistyped(section, driver, keyword);
            }
            Lookup::Unknown if section == "DEFAULT" => {
                if let Some(new) = keywords::renamed(keyword) {
                    let reason = format!("deprecated, the name is {new}");
                    self.complain(Severity::Warning, section, keyword, &reason);
                    self.older(section, driver, keyword, new);
                    return;
                }
                let of_driver = self.drivers.iter().find_map(|(group, driver)| {
                    let section = format!("{group}#");
                    match tables.find(&section, Some(driver), keyword) {
                        Lookup::Unknown => None,
                        Lookup::Free => Some(None),
                        Lookup::Known(definition) => Some(Some(definition)),
                    }
                });
                match of_driver {
                    None => self.unknown(section, driver, keyword),
                    // It is evaluated where it is inherited: here, as it is written.
                    Some(Some(definition)) => {
                        self.plain_texts(section, definition.name, definition, None);
                        self.scopes(section, definition.name, definition);
                    }
                    Some(None) => {}
                }
            }
            Lookup::Unknown => {
                let Some(new) = keywords::renamed_in(section, driver, keyword) else {
                    self.unknown(section, driver, keyword);
                    return;
                };
                let reason = format!("the name is {new} now");
                self.complain(Severity::Notice, section, keyword, &reason);
                self.older(section, driver, keyword, new);
            }
        }
    }

    /// Judges a keyword that is written under an older name.
    fn older(&mut self, section: &str, driver: Option<&str>, keyword: &str, new: &str) {
        if let Lookup::Known(new) = self.doc.tables().find(section, driver, new) {
            self.plain_texts(section, keyword, new, None);
            self.scopes(section, keyword, new);
            self.unread(section, new);
        }
    }

    /// Tells of a keyword that is nearly one that all drivers of its group have, where the driver has no table here.
    fn mistyped(&mut self, section: &str, driver: Option<&str>, keyword: &str) {
        let tables = self.doc.tables();
        let (group, _) = keyword::group_of(section);
        let mut known = tables.all(section, driver);
        if group == "fs" {
            known.extend(tables.all(section, Some("ext4")));
        }
        let is_known = known.iter().any(|known| known.name == keyword);
        if !is_resource(self.doc, section) || is_known {
            return;
        }
        if let Some(near) = keyword::nearest(keyword, &known) {
            self.complain(Severity::Warning, section, keyword, &near.meant());
        }
    }

    /// A keyword that nobody reads, with the one that was probably meant.
    fn unknown(&mut self, section: &str, driver: Option<&str>, keyword: &str) {
        let tables = self.doc.tables();
        let mut known = tables.all(section, driver);
        if section == "DEFAULT" {
            let of_drivers = self.drivers.iter();
            known.extend(of_drivers.flat_map(|(group, driver)| {
                tables.all(&format!("{group}#"), Some(driver)).into_iter()
            }));
        }
        let reason = EvalReason::unknown(keyword, &known).to_string();
        self.complain(Severity::Warning, section, keyword, &reason);
    }

    /// Tells of an app that nobody can see: its state is n/a, and nothing starts what may be up already.
    fn unwatched(&mut self, section: &str, driver: Option<&str>) {
        let (group, _) = keyword::group_of(section);
        if group != "app" || driver != Some("forking") || !is_resource(self.doc, section) {
            return;
        }
        let ini = self.doc.ini();
        // As written: what a reference leads to is a command, or a mistake of its own.
        let says = |section: &str, keyword: &str| {
            ini.keywords(section).any(|(written, text)| {
                let text = text.trim().to_ascii_lowercase();
                let is_no = ["", "false", "no", "n", "f", "none"].contains(&text.as_str());
                base(written) == keyword && !is_no
            })
        };
        if says(section, "start") && !says(section, "check") && !says("DEFAULT", "check") {
            let reason = "a forking app without check is n/a, and a service of nothing else is \
                          never started by itself: give it a check, a command that exits 0 while it runs";
            // Deployed agents say nothing of it, and their count of warnings is what scripts look at.
            self.complain(Severity::Notice, section, "start", reason);
        }
    }

    /// Tells of references that do not become what they look like.
    fn references(&mut self, section: &str, keyword: &str) {
        if !matches!(section, "DEFAULT" | "env") && !section.contains('#') {
            return;
        }
        let (doc, ctx) = (self.doc, self.ctx);
        let mut reasons = BTreeSet::new();
        for (written, raw) in self.written(section, keyword) {
            let line = doc.ini().line_of(section, written);
            let is_object = matches!(doc, Doc::Object(_)) && !is_cluster(doc);
            let left_out = references::left_out_of_dnsnodes(&ctx.node);
            if is_object && raw.contains("dnsnodes}") && !left_out.is_empty() {
                let words = left_out.join(" ");
                let reason = format!(
                    "{{dnsnodes}} leaves out {words} of cluster.dns: no name of a cluster node"
                );
                reasons.insert((Severity::Warning, line, reason));
            }
            let place = match section {
                "env" => references::Place::Env,
                _ if values::is_command(keyword) => references::Place::Command,
                _ => references::Place::Value,
            };
            for (reference, near) in references::unresolved(doc, ctx, section, raw, place) {
                let group = reference[1..].split('.').next().unwrap_or_default();
                let is_missing = group.contains('#') && !doc.ini().has_section(group);
                let advice = match near {
                    Some(near) => format!(": did you mean {near}?"),
                    None if is_missing => format!(": there is no section {group}"),
                    None if reference.starts_with("{volume#") => {
                        ": the mount point of a volume is `mount_point`".to_owned()
                    }
                    None if reference.ends_with(".ipaddr}") => {
                        ": the address of an ip is `ipname`".to_owned()
                    }
                    None => String::new(),
                };
                let text = format!("{reference} resolves to nothing, and stays as it is{advice}");
                reasons.insert((Severity::Mistake, line, text));
            }
        }
        for (severity, line, reason) in reasons {
            self.complain_at(severity, line, section, keyword, &reason);
        }
    }

    /// Tells of a keyword that asks for something, and that nobody reads.
    fn unread(&mut self, section: &str, definition: &Keyword) {
        let (severity, how, reason) = match definition.fate {
            Fate::Read | Fate::Describes => return,
            Fate::Partly(reason) => (Severity::Warning, "read in part: ", reason),
            Fate::Unread(reason) => (Severity::Warning, UNREAD, reason),
            Fate::Refused(reason) => (Severity::Error, UNREAD, reason),
        };
        let found =
            Evaluation::eval_within(self.doc, self.ctx, &self.budget, section, definition.name);
        let Ok(found) = found else { return };
        // What is set to do nothing asks for nothing, nor does the usual.
        let text = found.value.to_string();
        let is_usual = matches!(definition.default, keyword::Default::Text(usual) if usual == text);
        let asks = found.is_set
            && !is_usual
            && !matches!(&found.value, Value::Null | Value::Bool(false) | Value::Integer(0))
            && !text.is_empty();
        if asks {
            self.complain(severity, section, definition.name, &format!("{how}{reason}"));
        }
    }

    /// Judges a keyword as the local node sees it, then what only other nodes see.
    fn evaluate(&mut self, section: &str, keyword: &str, definition: Option<&Keyword>) {
        let seen = Evaluation::eval_both_within(self.doc, self.ctx, &self.budget, section, keyword);
        let local = match &seen {
            Ok((found, _)) if !found.is_set => None,
            Ok((found, written)) => {
                self.judge(section, keyword, None, definition, &found.value, written);
                Some(written.as_str())
            }
            Err(error) => {
                let converter = definition.map_or(Converter::Text, |keyword| keyword.converter);
                let severity = self.severity_of(converter, &error.reason);
                self.complain(severity, section, keyword, &error.reason.to_string());
                match &error.reason {
                    EvalReason::Value { value, .. } => Some(&**value),
                    _ => None,
                }
            }
        };
        if let Some(definition) = definition {
            self.plain_texts(section, definition.name, definition, local);
        }
    }

    /// Judges a keyword and its scopes as they are written, but for the text that the local node has of it, and for those
    /// that are evaluated first.
    fn plain_texts(
        &mut self,
        section: &str,
        name: &str,
        definition: &Keyword,
        local: Option<&str>,
    ) {
        let texts: Vec<(&str, &str)> = self.written(section, name).collect();
        for (written, text) in texts {
            let is_read = definition.is_scopable || !written.contains('@');
            if !is_read || text.contains('{') || text.contains("$(") || local == Some(text) {
                continue;
            }
            let line = self.doc.ini().line_of(section, written);
            let value = match definition.converter {
                Converter::Nodes => Ok(Value::List(self.ctx.node_selector().expand(text))),
                converter => converter.convert(Value::Text(text.into())),
            };
            match value {
                Ok(value) => {
                    self.judge(section, written, Some(line), Some(definition), &value, text);
                }
                Err(expected) => {
                    let reason =
                        EvalReason::Value { value: text.into(), expected: expected.into() };
                    let severity = self.severity_of(definition.converter, &reason);
                    self.complain_at(severity, line, section, written, &reason.to_string());
                }
            }
        }
    }

    fn judge(
        &mut self,
        section: &str,
        keyword: &str,
        line: Option<usize>,
        definition: Option<&Keyword>,
        value: &Value,
        written: &str,
    ) {
        // The local node may read a scope: the same line is judged alike on all nodes.
        let is_plain =
            self.doc.ini().get(section, base(keyword)).is_some_and(|text| text == written);
        let is_scoped = keyword.contains('@') || (line.is_none() && !is_plain);
        let mut faults = values::faults(definition, keyword, is_scoped, value, written);
        faults.extend(self.named(section, base(keyword), definition, value, written));
        for (severity, reason) in faults {
            let severity = match severity {
                values::Fault::Sure(severity) => severity,
                values::Fault::Tolerated => self.tolerated(),
            };
            match line {
                Some(line) => self.complain_at(severity, line, section, keyword, &reason),
                None => self.complain(severity, section, keyword, &reason),
            }
        }
    }

    /// How bad is a value that does not evaluate: deployed agents do not count a malformed duration.
    fn severity_of(&self, converter: Converter, reason: &EvalReason) -> Severity {
        let is_duration = matches!(
            converter,
            Converter::Duration | Converter::DurationMinutes | Converter::DurationDays
        ) && matches!(reason, EvalReason::Value { .. });
        if is_duration { self.tolerated() } else { Severity::Error }
    }

    /// How bad is what deployed agents read as something else than it says. Their numbers are what objects are shared by;
    /// those of the node are ours to judge, and decide whether it is reached and when it gives up a peer.
    fn tolerated(&self) -> Severity {
        if is_node(self.doc) { Severity::Error } else { Severity::Mistake }
    }
}

fn unknown_driver(group: &str, driver: &str) -> String {
    let known = keywords::drivers_of(group);
    match nearest(driver, known.iter().copied()) {
        Some(near) => format!(
            "unknown driver {group}.{driver}: did you mean {near}? The drivers of {group} are {}",
            known.join(", ")
        ),
        None => format!(
            "unknown driver {group}.{driver}: the drivers of {group} are {}",
            known.join(", ")
        ),
    }
}

/// Whether this is about the node: node.conf or cluster.conf.
fn is_node(doc: Doc<'_>) -> bool {
    matches!(doc, Doc::Node(_)) || is_cluster(doc)
}

/// Whether this is cluster.conf.
fn is_cluster(doc: Doc<'_>) -> bool {
    matches!(doc, Doc::Object(conf) if conf.path().kind() == Kind::Ccfg)
}

fn is_resource(doc: Doc<'_>, section: &str) -> bool {
    matches!(doc, Doc::Object(conf) if conf.path().kind().has_instances())
        && section.contains('#')
        && keywords::is_resource_group(keyword::group_of(section).0)
}

#[cfg(test)]
mod tests;
