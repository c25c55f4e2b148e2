//! `get`, `set`, `unset`, `eval`, `print config`, `edit config`, `validate config`: node.conf, cluster.conf and the
//! files of objects (src/conf/README.md, Edits).
//!
//! A write takes the lock of the file, reads it again, applies the edits, refuses what would make it invalid, and
//! replaces it at once: no writer loses another one's change, and a reader sees the old file or the new one.

mod document;
mod editor;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use conf::{Complaint, Context, Edit, NodeSettings, Severity};
use model::{NodeName, ObjectPath};
use om::ConfigAction;
use om::render::printable;
use serde_json::{Map, json};

use super::{Done, Failure, Om, complain, mon, note, print};
use crate::{config, durable};

pub(super) use document::{Document, Owner};
use editor::{Editing, edit};

/// How long a writer waits for another one.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Mode of a new configuration file: it may hold secrets.
pub(super) const MODE: u32 = 0o600;

fn settings(om: &Om) -> Result<NodeSettings, Failure> {
    Ok(config::load_node(&om.paths, om.nodename.clone())?)
}

/// An evaluation context of this node, or of the one to impersonate.
fn context(
    om: &Om,
    settings: &NodeSettings,
    impersonate: Option<&str>,
) -> Result<Context, Failure> {
    let context = config::context(&om.paths, settings);
    match impersonate {
        None => Ok(context),
        Some(node) => {
            let node = NodeName::new(node).map_err(|error| Failure::usage(error.to_string()))?;
            Ok(context.impersonating(&node))
        }
    }
}

/// Configuration commands on node.conf.
pub(super) fn node(om: &Om, action: &ConfigAction) -> Done {
    run(om, &[Owner::Node], action)
}

/// Configuration commands on objects.
pub(super) fn objects(om: &Om, paths: &[ObjectPath], action: &ConfigAction) -> Done {
    let owners: Vec<Owner> = paths.iter().cloned().map(Owner::Object).collect();
    run(om, &owners, action)
}

fn run(om: &Om, owners: &[Owner], action: &ConfigAction) -> Done {
    let mut code = 0_u8;
    let mut printed = Map::new();
    for owner in owners {
        match action {
            ConfigAction::Get { keywords, eval, impersonate } => {
                let values = get(om, owner, keywords, *eval, impersonate.as_deref())?;
                if om.is_machine_readable() {
                    let values: Map<String, serde_json::Value> = values
                        .into_iter()
                        .map(|(keyword, value)| (keyword, value.unwrap_or_default()))
                        .collect();
                    printed.insert(owner.words(), values.into());
                } else {
                    for (_, value) in values {
                        let text = spelled(value.as_ref());
                        match owners.len() {
                            1 => print(&format!("{text}\n")),
                            _ => print(&format!("{}: {text}\n", owner.words())),
                        }
                    }
                }
            }
            ConfigAction::Set { edits, eval, force } => {
                let edits: Vec<Edit> = edits.iter().map(|edit| Edit::Set(edit.0.clone())).collect();
                change(om, owner, &edits, Manner { eval: *eval, force: *force })?;
            }
            ConfigAction::Unset { keywords, force } => {
                let document = Document::read(om, owner, &settings(om)?)?;
                if let Some(keyword) = keywords.iter().find(|it| document.get(it).is_none()) {
                    return Err(Failure::new(format!(
                        "{}: {} is not set: nothing is unset",
                        owner.words(),
                        printable(keyword)
                    )));
                }
                let edits: Vec<Edit> = keywords.iter().cloned().map(Edit::Unset).collect();
                change(om, owner, &edits, Manner { eval: false, force: *force })?;
            }
            ConfigAction::Print { eval, impersonate } => {
                let settings = settings(om)?;
                let document = Document::read(om, owner, &settings)?;
                let context = context(om, &settings, impersonate.as_deref())?;
                if om.is_machine_readable() || *eval {
                    let value = document.to_json(eval.then_some(&context));
                    printed.insert(owner.words(), value);
                } else {
                    let text: Vec<_> = document.text().lines().map(printable).collect();
                    print(&format!("{}\n", text.join("\n")));
                }
            }
            ConfigAction::Edit { recover, discard, force } => {
                let editor = std::env::var("EDITOR").unwrap_or_default();
                let how = Editing { recover: *recover, discard: *discard, force: *force };
                edit(om, owner, how, &editor)?;
            }
            ConfigAction::Validate => code = code.saturating_add(validate(om, owner)?),
        }
    }
    if !printed.is_empty() {
        // One object is shown as it is, several by name.
        let value = match printed.len() {
            1 => printed.into_values().next().unwrap_or_default(),
            _ => printed.into(),
        };
        om.show(&value, evaluated_text);
    }
    Ok(code)
}

/// Values of keywords, none for one that is not set.
fn get(
    om: &Om,
    owner: &Owner,
    keywords: &[String],
    eval: bool,
    impersonate: Option<&str>,
) -> Result<Vec<(String, Option<serde_json::Value>)>, Failure> {
    // node.conf has no section that is meant without a name.
    if let (Owner::Node, Some(keyword)) = (owner, keywords.iter().find(|text| !text.contains('.')))
    {
        return Err(Failure::usage(format!(
            "{keyword:?} names no section: expected section.keyword, as node.env"
        )));
    }
    let settings = settings(om)?;
    let document = Document::read(om, owner, &settings)?;
    let context = context(om, &settings, impersonate)?;
    keywords
        .iter()
        .map(|keyword| {
            let value = if eval {
                let value = document
                    .eval(&context, keyword)
                    .map_err(|error| Failure::new(format!("{}: {error}", owner.words())))?;
                let value = Some(value.to_json()).filter(|value| !value.is_null());
                if value.is_none() {
                    return Err(Failure::new(format!(
                        "{}: {} is not set, and has no default",
                        owner.words(),
                        printable(keyword)
                    )));
                }
                value
            } else {
                document.get(keyword).map(serde_json::Value::String)
            };
            Ok((keyword.clone(), value))
        })
        .collect()
}

/// A value as the deployed agent prints it: words of a list with blanks between, `None` for nothing.
fn spelled(value: Option<&serde_json::Value>) -> String {
    match value {
        None | Some(serde_json::Value::Null) => "None".to_owned(),
        Some(serde_json::Value::String(text)) => {
            text.lines().map(printable).collect::<Vec<_>>().join("\n")
        }
        Some(serde_json::Value::Bool(true)) => "True".to_owned(),
        Some(serde_json::Value::Bool(false)) => "False".to_owned(),
        Some(serde_json::Value::Array(values)) => {
            values.iter().map(|value| spelled(Some(value))).collect::<Vec<_>>().join(" ")
        }
        Some(other) => other.to_string(),
    }
}

/// `print config --eval` for a reader: the shape of the file, with evaluated values.
fn evaluated_text(value: &serde_json::Value) -> String {
    let mut text = String::new();
    for (section, keywords) in value.as_object().into_iter().flatten() {
        text.push_str(&format!("[{}]\n", printable(section)));
        for (keyword, value) in keywords.as_object().into_iter().flatten() {
            // As a file would have it: what continues a value is indented.
            let value = spelled(Some(value)).replace('\n', "\n\t");
            text.push_str(&format!("{} = {value}\n", printable(keyword)));
        }
        text.push('\n');
    }
    text
}

/// How a file is changed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// List operators start from the evaluated value.
    eval: bool,
    /// Members may be taken out of the cluster, and mistakes written.
    force: bool,
}

/// Applies edits to a file, all or none. Nothing is written if nothing changes.
pub(super) fn change(
    om: &Om,
    owner: &Owner,
    edits: &[Edit],
    manner: Manner,
) -> Result<(), Failure> {
    let _lock = durable::FileLock::take(&owner.lock(om), PATIENCE)?;
    // Read with the lock held: what another writer wrote is kept.
    let settings = settings(om)?;
    let context = context(om, &settings, None)?;
    let mut document = Document::read(om, owner, &settings)?;
    let before = document.clone();
    let edits =
        if manner.eval { evaluate_bases(&document, &context, edits)? } else { edits.to_vec() };
    if !document.edit(&context, &edits)? {
        return Ok(());
    }
    // An edit may not add a mistake; it may leave one that was there, to be mended by the next edit.
    let context = judging(om, context, [], document.text());
    let before = before.validate(&context);
    let mut after = document.validate(&context);
    after.extend(step_faults(om, &document, &context));
    refuse_new_mistakes(&owner.words(), &before, &after, manner.force)?;
    if !manner.force {
        refuse_ejection(om, &document, &context)?;
    }
    durable::write_newer(&owner.file(om), document.text().as_bytes(), MODE)?;
    tell_kept(om, owner, &after);
    Ok(())
}

/// Whether a configuration has that section.
pub(super) fn has_section(om: &Om, owner: &Owner, section: &str) -> Result<bool, Failure> {
    Ok(Document::read(om, owner, &settings(om)?)?.has_section(section))
}

/// Refuses to scale what is no scaler: its own resources would be nobody's any more.
pub(super) fn refuse_to_make_scalers(om: &Om, paths: &[ObjectPath]) -> Result<(), Failure> {
    let settings = settings(om)?;
    for path in paths {
        let document = Document::read(om, &Owner::Object(path.clone()), &settings)?;
        if document.get("scale").is_none() {
            return Err(Failure::new(format!(
                "{path} is no scaler: with --force it becomes one, and what it runs is stopped and run by its slices"
            )));
        }
    }
    Ok(())
}

/// What forbids the change though the document after it is good. A file that is not in force may be mended: what is in force
/// counts.
fn step_faults(om: &Om, document: &Document, context: &Context) -> Vec<Complaint> {
    let Some(after) = document.node_settings(context) else { return vec![] };
    config::load_node_in_force(&om.paths, &om.nodename).step_faults(&after)
}

/// Refuses what takes other members out of the cluster: they would find themselves alone, with their services running.
fn refuse_ejection(om: &Om, document: &Document, context: &Context) -> Result<(), Failure> {
    let Some(after) = document.node_settings(context) else { return Ok(()) };
    let in_force = config::load_node_in_force(&om.paths, &om.nodename);
    let ejected = in_force.ejected(&after);
    if ejected.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = ejected.iter().map(|node| node.as_str()).collect();
    Err(Failure::new(format!(
        "nothing is written: it would take {} out of the cluster: `om node drain --wait` and `om daemon leave` there do \
         that in order; `set --force` takes out one that is gone",
        names.join(", ")
    )))
}

/// Tells who changed a file that it is not in force yet, for mistakes that it still has.
fn tell_kept(om: &Om, owner: &Owner, complaints: &[Complaint]) {
    let mut errors = complaints.iter().filter(|each| each.severity == Severity::Error).peekable();
    if errors.peek().is_none() || !config::copy_of(&om.paths, &owner.file_name()).exists() {
        return;
    }
    errors.for_each(|error| note(&error.to_string()));
    note(&format!(
        "written, and not in force before that is mended: the daemon goes on with the last good configuration of {}",
        owner.words()
    ));
}

/// With `set --eval`, list operators start from the evaluated value: written first, then edited.
fn evaluate_bases(
    document: &Document,
    context: &Context,
    edits: &[Edit],
) -> Result<Vec<Edit>, Failure> {
    let mut based = vec![];
    let mut seen = BTreeSet::new();
    for edit in edits {
        if let Edit::Set(text) = edit
            && let Some((left, _)) = text.split_once('=')
            && let Some(keyword) = left.strip_suffix(['+', '-', '|'])
        {
            let keyword = keyword.split('[').next().unwrap_or(keyword);
            if seen.insert(keyword.to_owned()) {
                let value = document
                    .eval(context, keyword)
                    .map_err(|error| Failure::new(error.to_string()))?;
                let value =
                    if value.is_null() { String::new() } else { spelled(Some(&value.to_json())) };
                based.push(Edit::Set(format!("{keyword}={value}")));
            }
        }
        based.push(edit.clone());
    }
    Ok(based)
}

/// Refuses what was not wrong before: errors, and without `force` mistakes that deployed agents put up with. Tells the rest.
pub(super) fn refuse_new_mistakes(
    words: &str,
    before: &[Complaint],
    after: &[Complaint],
    force: bool,
) -> Result<(), Failure> {
    let is_refused = |complaint: &Complaint| match force {
        true => complaint.severity == Severity::Error,
        false => complaint.is_refused(),
    };
    let fresh = after.iter().filter(|complaint| !complaint.is_among(before));
    let (refused, others): (Vec<_>, Vec<_>) = fresh.partition(|complaint| is_refused(complaint));
    others.iter().for_each(|complaint| note(&format!("warning: {complaint}")));
    if refused.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = refused.iter().map(ToString::to_string).collect();
    let has_errors = refused.iter().any(|complaint| complaint.severity == Severity::Error);
    lines.push(match has_errors {
        true => format!("nothing is written: the configuration of {words} would be invalid"),
        false => format!("nothing is written: correct it, or have {words} as it is with --force"),
    });
    Err(Failure { lines, code: 1 })
}

/// A context to judge a text in, before it is written: with the objects of the cluster, and those about to be created, where the
/// text may name some.
pub(super) fn judging<'p>(
    om: &Om,
    context: Context,
    created: impl IntoIterator<Item = &'p ObjectPath>,
    text: &str,
) -> Context {
    let names_objects =
        ["parents", "children", "slaves", "affinity"].iter().any(|keyword| text.contains(keyword));
    if !names_objects {
        return context;
    }
    let mut objects: BTreeSet<ObjectPath> = config::list_objects(&om.paths).into_keys().collect();
    objects.extend(created.into_iter().cloned());
    // Those of other nodes are known to the daemon.
    let status = om.link(None).and_then(|link| mon::status(&link, Some("**"), None));
    let status = status.unwrap_or_default();
    let services = status.pointer("/monitor/services").and_then(serde_json::Value::as_object);
    let names = services.into_iter().flat_map(Map::keys);
    objects.extend(names.filter_map(|name| ObjectPath::parse(name).ok()));
    Context { objects: Some(Arc::new(objects)), ..context }
}

/// What is wrong with a file.
pub(super) fn complaints(om: &Om, owner: &Owner) -> Result<Vec<Complaint>, Failure> {
    let mut complaints = config::unreadable_node_files(&om.paths, &om.nodename);
    let unread = match owner {
        Owner::Object(path) if *path != ObjectPath::cluster() => {
            config::check_object_file(&om.paths, path).err()
        }
        Owner::Object(_) | Owner::Node => None,
    };
    if complaints.is_empty() && unread.is_none() {
        let settings = settings(om)?;
        let document = Document::read(om, owner, &settings)?;
        let context = judging(om, context(om, &settings, None)?, [], document.text());
        return Ok(document.validate(&context));
    }
    complaints.extend(unread.map(|complaint| *complaint));
    Ok(complaints)
}

/// Prints what is wrong; the exit code counts errors, mistakes and warnings.
fn validate(om: &Om, owner: &Owner) -> Result<u8, Failure> {
    let complaints = complaints(om, owner)?;
    for complaint in &complaints {
        match complaint.severity {
            Severity::Error | Severity::Mistake => complain(&complaint.to_string()),
            Severity::Warning => note(&format!("warning: {complaint}")),
            Severity::Notice => note(&format!("notice: {complaint}")),
        }
    }
    let counted = complaints.iter().filter(|each| each.severity > Severity::Notice).count();
    Ok(u8::try_from(counted).unwrap_or(u8::MAX))
}

/// The action and options that ask another node for the same.
pub(super) fn as_request(
    action: &ConfigAction,
) -> Result<(String, Map<String, serde_json::Value>), Failure> {
    let (name, options) = match action {
        ConfigAction::Get { keywords, eval, impersonate } => {
            ("get", json!({"kw": keywords, "eval": eval, "impersonate": impersonate}))
        }
        ConfigAction::Set { edits, eval, force } => {
            let edits: Vec<&str> = edits.iter().map(|edit| edit.0.as_str()).collect();
            ("set", json!({"kw": edits, "eval": eval, "force": force}))
        }
        ConfigAction::Unset { keywords, force } => {
            ("unset", json!({"kw": keywords, "force": force}))
        }
        ConfigAction::Print { eval, impersonate } => {
            ("print_config", json!({"eval": eval, "impersonate": impersonate}))
        }
        ConfigAction::Validate => ("validate_config", json!({})),
        ConfigAction::Edit { .. } => {
            return Err(Failure::usage("a configuration is edited on its own node: log in there"));
        }
    };
    match options {
        serde_json::Value::Object(options) => Ok((name.to_owned(), options)),
        _ => Ok((name.to_owned(), Map::new())),
    }
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
