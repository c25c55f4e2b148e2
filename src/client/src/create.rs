//! `om <path> create`.

use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use cli::{ConfigSource, CreateOptions, Target, Wait};
use conf::{Complaint, Edit, Ini, ObjectConf, Sections};
use files::edit::{Locked, Writer};
use files::{context, load};
use link::link::Link;
use link::link::error::AskError;
use machine::{durable, random, regular};
use model::{GlobalExpect, InstanceAction, ObjectPath, validate_object_name};
use serde_json::{Map, Value};
use wire::{NodeSpec, Request};

use crate::config_edit::document::{Document, Owner};
use crate::config_edit::mistakes::judging;
use crate::om::{ANSWER, Done, Failure, Om, addressed, complain, note, print};
use crate::select::Selection;
use crate::{certificates, instance, known, target};
use link::fetch::{self, HttpError, Uri};

/// How long the daemon may take to load a new file.
const LOADED: Duration = Duration::from_secs(5);

/// Creates an object, or those of a JSON document.
pub(super) fn run(
    om: &Om,
    link: &Link,
    selection: &Selection,
    options: &CreateOptions,
    target: &Target,
) -> Done {
    let objects = sources(om, link, selection, options)?;
    if let Target::Nodes(nodes) = target {
        return create_elsewhere(om, link, objects, options, Some(nodes));
    }
    if link.is_remote() {
        // On the nodes that it is for: they are not here.
        return create_elsewhere(om, link, objects, options, None);
    }
    let mut code = 0_u8;
    let are_several = objects.len() > 1;
    let created: Vec<ObjectPath> = objects.iter().map(|(path, _)| path.clone()).collect();
    for (path, text) in objects {
        match create(om, &path, &text, options, &created) {
            // What is wrong with one is no reason not to make the others.
            Err(failure) if are_several => {
                failure.lines.iter().for_each(|line| complain(line));
                code = code.max(failure.code);
                continue;
            }
            done => done?,
        }
        print(&format!("create {path}\n"));
        wait_until_loaded(link, &path);
        if options.provision {
            code = code.max(provision(om, link, &path, options, target)?);
        }
    }
    Ok(code)
}

/// The paths that `create` is about, comma separated: a selector creates nothing.
fn paths_of(selection: &Selection) -> Result<Vec<ObjectPath>, Failure> {
    let Some(selector) = selection.selector.as_deref() else {
        return Err(Failure::usage(
            "the document is of one object, and does not name it: om <path> create --config ..",
        ));
    };
    let paths = selection
        .literals()
        .filter(|paths| !paths.is_empty())
        .ok_or_else(|| Failure::usage(format!("{selector:?} is no path of an object to create")))?;
    let valid = |path: &ObjectPath| {
        validate_object_name(path.as_str()).map_err(|error| Failure::usage(error.to_string()))
    };
    crate::select::unique(paths).iter().map(valid).collect()
}

/// The same text for each of them.
fn each(selection: &Selection, text: &str) -> Result<Vec<(ObjectPath, String)>, Failure> {
    Ok(paths_of(selection)?.into_iter().map(|path| (path, text.to_owned())).collect())
}

/// The configuration texts to create objects from.
fn sources(
    om: &Om,
    link: &Link,
    selection: &Selection,
    options: &CreateOptions,
) -> Result<Vec<(ObjectPath, String)>, Failure> {
    let text = match &options.source {
        ConfigSource::None => String::new(),
        ConfigSource::Stdin => {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .take(regular::MAX_FILE_BYTES)
                .read_to_string(&mut text)
                .map_err(|error| Failure::new(format!("standard input: {error}")))?;
            text
        }
        ConfigSource::Config(source) => fetch(om, link, selection, source)?,
        ConfigSource::Template(name) => template(om, name)?,
    };
    if !text.trim_start().starts_with('{') {
        return each(selection, &text);
    }
    let data: Sections = wire::parse_json(text.as_bytes())
        .map_err(|error| Failure::new(format!("the configuration is not JSON: {error}")))?;
    // Sections hold texts; a document of several objects holds sections.
    let is_several = !data.is_empty()
        && data.values().all(|object| {
            object
                .as_object()
                .is_some_and(|object| !object.is_empty() && object.values().all(Value::is_object))
        });
    if !is_several {
        return each(selection, &ini_text(&data)?);
    }
    data.iter()
        .map(|(name, sections)| {
            let path = selection
                .absolute(name)
                .ok_or_else(|| Failure::usage(format!("{name:?} is no path of an object")))?;
            let path = validate_object_name(path.as_str())
                .map_err(|error| Failure::usage(error.to_string()))?;
            let sections = sections.as_object().cloned().unwrap_or_default();
            Ok((path, ini_text(&sections)?))
        })
        .collect()
}

/// JSON sections as a configuration file.
fn ini_text(data: &Sections) -> Result<String, Failure> {
    let mut ini = Ini::parse("").map_err(|error| Failure::new(error.to_string()))?;
    // DEFAULT is read first, so it is written first.
    let default = data.iter().filter(|(section, _)| *section == "DEFAULT");
    let others =
        data.iter().filter(|(section, _)| !matches!(section.as_str(), "DEFAULT" | "metadata"));
    for (section, keywords) in default.chain(others) {
        let Some(keywords) = keywords.as_object() else {
            return Err(Failure::new(format!("section {section} is not an object of keywords")));
        };
        for (keyword, value) in keywords {
            let Some(value) = Ini::text_of(value) else { continue };
            ini.set(section, keyword, &value)
                .map_err(|error| Failure::new(format!("{section}.{keyword}: {error}")))?;
        }
    }
    Ok(ini.text().to_owned())
}

/// A file, a document of a web server, or the configuration of another object.
fn fetch(om: &Om, link: &Link, selection: &Selection, source: &str) -> Result<String, Failure> {
    if source.contains("://") {
        if let Some(file) = source.strip_prefix("file://") {
            return read(Path::new(file));
        }
        let failed = |error: HttpError| Failure::new(error.to_string());
        let bytes = fetch::get(&Uri::parse(source).map_err(failed)?, Duration::from_secs(30))
            .map_err(failed)?;
        return String::from_utf8(bytes)
            .map_err(|_| Failure::new(format!("{source}: is not UTF-8")));
    }
    if Path::new(source).is_file() {
        return read(Path::new(source));
    }
    let other = Selection { selector: Some(source.to_owned()), ..selection.clone() };
    let path = match other.literals().as_deref() {
        Some([path]) => path.clone(),
        _ => return Err(Failure::new(format!("{source}: neither a file, a URI nor an object"))),
    };
    let file = om.paths.config_file(&path);
    if file.is_file() {
        return read(&file);
    }
    let request = Request::new(wire::ObjectConfig {
        path: path.to_string(),
        format: "ini".to_owned(),
        evaluate: false,
        impersonate: None,
    });
    let missing = || Failure::new(format!("{source}: neither a file nor an object that exists"));
    let request = request.on(NodeSpec::Any);
    match link.ask(&request, Some(ANSWER)) {
        Ok(reply) => {
            let reply = match reply.get("nodes").and_then(Value::as_object) {
                Some(nodes) => nodes.values().next().cloned().unwrap_or_default(),
                None => reply,
            };
            reply.get("data").and_then(Value::as_str).map(str::to_owned).ok_or_else(missing)
        }
        Err(AskError::NotRunning(_)) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

fn template(om: &Om, name: &str) -> Result<String, Failure> {
    let folder = om.paths.etc.join("templates");
    let mut candidates = vec![std::path::PathBuf::from(name)];
    // A name stays in the folder.
    if !name.contains('/') && name != ".." {
        candidates.extend([folder.join(name), folder.join(format!("{name}.conf"))]);
    }
    match candidates.iter().find(|file| file.is_file()) {
        Some(file) => read(file),
        None => Err(Failure::new(format!(
            "template {name}: no such file, here or in {}; templates of a collector are not supported",
            folder.display()
        ))),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut bytes = vec![];
    std::fs::File::open(file)
        .and_then(|opened| opened.take(regular::MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    String::from_utf8(bytes).map_err(|_| Failure::new(format!("{}: is not UTF-8", file.display())))
}

/// All that the options set in a new object.
fn edits(conf: &ObjectConf, options: &CreateOptions) -> Result<Vec<Edit>, Failure> {
    let mut edits = resource_edits(conf, &options.resources)?;
    edits.extend(options.keywords.iter().map(|edit| Edit::Set(edit.0.clone())));
    edits.extend(options.env.iter().map(|(name, value)| Edit::SetValue {
        param: format!("env.{name}"),
        value: value.clone(),
    }));
    Ok(edits)
}

/// Sections of `--resource`: JSON with `rtype` (the group) and the keywords, or with `rid`.
fn resource_edits(conf: &ObjectConf, resources: &[String]) -> Result<Vec<Edit>, Failure> {
    let mut taken: std::collections::BTreeSet<String> =
        conf.ini().sections().map(str::to_owned).collect();
    let mut written = std::collections::BTreeSet::new();
    let mut edits = vec![];
    for text in resources {
        // What the operator wrote, keyword by keyword.
        let mut data: Map<String, Value> = wire::parse_json(text.as_bytes())
            .map_err(|error| Failure::usage(format!("--resource {text}: {error}")))?;
        let mut word = |name: &str| match data.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let section = match (word("rid"), word("rtype")) {
            (Some(rid), _) => rid,
            (None, Some(group)) => (1..)
                .map(|number| format!("{group}#{number}"))
                .find(|section| !taken.contains(section))
                .unwrap_or(group),
            (None, None) => {
                return Err(Failure::usage(format!(
                    "--resource {text}: has neither rtype nor rid"
                )));
            }
        };
        if !written.insert(section.clone()) {
            return Err(Failure::usage(format!(
                "--resource {text}: {section} is given twice: one of them would be lost"
            )));
        }
        taken.insert(section.clone());
        for (keyword, value) in data {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            edits.push(Edit::SetValue { param: format!("{section}.{keyword}"), value });
        }
    }
    Ok(edits)
}

fn parse(path: &ObjectPath, text: &str) -> Result<ObjectConf, Failure> {
    ObjectConf::parse(path.clone(), text)
        .map_err(|error| Failure::new(format!("{} {error}", path.config_file())))
}

/// Writes the file of a new object, frozen first: what is half configured is not started.
pub(super) fn create(
    om: &Om,
    path: &ObjectPath,
    text: &str,
    options: &CreateOptions,
    created: &[ObjectPath],
) -> Result<(), Failure> {
    let locked = Locked::take(&om.paths, &Owner::Object(path.clone()), Writer::Command)?;
    let is_new = !locked.file().exists();
    if !is_new && !options.force {
        return Err(Failure::new(format!(
            "object {path} already exists: change it with `om {path} set`, or replace it with --force"
        )));
    }
    let mut conf = parse(path, text)?;
    conf.ini_mut().remove_section("metadata");
    if !options.restore {
        conf.ini_mut().unset("DEFAULT", "id");
    }
    conf.ensure_id(&random::random_uuid());
    let settings = load::load_node(&om.paths, om.nodename.clone())?;
    let context = context::context(&om.paths, &settings);
    let edits = edits(&conf, options)?;
    conf.edit(&context, &edits).map_err(|error| Failure::usage(error.to_string()))?;
    if !options.restore {
        certificates::prepare_user(om, &settings, &mut conf)?;
    }
    let context = judging(om, context, created, conf.text());
    let complaints = Document::Object(conf.clone()).validate(&context);
    let (refused, others): (Vec<&Complaint>, Vec<_>) =
        complaints.iter().partition(|complaint| complaint.is_refused() && !options.force);
    others.iter().for_each(|complaint| note(&format!("warning: {complaint}")));
    if !refused.is_empty() {
        let mut lines: Vec<String> = refused.iter().map(ToString::to_string).collect();
        lines
            .push(format!("{path} is not created: correct it, or create it as it is with --force"));
        return Err(Failure { lines, code: 1 });
    }
    certificates::add_to_new(om, &settings, &mut conf)?;
    if is_new && path.kind().has_instances() {
        durable::write(&om.paths.instance_frozen(path), b"", 0o644)?;
    }
    locked.write(conf.text())?;
    Ok(())
}

/// Returns when the daemon, if one runs, has read the new file: the next command is to find the object.
fn wait_until_loaded(link: &Link, path: &ObjectPath) {
    let start = Instant::now();
    while start.elapsed() < LOADED {
        match known::status(link, Some(path.as_str()), None) {
            Ok(data) if known::has_object(&data, path.as_str()) => return,
            // Its watcher merges changes for a tenth of a second.
            Ok(_) => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => return,
        }
    }
}

/// Provisions a new object: by its monitors, or here without a daemon.
fn provision(
    om: &Om,
    link: &Link,
    path: &ObjectPath,
    options: &CreateOptions,
    target: &Target,
) -> Done {
    if !path.kind().has_instances() {
        return Ok(0);
    }
    let action = model::ActionOptions {
        leader: options.leader,
        disable_rollback: options.disable_rollback,
        ..model::ActionOptions::default()
    };
    let is_running = link.ask(&Request::new(wire::BlacklistStatus {}), Some(ANSWER)).is_ok();
    if *target == Target::Local || !is_running {
        return instance::run_here(
            om,
            std::slice::from_ref(path),
            InstanceAction::Provision,
            &action,
        );
    }
    let expect = GlobalExpect::Provisioned;
    target::set(om, link, std::slice::from_ref(path), &expect, &Wait::default())
}

/// Creates objects on other nodes.
fn create_elsewhere(
    om: &Om,
    link: &Link,
    objects: Vec<(ObjectPath, String)>,
    options: &CreateOptions,
    nodes: Option<&str>,
) -> Done {
    let here_only = [
        ("--force", options.force),
        ("--leader", options.leader),
        ("--disable-rollback", options.disable_rollback),
    ];
    if let Some((option, _)) = here_only.iter().find(|(_, is_given)| *is_given) {
        return Err(Failure::usage(format!(
            "create takes no {option} with --node or https://: create it without --node on that node, the others get it by themselves"
        )));
    }
    let mut data = Map::new();
    let settings = load::load_node(&om.paths, om.nodename.clone())?;
    let context = context::context(&om.paths, &settings);
    for (path, text) in objects {
        let mut conf = parse(&path, &text)?;
        let edits = edits(&conf, options)?;
        conf.edit(&context, &edits).map_err(|error| Failure::usage(error.to_string()))?;
        data.insert(path.to_string(), conf.ini().to_json().into());
    }
    let request = Request::new(wire::ObjectCreate {
        path: None,
        template: None,
        namespace: None,
        data,
        provision: options.provision,
        restore: options.restore,
        sync: true,
    });
    let nodes = nodes.map(|nodes| NodeSpec::Selector(nodes.to_owned()));
    let reply = link.ask(&addressed(request, nodes), None)?;
    crate::remote::show_outputs(om, &reply)
}
