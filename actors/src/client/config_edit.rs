//! `get`, `set`, `unset`, `eval`, `print config`, `edit config`, `validate config`: node.conf, cluster.conf and the
//! files of objects (config.md §10).
//!
//! A write takes the lock of the file, reads it again, applies the edits, refuses what would make it invalid, and
//! replaces it at once: no writer loses another one's change, and a reader sees the old file or the new one.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use conf::{Complaint, Context, Edit, NodeConf, NodeSettings, ObjectConf, Severity, Value};
use model::{NodeName, ObjectPath};
use om::ConfigAction;
use om::render::printable;
use serde_json::{Map, json};

use super::{Done, Failure, Om, complain, note, print};
use crate::{config, durable};

/// How long a writer waits for another one.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Mode of a new configuration file: it may hold secrets.
pub(super) const MODE: u32 = 0o600;

/// Which configuration.
#[derive(Debug, Clone)]
pub(super) enum Owner {
    /// node.conf, over cluster.conf where it is read.
    Node,
    /// An object, `cluster` included.
    Object(ObjectPath),
}

impl Owner {
    fn file(&self, om: &Om) -> PathBuf {
        match self {
            Self::Node => om.paths.node_conf(),
            Self::Object(path) => om.paths.config_file(path),
        }
    }

    fn lock(&self, om: &Om) -> PathBuf {
        match self {
            Self::Node => om.paths.locks().join("edit_node"),
            Self::Object(path) => config::edit_lock(&om.paths, path),
        }
    }

    /// Words of the command line for it.
    fn words(&self) -> String {
        match self {
            Self::Node => "node".to_owned(),
            Self::Object(path) => path.to_string(),
        }
    }
}

/// A configuration, read.
enum Document {
    Node(NodeConf),
    Object(ObjectConf),
}

impl Document {
    fn read(om: &Om, owner: &Owner, settings: &NodeSettings) -> Result<Self, Failure> {
        match owner {
            Owner::Node => Ok(Self::Node((*settings.conf).clone())),
            Owner::Object(path) => {
                let file = om.paths.config_file(path);
                let text = match std::fs::read_to_string(&file) {
                    Ok(text) => text,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        // The cluster configuration may still be to write.
                        if *path != ObjectPath::cluster() {
                            return Err(Failure::new(format!(
                                "object {path} has no configuration on this node: name one that has it with --node"
                            )));
                        }
                        String::new()
                    }
                    Err(error) => {
                        return Err(Failure::new(format!("{}: {error}", file.display())));
                    }
                };
                Self::parse(owner, settings, &text)
            }
        }
    }

    fn parse(owner: &Owner, settings: &NodeSettings, text: &str) -> Result<Self, Failure> {
        match owner {
            Owner::Node => {
                let cluster = settings.conf.cluster.text();
                let conf = NodeConf::parse(settings.nodename.clone(), cluster, text)
                    .map_err(|complaint| Failure::new(complaint.to_string()))?;
                Ok(Self::Node(conf))
            }
            Owner::Object(path) => ObjectConf::parse(path.clone(), text)
                .map(Self::Object)
                .map_err(|error| Failure::new(format!("{} {error}", path.config_file()))),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Node(conf) => conf.node.text(),
            Self::Object(conf) => conf.text(),
        }
    }

    fn get(&self, keyword: &str) -> Option<String> {
        match self {
            Self::Node(conf) => conf.get(keyword),
            Self::Object(conf) => conf.get(keyword),
        }
    }

    fn eval(&self, context: &Context, keyword: &str) -> Result<Value, conf::EvalError> {
        match self {
            Self::Node(conf) => conf.eval_keyword(context, keyword),
            Self::Object(conf) => conf.eval_keyword(context, keyword),
        }
    }

    fn edit(&mut self, context: &Context, edits: &[Edit]) -> Result<bool, Failure> {
        match self {
            Self::Node(conf) => conf.edit(context, edits),
            Self::Object(conf) => conf.edit(context, edits),
        }
        .map_err(|error| Failure::usage(error.to_string()))
    }

    fn validate(&self, context: &Context) -> Vec<Complaint> {
        match self {
            Self::Node(conf) => conf.validate(context),
            Self::Object(conf) => conf.validate(context),
        }
    }

    fn to_json(&self, context: Option<&Context>) -> serde_json::Value {
        match (self, context) {
            (Self::Node(conf), None) => conf.to_json(),
            (Self::Node(conf), Some(context)) => conf.to_json_evaluated(context),
            (Self::Object(conf), None) => conf.to_json(),
            (Self::Object(conf), Some(context)) => conf.to_json_evaluated(context),
        }
    }
}

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
            ConfigAction::Set { edits, eval } => {
                let edits: Vec<Edit> = edits.iter().map(|edit| Edit::Set(edit.0.clone())).collect();
                change(om, owner, &edits, *eval)?;
            }
            ConfigAction::Unset { keywords } => {
                let edits: Vec<Edit> = keywords.iter().cloned().map(Edit::Unset).collect();
                change(om, owner, &edits, false)?;
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
            ConfigAction::Edit { recover, discard } => {
                let editor = std::env::var("EDITOR").unwrap_or_default();
                edit(om, owner, *recover, *discard, &editor)?;
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
                Some(value.to_json()).filter(|value| !value.is_null())
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
            text.push_str(&format!("{} = {}\n", printable(keyword), spelled(Some(value))));
        }
        text.push('\n');
    }
    text
}

/// Applies edits to a file, all or none. Nothing is written if nothing changes.
pub(super) fn change(om: &Om, owner: &Owner, edits: &[Edit], eval: bool) -> Result<(), Failure> {
    let _lock = durable::FileLock::take(&owner.lock(om), PATIENCE)?;
    // Read with the lock held: what another writer wrote is kept.
    let settings = settings(om)?;
    let context = context(om, &settings, None)?;
    let mut document = Document::read(om, owner, &settings)?;
    let before = document.validate(&context);
    let edits = if eval { evaluate_bases(&document, &context, edits)? } else { edits.to_vec() };
    if !document.edit(&context, &edits)? {
        return Ok(());
    }
    // An edit may not add an error; it may leave one that was there, to be mended by the next edit.
    refuse_new_errors(owner, &before, &document.validate(&context))?;
    durable::write(&owner.file(om), document.text().as_bytes(), MODE)?;
    Ok(())
}

/// Removes what a file says of other members: heartbeats, arbitrators, and the nodes of the cluster. Its name, id and
/// secret stay: they are this node's own cluster now.
pub(super) fn forget_cluster(om: &Om, owner: &Owner) -> Result<(), Failure> {
    let settings = settings(om)?;
    let document = match Document::read(om, owner, &settings) {
        Ok(document) => document,
        Err(_) if !owner.file(om).exists() => return Ok(()),
        Err(failure) => return Err(failure),
    };
    let ini = match &document {
        Document::Node(conf) => &conf.node,
        Document::Object(conf) => conf.ini(),
    };
    let mut edits: Vec<Edit> = ini
        .sections()
        .filter(|section| section.starts_with("hb#") || section.starts_with("arbitrator#"))
        .map(|section| Edit::DeleteSection(section.to_owned()))
        .collect();
    if ini.get("cluster", "nodes").is_some() {
        edits.push(Edit::Unset("cluster.nodes".to_owned()));
    }
    if edits.is_empty() {
        return Ok(());
    }
    change(om, owner, &edits, false)
}

/// With `set --eval`, list operators start from the evaluated value: written first, then edited.
fn evaluate_bases(
    document: &Document,
    context: &Context,
    edits: &[Edit],
) -> Result<Vec<Edit>, Failure> {
    let mut based = vec![];
    let mut seen = std::collections::BTreeSet::new();
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

fn refuse_new_errors(
    owner: &Owner,
    before: &[Complaint],
    after: &[Complaint],
) -> Result<(), Failure> {
    let is_known = |complaint: &Complaint| {
        before.iter().any(|old| {
            Complaint { line: 0, ..old.clone() } == Complaint { line: 0, ..complaint.clone() }
        })
    };
    let fresh = after.iter().filter(|complaint| !is_known(complaint));
    let (errors, others): (Vec<_>, Vec<_>) =
        fresh.partition(|complaint| complaint.severity == Severity::Error);
    others
        .iter()
        .filter(|complaint| complaint.severity == Severity::Warning)
        .for_each(|complaint| note(&format!("warning: {complaint}")));
    if errors.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.push(format!(
        "nothing is written: the configuration of {} would be invalid",
        owner.words()
    ));
    Err(Failure { lines, code: 1 })
}

/// Prints what is wrong; the exit code counts errors and warnings.
fn validate(om: &Om, owner: &Owner) -> Result<u8, Failure> {
    let settings = settings(om)?;
    let document = Document::read(om, owner, &settings)?;
    let mut complaints = document.validate(&context(om, &settings, None)?);
    if matches!(owner, Owner::Node) {
        // What the daemon complains about when it loads the file.
        let known = complaints.clone();
        complaints.extend(settings.complaints.iter().filter(|each| !known.contains(each)).cloned());
    }
    for complaint in &complaints {
        match complaint.severity {
            Severity::Error => complain(&complaint.to_string()),
            Severity::Warning => note(&format!("warning: {complaint}")),
            Severity::Notice => note(&format!("notice: {complaint}")),
        }
    }
    let (errors, warnings) = Complaint::count(&complaints);
    Ok(u8::try_from(errors + warnings).unwrap_or(u8::MAX))
}

fn edit(om: &Om, owner: &Owner, recover: bool, discard: bool, editor: &str) -> Result<(), Failure> {
    let name = owner.words().replace('/', "_");
    let copy = om.paths.tmp.join(format!("{name}.conf.tmp"));
    if discard {
        durable::remove(&copy)?;
    }
    if copy.exists() && !recover {
        return Err(Failure::new(format!(
            "an earlier edit left {}: go on with it with --recover, or drop it with --discard",
            copy.display()
        )));
    }
    if recover && !copy.exists() {
        return Err(Failure::new("there is no earlier edit to recover: edit without --recover"));
    }
    let file = owner.file(om);
    let read = || match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::new(format!("{}: {error}", file.display()))),
    };
    let settings = settings(om)?;
    // Also refuses an object that is not here.
    let original = match Document::read(om, owner, &settings) {
        Ok(document) => document.text().to_owned(),
        // A file that does not even parse is what an edit is for.
        Err(_) if file.exists() => read()?,
        Err(failure) => return Err(failure),
    };
    if !recover {
        durable::write(&copy, original.as_bytes(), MODE)?;
    }
    if let Err(failure) = open_editor(editor, &copy) {
        // Nothing typed, nothing to keep.
        let is_untouched = std::fs::read_to_string(&copy).is_ok_and(|text| text == original);
        if is_untouched {
            durable::remove(&copy)?;
            return Err(failure);
        }
        let hint = format!("the edit is kept in {}", copy.display());
        return Err(Failure {
            lines: failure.lines.into_iter().chain([hint]).collect(),
            ..failure
        });
    }
    let text = std::fs::read_to_string(&copy)?;
    if text == original {
        durable::remove(&copy)?;
        note("unchanged");
        return Ok(());
    }
    let kept = |failure: Failure| {
        let hint = format!(
            "the edit is kept: `om {} edit config --recover` or `--discard`",
            owner.words()
        );
        Failure { lines: failure.lines.into_iter().chain([hint]).collect(), ..failure }
    };
    let _lock =
        durable::FileLock::take(&owner.lock(om), PATIENCE).map_err(Failure::from).map_err(kept)?;
    if read().map_err(kept)? != original {
        return Err(kept(Failure::new(format!(
            "{} was changed by somebody else meanwhile",
            file.display()
        ))));
    }
    let document = Document::parse(owner, &settings, &text).map_err(kept)?;
    let context = config::context(
        &om.paths,
        &NodeSettings::new(match &document {
            Document::Node(conf) => Arc::new(conf.clone()),
            Document::Object(_) => Arc::clone(&settings.conf),
        }),
    );
    refuse_new_errors(owner, &[], &document.validate(&context)).map_err(kept)?;
    durable::write(&file, text.as_bytes(), MODE).map_err(Failure::from).map_err(kept)?;
    durable::remove(&copy)?;
    Ok(())
}

fn open_editor(editor: &str, file: &std::path::Path) -> Result<(), Failure> {
    let editor = if editor.trim().is_empty() { "vi" } else { editor };
    let mut words = shlex::split(editor)
        .ok_or_else(|| Failure::new(format!("EDITOR={editor:?} is not a command")))?
        .into_iter();
    let program = words.next().ok_or_else(|| Failure::new("EDITOR is empty"))?;
    let status = Command::new(&program).args(words).arg(file).status().map_err(|error| {
        Failure::new(format!("{program}: {error}: set EDITOR to an editor that is installed"))
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{program} failed ({status})")))
}

/// The action and options that ask another node for the same.
pub(super) fn as_request(
    action: &ConfigAction,
) -> Result<(String, Map<String, serde_json::Value>), Failure> {
    let (name, options) = match action {
        ConfigAction::Get { keywords, eval, impersonate } => {
            ("get", json!({"kw": keywords, "eval": eval, "impersonate": impersonate}))
        }
        ConfigAction::Set { edits, eval } => {
            let edits: Vec<&str> = edits.iter().map(|edit| edit.0.as_str()).collect();
            ("set", json!({"kw": edits, "eval": eval}))
        }
        ConfigAction::Unset { keywords } => ("unset", json!({"kw": keywords})),
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
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use model::NodeName;

    use super::*;
    use crate::paths::Paths;

    struct Place {
        om: Om,
        folder: tempfile::TempDir,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        paths.create().unwrap();
        let om =
            Om { paths, nodename: NodeName::new("n1").unwrap(), output: om::Output::default() };
        Place { om, folder }
    }

    impl Place {
        fn object(&self, text: &str) -> Owner {
            let path = ObjectPath::parse("web").unwrap();
            std::fs::write(self.om.paths.config_file(&path), text).unwrap();
            Owner::Object(path)
        }

        fn text(&self, owner: &Owner) -> String {
            std::fs::read_to_string(owner.file(&self.om)).unwrap()
        }

        fn set(&self, owner: &Owner, edit: &str) -> Result<(), Failure> {
            change(&self.om, owner, &[Edit::Set(edit.to_owned())], false)
        }

        /// An editor that appends a line.
        fn editor(&self, line: &str) -> String {
            let program = self.folder.path().join("editor");
            std::fs::write(&program, format!("#!/bin/sh\nprintf '%s\\n' '{line}' >> \"$1\"\n"))
                .unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            program.display().to_string()
        }
    }

    #[test]
    fn no_writer_loses_the_change_of_another_one() {
        let place = place();
        let owner = place.object("[DEFAULT]\nid = x\n");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (place, owner) = (&place, &owner);
                scope.spawn(move || place.set(owner, &format!("env.k{writer}=v")).unwrap());
            }
        });
        let text = place.text(&owner);
        for writer in 0..8 {
            assert!(text.contains(&format!("k{writer} = v")), "{text}");
        }
    }

    #[test]
    fn a_write_keeps_the_mode_and_an_edit_without_effect_writes_nothing() {
        let place = place();
        let owner = place.object("[DEFAULT]\nid = x\n# kept\norchestrate = ha\n");
        let file = owner.file(&place.om);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        place.set(&owner, "orchestrate=no").unwrap();
        assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\n# kept\norchestrate = no\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        let before = crate::config::FileStamp::of(&file);
        place.set(&owner, "orchestrate=no").unwrap();
        assert_eq!(crate::config::FileStamp::of(&file), before);
    }

    #[test]
    fn an_edit_may_not_make_the_configuration_invalid() {
        let place = place();
        let owner = place.object("[DEFAULT]\nid = x\n");
        let before = place.text(&owner);
        let failure = place.set(&owner, "orchestrate=sometimes").unwrap_err();
        assert!(failure.lines.iter().any(|line| line.contains("orchestrate")), "{failure:?}");
        assert_eq!(place.text(&owner), before);
        // A mistake that was there before is no reason to refuse the edit that mends another one.
        let owner = place.object("[DEFAULT]\nid = x\norchestrate = sometimes\ntopology = ring\n");
        place.set(&owner, "topology=flex").unwrap();
    }

    #[test]
    fn an_editor_changes_the_file_at_once_or_not_at_all() {
        let place = place();
        let owner = place.object("[DEFAULT]\nid = x\n");
        edit(&place.om, &owner, false, false, &place.editor("orchestrate = ha")).unwrap();
        assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\norchestrate = ha\n");
        let copy = place.om.paths.tmp.join("web.conf.tmp");
        assert!(!copy.exists());

        let invalid = place.editor("topology = ring");
        let failure = edit(&place.om, &owner, false, false, &invalid).unwrap_err();
        assert!(failure.lines.iter().any(|line| line.contains("--recover")), "{failure:?}");
        assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\norchestrate = ha\n");
        assert!(copy.exists());

        let failure = edit(&place.om, &owner, false, false, "true").unwrap_err();
        assert!(failure.lines[0].contains("--discard"), "{failure:?}");
        edit(&place.om, &owner, false, true, "true").unwrap();
        assert!(!copy.exists());
    }

    #[test]
    fn an_edit_does_not_overwrite_what_somebody_else_wrote_meanwhile() {
        let place = place();
        let owner = place.object("[DEFAULT]\nid = x\n");
        let file = owner.file(&place.om).display().to_string();
        let meanwhile = format!("sh -c 'echo tags = a >> {file}; echo orchestrate = ha >> $0'");
        let failure = edit(&place.om, &owner, false, false, &meanwhile).unwrap_err();
        assert!(failure.lines[0].contains("somebody else"), "{failure:?}");
        assert_eq!(place.text(&owner), "[DEFAULT]\nid = x\ntags = a\n");
    }

    #[test]
    fn what_an_operator_gets_is_what_is_set_or_what_applies() {
        let place = place();
        let owner = place.object("[DEFAULT]\nid = x\nnodes = {nodename}\n");
        let get = |keyword: &str, eval| {
            let values = get(&place.om, &owner, &[keyword.to_owned()], eval, None).unwrap();
            spelled(values[0].1.as_ref())
        };
        assert_eq!(get("nodes", false), "{nodename}");
        assert_eq!(get("nodes", true), "n1");
        assert_eq!(get("orchestrate", false), "None");
        assert_eq!(get("orchestrate", true), "no");
    }

    #[test]
    fn node_conf_is_written_and_checked_too() {
        let place = place();
        let set = |edit: &str| place.set(&Owner::Node, edit);
        set("node.env=PRD").unwrap();
        assert_eq!(place.text(&Owner::Node).trim(), "[node]\nenv = PRD");
        let mode = std::fs::metadata(place.om.paths.node_conf()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
