//! `get`, `set`, `unset`, `eval`, `print config`, `edit config`, `validate config`: node.conf, cluster.conf and the
//! files of objects (src/conf/README.md, Edits).
//!
//! A write takes the lock of the file, reads it again, applies the edits, refuses what would make it invalid, and
//! replaces it at once: no writer loses another one's change, and a reader sees the old file or the new one.

pub(crate) mod document;
mod editor;
mod here;
pub(crate) mod mistakes;
pub(crate) mod there;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use cli::ConfigAction;
use cli::render::printable;
use conf::{Complaint, Context, Edit, Severity};
use files::edit::{Locked, Writer};
use files::{last_good, load};
use model::ObjectPath;
use serde_json::{Map, json};

use crate::config_edit::document::{Document, Owner};
use crate::config_edit::editor::Editing;
use crate::config_edit::here::edit;
use crate::config_edit::mistakes::{
    context, judging, refuse_ejection, refuse_new_mistakes, settings, step_faults,
};
use crate::om::{Done, Failure, Om, complain, note, print};

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
                    let values: BTreeMap<_, _> = values
                        .into_iter()
                        .map(|(keyword, value)| (keyword, value.unwrap_or_default()))
                        .collect();
                    printed.insert(owner.words(), json!(values));
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
            ConfigAction::Set { edits, unset, eval, force } => {
                refuse_unset(om, owner, unset)?;
                let unset = unset.iter().cloned().map(Edit::Unset);
                let set = edits.iter().map(|edit| Edit::Set(edit.0.clone()));
                let edits: Vec<Edit> = unset.chain(set).collect();
                change(om, owner, &edits, Manner { eval: *eval, force: *force })?;
            }
            ConfigAction::Unset { keywords, force } => {
                refuse_unset(om, owner, keywords)?;
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
            ConfigAction::History => {
                let told = versions::history(om, owner)?;
                if om.is_machine_readable() {
                    printed.insert(owner.words(), told);
                } else {
                    if owners.len() > 1 {
                        print(&format!("{}\n", owner.words()));
                    }
                    print(&versions::history_text(&told));
                }
            }
            ConfigAction::Show { number, is_diff } => versions::show(om, owner, *number, *is_diff)?,
            ConfigAction::Revert { number, force } => versions::revert(om, owner, *number, *force)?,
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

/// Refuses to unset what is not set: it is mistyped.
fn refuse_unset(om: &Om, owner: &Owner, keywords: &[String]) -> Result<(), Failure> {
    if keywords.is_empty() {
        return Ok(());
    }
    let document = Document::read(om, owner, &settings(om)?)?;
    match keywords.iter().find(|keyword| document.get(keyword).is_none()) {
        None => Ok(()),
        Some(keyword) => Err(Failure::new(format!(
            "{}: {} is not set: nothing is unset{}",
            owner.words(),
            printable(keyword),
            nearly(owner, keyword)
        ))),
    }
}

/// What was meant by a keyword that is none, behind what is told of it.
fn nearly(owner: &Owner, keyword: &str) -> String {
    let (section, name) = conf::split_keyword(keyword);
    let book = match owner {
        Owner::Node => conf::Book::Node,
        Owner::Object(path) => conf::Book::Object(path.kind()),
    };
    let unfound = book.look_up(Some(&format!("{section}.{name}"))).err();
    let near = unfound.filter(|unfound| unfound.is_near);
    near.map(|unfound| format!(": {}", unfound.advice)).unwrap_or_default()
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
                        "{}: {} is not set, and has no default{}",
                        owner.words(),
                        printable(keyword),
                        nearly(owner, keyword)
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
    pub(super) eval: bool,
    /// Members may be taken out of the cluster, and mistakes written.
    pub(super) force: bool,
}

/// Applies edits to a file, all or none. Nothing is written if nothing changes.
pub(super) fn change(
    om: &Om,
    owner: &Owner,
    edits: &[Edit],
    manner: Manner,
) -> Result<(), Failure> {
    let locked = Locked::take(&om.paths, owner, Writer::Command)?;
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
    locked.write(document.text())?;
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

/// Tells who changed a file that it is not in force yet, for mistakes that it still has.
fn tell_kept(om: &Om, owner: &Owner, complaints: &[Complaint]) {
    let mut errors = complaints.iter().filter(|each| each.severity == Severity::Error).peekable();
    if errors.peek().is_none() || !last_good::copy_of(&om.paths, &owner.file_name()).exists() {
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

/// What is wrong with a file.
pub(crate) fn complaints(om: &Om, owner: &Owner) -> Result<Vec<Complaint>, Failure> {
    let mut complaints = load::unreadable_node_files(&om.paths, &om.nodename);
    let unread = match owner {
        Owner::Object(path) if *path != ObjectPath::cluster() => {
            load::check_object_file(&om.paths, path).err()
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

/// How another node is asked for a configuration command.
pub(super) enum Elsewhere {
    /// Its own `om` does it: an action, and its options.
    Action(String, wire::Options),
    /// It is read there, and edited here.
    Editing(Editing),
}

impl Elsewhere {
    pub(super) fn of(action: &ConfigAction) -> Self {
        let (name, options) = match action {
            ConfigAction::Get { keywords, eval, impersonate } => {
                ("get", json!({"kw": keywords, "eval": eval, "impersonate": impersonate}))
            }
            ConfigAction::Set { edits, unset, eval, force } => {
                let edits: Vec<&str> = edits.iter().map(|edit| edit.0.as_str()).collect();
                let mut options = json!({"kw": edits, "eval": eval, "force": force});
                // Deployed agents know no such option.
                if !unset.is_empty() {
                    options["unset"] = json!(unset);
                }
                ("set", options)
            }
            ConfigAction::Unset { keywords, force } => {
                ("unset", json!({"kw": keywords, "force": force}))
            }
            ConfigAction::Print { eval, impersonate } => {
                ("print_config", json!({"eval": eval, "impersonate": impersonate}))
            }
            ConfigAction::Validate => ("validate_config", json!({})),
            ConfigAction::History => ("config_history", json!({})),
            ConfigAction::Show { number, is_diff } => {
                return Self::of_version("config_show", *number, json!({"diff": is_diff}));
            }
            ConfigAction::Revert { number, force } => {
                return Self::of_version("config_revert", *number, json!({"force": force}));
            }
            ConfigAction::Edit { recover, discard, force } => {
                let how = Editing { recover: *recover, discard: *discard, force: *force };
                return Self::Editing(how);
            }
        };
        Self::action(name.to_owned(), options)
    }

    /// An action on a version: its number is a word of the action.
    fn of_version(name: &str, number: Option<u64>, options: serde_json::Value) -> Self {
        let name = number.map_or(name.to_owned(), |number| format!("{name}_{number}"));
        Self::action(name, options)
    }

    fn action(name: String, options: serde_json::Value) -> Self {
        match options {
            serde_json::Value::Object(options) => Self::Action(name, options),
            _ => Self::Action(name, Map::new()),
        }
    }
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
