//! References `{..}` in a text (src/conf/README.md, References).
//!
//! Part of the `impl` of [`Evaluation`], in a file of its own for its length.

use std::collections::BTreeSet;

use crate::context::Context;
use crate::doc::Doc;
use crate::eval::error::EvalReason;
use crate::eval::spelling::{BUILTINS, next_reference};
use crate::eval::{Evaluation, MAX_DEPTH, MAX_LENGTH};
use crate::keywords;
use crate::keywords::keyword;
use crate::node::NodeConf;
use crate::value::Value;

/// What a reference stands for.
enum Target {
    Text(String),
    /// A device list not yet available: makes the whole value null.
    Null,
    /// Nothing: it stays as it is.
    Unknown,
}

impl Evaluation<'_> {
    /// Replaces the references of a text, leftmost innermost first, until none is left that means something. None
    /// when one makes the value null.
    pub(super) fn replace_references(
        &mut self,
        text: &str,
        section: &str,
    ) -> Result<Option<String>, EvalReason> {
        let mut text = text.to_owned();
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        let mut from = 0;
        while let Some((start, end)) = next_reference(&text, from) {
            let reference = text[start + 1..end].to_owned();
            self.spend(end - from)?;
            if unknown.contains(&reference) {
                from = end;
                continue;
            }
            match self.resolve(&reference, section)? {
                Target::Null => return Ok(None),
                Target::Unknown => {
                    unknown.insert(reference);
                    from = end;
                }
                // A cycle: it stays as it is.
                Target::Text(replacement) if replacement.contains(&text[start..=end]) => {
                    unknown.insert(reference);
                    from = end;
                }
                Target::Text(replacement) => {
                    let is_final = reference.starts_with("safe://");
                    if text.len() + replacement.len() > MAX_LENGTH.max(text.len()) {
                        return Err(EvalReason::TooLarge);
                    }
                    self.spend(text.len() + replacement.len())?;
                    text.replace_range(start..=end, &replacement);
                    from = match (is_final, text[..start].rfind('{')) {
                        (true, _) => start + replacement.len(),
                        // What surrounds it may have become a reference.
                        (false, Some(outer)) if !text[outer..start].contains('}') => outer,
                        (false, _) => start,
                    };
                }
            }
        }
        Ok(Some(text))
    }

    /// Counts work done; fails when there was too much.
    fn spend(&mut self, bytes: usize) -> Result<(), EvalReason> {
        self.budget = self.budget.checked_sub(bytes).ok_or(EvalReason::TooLarge)?;
        Ok(())
    }

    fn resolve(&mut self, reference: &str, section: &str) -> Result<Target, EvalReason> {
        if reference.starts_with("safe://") {
            let content = self.ctx.facts.as_ref().and_then(|facts| facts.safe(reference));
            return Ok(content.map_or(Target::Unknown, Target::Text));
        }
        let (is_count, name) = match reference.strip_prefix('#') {
            Some(name) => (true, name),
            None => (false, reference),
        };
        let (modifier, name) = match name.split_once(':') {
            Some((modifier, name)) if MODIFIERS.contains(&modifier) => (Some(modifier), name),
            _ => (None, name),
        };
        let (name, index) = match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
            Some((name, index)) => (name, Some(index)),
            None => (name, None),
        };
        if name.is_empty() {
            return Ok(Target::Unknown);
        }
        let mut text = match self.value_of(name, section)? {
            Target::Text(text) => text,
            other => return Ok(other),
        };
        if let Some(index) = index {
            let word = index
                .parse::<usize>()
                .ok()
                .and_then(|index| text.split_whitespace().nth(index).map(str::to_owned));
            match word {
                Some(word) => text = word,
                None => return Ok(Target::Unknown),
            }
        }
        if let Some(modifier) = modifier {
            text = modify(modifier, &text);
        }
        Ok(Target::Text(if is_count { text.split_whitespace().count().to_string() } else { text }))
    }

    fn value_of(&mut self, name: &str, section: &str) -> Result<Target, EvalReason> {
        if let Some(text) = self.builtin(name, section) {
            return Ok(Target::Text(text));
        }
        let Some((group, option)) = name.split_once('.') else {
            return self.dotless(name, section);
        };
        if let Some(target) = self.devices(group, option) {
            return Ok(target);
        }
        if group == "env"
            && let Some(value) = self.ctx.environment.get(&option.to_uppercase())
        {
            return Ok(Target::Text(value.clone()));
        }
        if group == "node"
            && let Doc::Object(_) = self.doc
        {
            return Ok(self.node_keyword(option));
        }
        self.option(group, option)
    }

    /// Keyword of the node configuration.
    fn node_keyword(&mut self, option: &str) -> Target {
        let (section, keyword) = match option.split_once('.') {
            Some((section @ ("env" | "labels"), keyword)) => (section, keyword),
            _ => ("node", option),
        };
        let node: &NodeConf = &self.ctx.node;
        match Evaluation::new(Doc::Node(node), self.ctx).eval(section, keyword, false) {
            Ok(found) if !found.value.is_null() => Target::Text(found.value.to_string()),
            _ => Target::Unknown,
        }
    }

    /// Option of the current section, then of DEFAULT, whose defaults count.
    fn dotless(&mut self, name: &str, section: &str) -> Result<Target, EvalReason> {
        if section != "DEFAULT"
            && let target @ (Target::Text(_) | Target::Null) = self.option(section, name)?
        {
            return Ok(target);
        }
        let is_known =
            matches!(self.doc.tables().find("DEFAULT", None, name), keyword::Lookup::Known(_));
        if !is_known {
            return self.option("DEFAULT", name);
        }
        self.nested("DEFAULT", name, |this| {
            let found = this.try_eval("DEFAULT", name, false)?;
            Ok(match found.value {
                Value::Null => Target::Unknown,
                value => Target::Text(value.to_string()),
            })
        })
    }

    /// Option of a section, as a text, scopes honoured.
    fn option(&mut self, section: &str, option: &str) -> Result<Target, EvalReason> {
        self.nested(section, option, |this| {
            let Some(raw) = this.scoped(section, option, true) else {
                return Ok(Target::Unknown);
            };
            Ok(match this.expand(raw, section, None)? {
                Value::Null if !raw.contains("$(") => Target::Null,
                value => Target::Text(value.to_string()),
            })
        })
    }

    /// Runs a nested evaluation; a cycle, or one too deep, means nothing.
    fn nested(
        &mut self,
        section: &str,
        option: &str,
        run: impl FnOnce(&mut Self) -> Result<Target, EvalReason>,
    ) -> Result<Target, EvalReason> {
        let place = (section.to_owned(), option.to_owned());
        self.spend(64)?;
        if self.open.contains(&place) {
            return Ok(Target::Unknown);
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(EvalReason::TooLarge);
        }
        self.open.push(place);
        let target = run(self);
        self.open.pop();
        target
    }

    /// Lists of devices, and the mount point of a volume: drivers know them.
    fn devices(&mut self, section: &str, option: &str) -> Option<Target> {
        // The mount point of a volume goes by two names.
        let option = match option {
            "mount_point" if section.starts_with("volume#") => "mnt",
            other => other,
        };
        let is_devices = matches!(option, "exposed_devs" | "sub_devs" | "base_devs")
            || (option == "mnt" && section.starts_with("volume#"));
        if !is_devices || !section.contains('#') {
            return None;
        }
        if !self.doc.ini().has_section(section) {
            // Nobody will ever know them.
            return Some(Target::Unknown);
        }
        let known = self.ctx.facts.as_ref().and_then(|facts| facts.devices(section, option));
        Some(known.map_or(Target::Null, |words| Target::Text(words.join(" "))))
    }

    /// Names that win over options.
    fn builtin(&self, name: &str, section: &str) -> Option<String> {
        let node: &NodeConf = &self.ctx.node;
        let join = |nodes: &[model::NodeName]| {
            nodes.iter().map(model::NodeName::as_str).collect::<Vec<_>>().join(" ")
        };
        let short = |name: &str| name.split('.').next().unwrap_or(name).to_owned();
        let dns = || node.get("cluster.dns").unwrap_or_default();
        let var = &self.ctx.folders.var;
        match name {
            "nodename" => return Some(node.nodename.to_string()),
            "short_nodename" => return Some(short(node.nodename.as_str())),
            "clustername" => return Some(node.cluster_name()),
            "clusterid" => return Some(node.get("cluster.id").unwrap_or_default()),
            "clusternodes" => return Some(join(node.cluster_nodes())),
            "clusterdrpnodes" => return Some(join(node.cluster_drpnodes())),
            "dns" => return Some(dns()),
            "dnsnodes" => {
                // Addresses would need a resolver: only names of nodes are told.
                let dns = dns();
                let is_named = |node: &&model::NodeName| {
                    dns.split_whitespace().any(|name| name.eq_ignore_ascii_case(node.as_str()))
                };
                return Some(join(
                    &node.cluster_nodes().iter().filter(is_named).cloned().collect::<Vec<_>>(),
                ));
            }
            "etc" => return Some(self.ctx.folders.etc.clone()),
            "var" => return Some(var.clone()),
            "svcmgr" => return Some("om svc".into()),
            "nodemgr" => return Some("om node".into()),
            "dnsuxsockd" => return Some(format!("{var}/dns")),
            "dnsuxsock" => return Some(format!("{var}/dns/pdns.sock")),
            "collector_api" => {
                let collector = node.get("node.dbopensvc").unwrap_or_default();
                let api = collector.trim_end_matches('/');
                return Some(if api.is_empty() {
                    String::new()
                } else {
                    format!("{api}/init/rest/api")
                });
            }
            _ => {}
        }
        let Doc::Object(conf) = self.doc else { return None };
        let path = conf.path();
        let scaler = || match path.name().split_once('.') {
            Some((slice, rest)) if slice.bytes().all(|byte| byte.is_ascii_digit()) => rest,
            _ => path.name(),
        };
        Some(match name {
            "namespace" => path.namespace().unwrap_or("root").to_owned(),
            "kind" => path.kind().to_string(),
            "name" | "svcname" => path.name().to_owned(),
            "path" | "svcpath" => path.to_string(),
            "short_name" | "short_svcname" => short(path.name()),
            "scaler_name" | "scaler_svcname" => scaler().to_owned(),
            "scaler_short_name" | "scaler_short_svcname" => short(scaler()),
            "id" => conf.id()?.to_owned(),
            "rid" => section.to_owned(),
            "rindex" => section.split_once('#')?.1.to_owned(),
            "fqdn" => path.fullname(&node.cluster_name()),
            "domain" => {
                let namespace = path.namespace().unwrap_or("None");
                format!("{namespace}.{}.{}", path.kind(), node.cluster_name())
            }
            "private_var" => format!("{var}/{}", path.var_dir()),
            "initd" => {
                let file = path.config_file();
                let stem = file.strip_suffix(".conf").unwrap_or(&file);
                format!("{}/{stem}.d", self.ctx.folders.etc)
            }
            _ => return None,
        })
    }
}

const MODIFIERS: [&str; 6] = ["upper", "lower", "capitalize", "title", "swapcase", "uri_ip"];

fn modify(modifier: &str, text: &str) -> String {
    match modifier {
        "upper" => text.to_uppercase(),
        "lower" => text.to_lowercase(),
        "capitalize" => {
            let mut chars = text.chars();
            let first = chars.next().into_iter().flat_map(char::to_uppercase);
            first.chain(chars.flat_map(char::to_lowercase)).collect()
        }
        "title" => {
            let mut is_inside = false;
            let mut title = String::with_capacity(text.len());
            for c in text.chars() {
                if is_inside {
                    title.extend(c.to_lowercase());
                } else {
                    title.extend(c.to_uppercase());
                }
                is_inside = c.is_alphabetic();
            }
            title
        }
        "swapcase" => text
            .chars()
            .flat_map(|c| -> Vec<char> {
                if c.is_lowercase() {
                    c.to_uppercase().collect()
                } else {
                    c.to_lowercase().collect()
                }
            })
            .collect(),
        _ if text.contains(':') && !text.starts_with('[') => format!("[{text}]"),
        _ => text.to_owned(),
    }
}

/// Where a reference stands: what in braces is none there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A value: each is meant.
    Value,
    /// A command: a word in braces may be meant for a shell or a program.
    Command,
    /// Section `env`: as in a command, and names without a section are read where the value is used.
    Env,
}

/// References of a text that resolve to nothing, and so stay as they are, each with the reference that was probably meant.
pub(crate) fn unresolved(
    doc: Doc<'_>,
    ctx: &Context,
    section: &str,
    text: &str,
    place: Place,
) -> Vec<(String, Option<String>)> {
    let mut found = vec![];
    let mut from = 0;
    while let Some((start, end)) = next_reference(text, from) {
        from = end;
        let reference = &text[start..=end];
        let name = reference[1..reference.len() - 1].trim_start_matches('#');
        let name = name.rsplit_once(':').map_or(name, |(_, name)| name);
        let name = name.split_once('[').map_or(name, |(name, _)| name);
        // `${x}` is a shell's.
        let is_shell = place != Place::Value && text[..start].ends_with('$');
        let (is_meant, near) = match name.split_once('.') {
            Some((group, option)) => meant(doc, group, option),
            None if place == Place::Env && BUILTINS.contains(&name) => continue,
            None => {
                let own = doc.ini().keywords(section).map(|(keyword, _)| keyword);
                let own = own.take(MOST_CANDIDATES);
                let near = model::nearest(name, BUILTINS.into_iter().chain(own));
                // Nobody mistypes two letters.
                let is_meant = near.is_some() && name.len() > 3;
                (is_meant, near.map(str::to_owned))
            }
        };
        if is_shell || (place != Place::Value && !is_meant) {
            continue;
        }
        let replaced = Evaluation::new(doc, ctx).replace_references(reference, section);
        if matches!(replaced, Ok(Some(text)) if text == reference) {
            found.push((reference.to_owned(), near.map(|near| format!("{{{near}}}"))));
        }
    }
    found
}

/// Whether a reference with a section is one beyond doubt, and what was probably meant.
fn meant(doc: Doc<'_>, group: &str, option: &str) -> (bool, Option<String>) {
    let ini = doc.ini();
    let in_section = |section: &str| {
        let keywords = ini.keywords(section).map(|(keyword, _)| keyword);
        let keywords = keywords.take(MOST_CANDIDATES);
        model::nearest(option, keywords).map(|near| format!("{section}.{near}"))
    };
    if ini.has_section(group) {
        let is_free = matches!(group, "env" | "labels" | "data");
        let near = if is_free { in_section(group) } else { None };
        return (true, near);
    }
    let is_index = group.contains('#');
    let is_resource = is_index
        && keywords::is_resource_group(
            keyword::group_of(group.split('#').next().unwrap_or_default()).0,
        );
    let is_section = matches!(group, "env" | "labels" | "data" | "node" | "DEFAULT");
    let near = model::nearest(group, ini.sections().take(MOST_CANDIDATES).chain(SECTIONS));
    let near = near.filter(|near| *near != group).map(|near| format!("{near}.{option}"));
    (is_resource || is_section || is_index || near.is_some(), near)
}

/// How many sections or keywords are looked at for a tip: a document may have a reference in each of its lines.
const MOST_CANDIDATES: usize = 100;

/// Sections that a reference may name, whether they are there or not.
const SECTIONS: [&str; 4] = ["env", "labels", "node", "DEFAULT"];

/// What `{dnsnodes}` leaves out: words of `cluster.dns` that are no names of cluster nodes. To know whose addresses they
/// are would take a resolver.
pub(crate) fn left_out_of_dnsnodes(node: &NodeConf) -> Vec<String> {
    let dns = node.get("cluster.dns").unwrap_or_default();
    let is_named = |word: &&str| {
        node.cluster_nodes().iter().any(|node| node.as_str().eq_ignore_ascii_case(word))
    };
    dns.split_whitespace().filter(|word| !is_named(word)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
