//! What is wrong with a document as a whole, and with what it names: nodes, objects, resources.
//!
//! Part of the `impl` of [`Validator`], in a file of its own for its length.

use std::collections::BTreeSet;

use model::{NodeName, ObjectPath, nearest, resolve_path, validate_object_name};

use crate::complaint::Severity;
use crate::convert::Converter;
use crate::doc::Doc;
use crate::eval::Evaluation;
use crate::keywords::cluster::POOL_TYPES;
use crate::keywords::keyword::Keyword;
use crate::validate::values::Fault;
use crate::validate::{Validator, is_cluster, is_node};
use crate::value::Value;

/// Words that are scopes of an object without being nodes.
const SCOPES: [&str; 5] = ["nodes", "drpnodes", "encapnodes", "flex_primary", "drp_flex_primary"];

/// The type of a pool that a volume is to be made of.
fn pool_type(value: &Value) -> Vec<(Fault, String)> {
    let text = value.to_string();
    if text.is_empty() || POOL_TYPES.contains(&text.as_str()) {
        return vec![];
    }
    let known = POOL_TYPES.join(", ");
    let reason = match nearest(&text, POOL_TYPES.iter().copied()) {
        Some(near) => format!("{text:?} is no type of pool: did you mean {near}? They are {known}"),
        None => format!("{text:?} is no type of pool: they are {known}"),
    };
    vec![(MISTAKE, reason)]
}

const MISTAKE: Fault = Fault::Sure(Severity::Mistake);

impl Validator<'_> {
    /// Judges what no single section tells.
    pub(super) fn document(&mut self) {
        let doubled = self.doc.ini().doubled().to_vec();
        for each in doubled {
            let reason = match &*each.keyword {
                "" => "it stands twice: both are read as one",
                _ => "it stands twice: the last one counts",
            };
            let (section, keyword) = (&each.section, &each.keyword);
            self.complain_at(Severity::Mistake, each.line, section, keyword, reason);
        }
        let Doc::Object(conf) = self.doc else { return };
        if let Err(error) = validate_object_name(conf.path().as_str()) {
            self.complain_at(Severity::Mistake, 0, "", "", &error.to_string());
        }
        if conf.path().kind().has_instances() {
            self.flex();
        }
    }

    /// Numbers of instances that exclude each other.
    fn flex(&mut self) {
        let number = |keyword: &str| {
            let found =
                Evaluation::eval_within(self.doc, self.ctx, &self.budget, "DEFAULT", keyword);
            found.ok().filter(|found| found.is_set).and_then(|found| match found.value {
                Value::Integer(number) => Some(number),
                _ => None,
            })
        };
        let [min, max, target] = ["flex_min", "flex_max", "flex_target"].map(number);
        let least = min.unwrap_or(1);
        match max {
            Some(0) if least > 0 => {
                let reason = format!("0 is less than flex_min: {least} is meant");
                self.complain(Severity::Notice, "DEFAULT", "flex_max", &reason);
            }
            Some(max) if (0..least).contains(&max) => {
                let reason = format!("{max} is less than flex_min, {least}");
                self.complain(Severity::Mistake, "DEFAULT", "flex_max", &reason);
            }
            _ => {}
        }
        let above = max.filter(|max| *max >= least);
        if let (Some(target), Some(max)) = (target, above)
            && target > max
        {
            let reason = format!("{target} is more than flex_max, {max}");
            self.complain(Severity::Notice, "DEFAULT", "flex_target", &reason);
        }
    }

    /// Judges what stands after the `@` of a keyword.
    pub(super) fn scopes(&mut self, section: &str, name: &str, definition: &Keyword) {
        let doc = self.doc;
        let written = self.written(section, name);
        let scoped: Vec<(&str, &str)> = written
            .filter_map(|(written, _)| Some((written, written.split_once('@')?.1)))
            .collect();
        if scoped.is_empty() {
            return;
        }
        let known = self.scope_words();
        for (written, scope) in scoped {
            let line = doc.ini().line_of(section, written);
            if !definition.is_scopable {
                let reason = format!("not read: {} has no scopes", definition.name);
                self.complain_at(Severity::Notice, line, section, written, &reason);
            } else if !known.contains(&scope.to_lowercase()) {
                let reason = self.no_node(scope, known.iter().map(String::as_str));
                // Those of the cluster are often written before the node joins.
                let severity = if is_node(doc) { Severity::Notice } else { Severity::Mistake };
                self.complain_at(severity, line, section, written, &reason);
            }
        }
    }

    /// All that may stand after an `@`.
    fn scope_words(&self) -> BTreeSet<String> {
        let node = &self.ctx.node;
        let mut words: BTreeSet<String> =
            node.cluster_nodes().iter().chain(node.cluster_drpnodes()).map(text_of).collect();
        if is_node(self.doc) {
            words.extend(SCOPES[..2].iter().map(|word| (*word).to_owned()));
            words.insert(node.nodename.to_string());
            return words;
        }
        words.extend(SCOPES.map(str::to_owned));
        for keyword in ["nodes", "drpnodes", "drpnode", "encapnodes"] {
            words.extend(self.words("DEFAULT", keyword).iter().map(|word| word.to_lowercase()));
        }
        words
    }

    /// Words of a keyword; none when it can not be evaluated.
    fn words(&self, section: &str, keyword: &str) -> Vec<String> {
        let found = Evaluation::eval_within(self.doc, self.ctx, &self.budget, section, keyword);
        found.map(|found| found.value.words()).unwrap_or_default()
    }

    fn no_node<'w>(&self, word: &str, known: impl Iterator<Item = &'w str>) -> String {
        let members: Vec<String> = self.ctx.node.cluster_nodes().iter().map(text_of).collect();
        let word: String = word.chars().take(80).collect();
        match nearest(&word, known) {
            Some(near) => format!("{word} is no node of the cluster: did you mean {near}?"),
            None => {
                format!("{word} is no node of the cluster: its nodes are {}", members.join(", "))
            }
        }
    }

    /// Judges the nodes, objects and resources that a value names.
    pub(super) fn named(
        &self,
        section: &str,
        keyword: &str,
        definition: Option<&Keyword>,
        value: &Value,
        written: &str,
    ) -> Vec<(Fault, String)> {
        if is_cluster(self.doc) || definition.is_none() {
            return vec![];
        }
        let converter = definition.map_or(Converter::Text, |found| found.converter);
        if converter == Converter::Nodes {
            return self.selected(keyword, value, written);
        }
        if !matches!(self.doc, Doc::Object(_)) {
            return vec![];
        }
        match (section, keyword) {
            ("DEFAULT", "drpnodes" | "drpnode" | "encapnodes") => node_names(value),
            ("DEFAULT", "flex_primary") => self.one_of_nodes(value, "nodes"),
            ("DEFAULT", "drp_flex_primary") => self.one_of_nodes(value, "drpnodes"),
            ("DEFAULT", "parents" | "children" | "slaves") => self.objects(value, MISTAKE_OBJECT),
            (
                "DEFAULT",
                "hard_affinity" | "hard_anti_affinity" | "soft_affinity" | "soft_anti_affinity",
            ) => self.objects(value, Severity::Notice),
            ("DEFAULT", _) => vec![],
            (_, "type") if section.starts_with("volume#") => pool_type(value),
            (_, "always_on") => self.always_on(value),
            (_, "target") if section.starts_with("sync#") => targets(value),
            (_, "netns" | "ipcns" | "pidns" | "utsns" | "userns") => {
                self.resources(std::iter::once(written.trim()))
            }
            (_, "netmask") if section.starts_with("ip#") => self.netmask(section, written),
            (_, _) if keyword.ends_with("_requires") => {
                let mut faults = wrong_requirements(section, written);
                let words = requirements(written);
                faults.extend(self.resources(words.iter().map(|(rid, _)| *rid)));
                faults
            }
            _ => vec![],
        }
    }

    /// What a selector of nodes selects.
    fn selected(&self, keyword: &str, value: &Value, written: &str) -> Vec<(Fault, String)> {
        let short = || written.chars().take(80).collect::<String>();
        if let Some(fault) = self.ctx.node_selector().fault(written) {
            return vec![(Fault::Sure(Severity::Error), fault)];
        }
        let words = value.words();
        if words.is_empty() {
            let reason = format!("{:?} selects no node of the cluster", short());
            return vec![(Fault::Sure(Severity::Warning), reason)];
        }
        if keyword != "nodes" {
            return vec![];
        }
        let members: Vec<String> = self.ctx.node.cluster_nodes().iter().map(text_of).collect();
        let others = words.iter().filter(|word| !members.contains(&word.to_lowercase()));
        let reason = |word: &String| self.no_node(word, members.iter().map(String::as_str));
        others.map(|word| (MISTAKE, reason(word))).collect()
    }

    fn one_of_nodes(&self, value: &Value, keyword: &str) -> Vec<(Fault, String)> {
        let faults = node_names(value);
        if !faults.is_empty() {
            return faults;
        }
        let mut nodes = self.words("DEFAULT", keyword);
        if keyword == "drpnodes" {
            nodes.extend(self.words("DEFAULT", "drpnode"));
        }
        let others = value.words().into_iter().filter(|word| !nodes.contains(word));
        others.map(|word| (MISTAKE, format!("{word} is none of {keyword}"))).collect()
    }

    fn always_on(&self, value: &Value) -> Vec<(Fault, String)> {
        let known = self.scope_words();
        let words = value.words();
        let others = words.iter().filter(|word| !known.contains(&word.to_lowercase()));
        let reason = |word: &String| self.no_node(word, known.iter().map(String::as_str));
        others.map(|word| (MISTAKE, reason(word))).collect()
    }

    /// Objects that are named: the own one would wait for itself, for ever, and one that is not there is waited for in vain.
    fn objects(&self, value: &Value, severity: Severity) -> Vec<(Fault, String)> {
        let Doc::Object(conf) = self.doc else { return vec![] };
        let own = conf.path();
        let words = value.words();
        let paths: Vec<(&String, String)> = words
            .iter()
            .map(|word| {
                let resolved = resolve_path(word, own.namespace());
                (word, resolved.split('@').next().unwrap_or_default().to_owned())
            })
            .collect();
        let mut faults = vec![];
        if severity == MISTAKE_OBJECT && paths.iter().any(|(_, path)| path == own.as_str()) {
            let reason = "names the object itself: ignored".to_owned();
            faults.push((Fault::Sure(Severity::Warning), reason));
        }
        let Some(objects) = &self.ctx.objects else { return faults };
        for (word, path) in paths {
            let is_known = path == own.as_str()
                || path.contains(['*', '?', '['])
                || ObjectPath::parse(&path).is_ok_and(|path| objects.contains(&path));
            if is_known {
                continue;
            }
            let name = word.split('@').next().unwrap_or_default();
            let name: String = name.chars().take(80).collect();
            let reason = match nearest(&path, objects.iter().map(ObjectPath::as_str)) {
                Some(near) => format!("no object {name}: did you mean {near}?"),
                None => format!("no object {name}: create it first"),
            };
            faults.push((Fault::Sure(severity), reason));
        }
        faults
    }

    /// A prefix that is longer than the address.
    fn netmask(&self, section: &str, written: &str) -> Vec<(Fault, String)> {
        let address = self.doc.ini().get(section, "ipname").unwrap_or_default();
        let is_short = address.trim().parse::<std::net::Ipv4Addr>().is_ok();
        let length = written.trim().parse::<u8>().ok().filter(|length| is_short && *length > 32);
        let reason = |length| format!("{length} is no prefix length of {address}: 32 at most");
        length.map(|length| (MISTAKE, reason(length))).into_iter().collect()
    }

    /// Resources of this object that are named.
    fn resources<'w>(&self, words: impl Iterator<Item = &'w str>) -> Vec<(Fault, String)> {
        let ini = self.doc.ini();
        let missing = words.filter(|word| {
            let is_id = word.split_once('#').is_some_and(|(group, _)| {
                crate::keywords::is_resource_group(crate::keywords::keyword::group_of(group).0)
            });
            is_id && *word != "sync#i0" && !ini.has_section(word)
        });
        let near = |word: &str| match nearest(word, ini.sections()) {
            Some(near) => format!("no resource {word}: did you mean {near}?"),
            None => format!("no resource {word} in this object"),
        };
        missing.map(|word| (MISTAKE, near(word))).collect()
    }
}

/// The words `rid(state,state)` of a requirement: a state may hold a blank.
fn requirements(written: &str) -> Vec<(&str, Vec<&str>)> {
    let mut depth = 0_u32;
    let words = written.split(|sign: char| {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        sign.is_whitespace() && depth == 0
    });
    words
        .filter(|word| !word.is_empty())
        .map(|word| {
            let end = word.find('(').unwrap_or(word.len());
            let states = word[end..].trim_start_matches('(').trim_end_matches(')').split(',');
            (word[..end].trim(), states.map(str::trim).filter(|state| !state.is_empty()).collect())
        })
        .collect()
}

/// What can never be met of a requirement.
fn wrong_requirements(section: &str, written: &str) -> Vec<(Fault, String)> {
    const STATES: [&str; 7] = ["up", "down", "warn", "n/a", "undef", "stdby up", "stdby down"];
    let mut faults = vec![];
    let words = requirements(written).into_iter();
    for (rid, states) in words.filter(|(rid, _)| !rid.eq_ignore_ascii_case("impossible")) {
        if !rid.contains('#') {
            let reason =
                format!("{rid:?} is no resource: expected ids, as fs#1 or fs#1(up,stdby up)");
            faults.push((MISTAKE, reason));
        } else if rid == section {
            faults.push((MISTAKE, format!("{rid} would wait for itself")));
        }
        let wrong = states.into_iter().filter(|state| !STATES.contains(state));
        faults.extend(wrong.map(|state| {
            (
                MISTAKE,
                format!("{state:?} is no state of {rid}: expected one of {}", STATES.join(", ")),
            )
        }));
    }
    faults
}

/// How bad is a relation to an object that is not there.
const MISTAKE_OBJECT: Severity = Severity::Mistake;

fn text_of(node: &NodeName) -> String {
    node.as_str().to_lowercase()
}

fn node_names(value: &Value) -> Vec<(Fault, String)> {
    let words = value.words();
    let wrong = words.iter().filter_map(|word| NodeName::new(word).err());
    wrong.map(|error| (Fault::Sure(Severity::Error), error.to_string())).collect()
}

/// Where a sync copies to.
fn targets(value: &Value) -> Vec<(Fault, String)> {
    let words = value.words();
    let others = words.iter().filter(|word| !matches!(word.as_str(), "nodes" | "drpnodes"));
    let reason = |word: &String| format!("{word:?} is not one of nodes, drpnodes");
    others.map(|word| (MISTAKE, reason(word))).collect()
}
