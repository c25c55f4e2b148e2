//! `om <path> keys|add|change|decode|remove`: the keys of cfg, sec and usr objects.
//!
//! An object of this node is read and written here, under the lock of its file: that works without a daemon, and with
//! bytes that are no text. Those of other nodes are asked of the daemon, whose requests carry text only.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use cli::render::printable;
use cli::{KeyAction, KeySource};
use conf::Ini;
use dataset::keys;
use dataset::keys::Keys;
use files::edit::{Locked, Target, Writer};
use files::in_force;
use link::link::Link;
use model::ObjectPath;
use ring::rand::SystemRandom;
use serde_json::{Map, Value};
use wire::Request;
use wire::reply::status_of;

use crate::om::{ANSWER, Done, Failure, Om, note};
use crate::select::is_here;

/// Longest value that is read: what an object may hold, and one byte that tells that there is more.
const MAX_READ: u64 = (8 << 20) + 1;

/// Where an object is.
pub(super) enum Place {
    /// On this node.
    Here(ObjectPath),
    /// Where the daemon finds it.
    Daemon(ObjectPath),
}

impl Place {
    /// The place of an object of the cluster.
    pub(super) fn of(om: &Om, path: ObjectPath) -> Self {
        if is_here(om, &path) { Self::Here(path) } else { Self::Daemon(path) }
    }

    fn path(&self) -> &ObjectPath {
        match self {
            Self::Here(path) | Self::Daemon(path) => path,
        }
    }
}

/// `keys`.
pub(super) fn list(om: &Om, link: &Link, paths: &[ObjectPath], pattern: Option<&str>) -> Done {
    let mut all = Map::new();
    for path in paths {
        let names: Value = match Place::of(om, path.clone()) {
            Place::Here(path) => {
                has_keys(&path)?;
                keys::names(&read(om, &path)?).into()
            }
            Place::Daemon(path) => {
                let request = Request::new(wire::ObjectKeys { path: path.to_string() });
                let reply = link.ask(&request, Some(ANSWER))?;
                if status_of(&reply) != 0 {
                    return om.report(&reply);
                }
                reply.get("data").cloned().unwrap_or_default()
            }
        };
        let names: Vec<Value> = names
            .as_array()
            .into_iter()
            .flatten()
            .filter(|name| {
                pattern.is_none_or(|pattern| conf::glob(pattern, name.as_str().unwrap_or_default()))
            })
            .cloned()
            .collect();
        all.insert(path.to_string(), names.into());
    }
    om.show(&all.clone().into(), |_| {
        let names = all.values().filter_map(Value::as_array).flatten().filter_map(Value::as_str);
        names.map(|name| format!("{}\n", printable(name))).collect()
    });
    Ok(0)
}

/// `add`, `change`, `decode`, `remove`.
pub(super) fn run(om: &Om, link: &Link, places: &[Place], action: &KeyAction) -> Done {
    for place in places {
        has_keys(place.path())?;
    }
    match action {
        KeyAction::Set { key, source, replace } => {
            let values = values(key.as_deref(), source)?;
            for place in places {
                set(om, link, place, &values, *replace)?;
            }
        }
        KeyAction::Decode { key } => {
            for place in places {
                let value = decode(om, link, place, key)?;
                // As it is: it may be a file.
                let mut out = std::io::stdout().lock();
                match out.write_all(&value).and_then(|()| out.flush()) {
                    // A reader that went away has read enough.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(0),
                    written => written?,
                }
            }
        }
        KeyAction::Remove { key } => {
            for place in places {
                remove(om, link, place, key)?;
            }
        }
    }
    Ok(0)
}

fn has_keys(path: &ObjectPath) -> Result<(), Failure> {
    if keys::has_keys(path.kind()) {
        return Ok(());
    }
    Err(Failure::new(format!("{path} has no keys: only objects of kind cfg, sec and usr have")))
}

/// The keys to set. Those of a folder are named by their path in it, after `key` if there is one, else after the name of
/// the folder, unless a slash ends it: as deployed agents name them.
fn values(key: Option<&str>, source: &KeySource) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let named = |key: &str, value: Vec<u8>| BTreeMap::from([(key.to_owned(), value)]);
    let file = match source {
        KeySource::Value(text) => return Ok(named(key.unwrap_or_default(), text.clone().into())),
        KeySource::Stdin => {
            let mut value = vec![];
            std::io::stdin().lock().take(MAX_READ).read_to_end(&mut value)?;
            return Ok(named(key.unwrap_or_default(), value));
        }
        KeySource::Path(file) => Path::new(file),
    };
    let unreadable = |file: &Path, error| Failure::new(format!("{}: {error}", file.display()));
    let slurp = |file: &Path| -> Result<Vec<u8>, Failure> {
        let mut value = vec![];
        std::fs::File::open(file)
            .and_then(|file| file.take(MAX_READ).read_to_end(&mut value))
            .map_err(|error| unreadable(file, error))?;
        Ok(value)
    };
    if !file.is_dir() {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let key = key.map(str::to_owned).or(name).unwrap_or_default();
        return Ok(named(&key, slurp(file)?));
    }
    let KeySource::Path(written) = source else { return Ok(BTreeMap::new()) };
    let own = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let own = own.filter(|_| !written.ends_with('/'));
    let prefix = key.map(|key| key.trim_end_matches('/').to_owned()).or(own);
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![file.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, error))?;
            let (path, kind) = (entry.path(), entry.file_type());
            let kind = kind.map_err(|error| unreadable(&path, error))?;
            // A link to a folder may lead round in a circle.
            if kind.is_dir() {
                folders.push(path);
            } else if path.is_file() {
                let name = path.strip_prefix(file).unwrap_or(&path).to_string_lossy().into_owned();
                let name = match &prefix {
                    Some(prefix) => format!("{prefix}/{name}"),
                    None => name,
                };
                found.insert(name, slurp(&path)?);
            }
        }
    }
    if found.is_empty() {
        return Err(Failure::new(format!("{} holds no file", file.display())));
    }
    Ok(found)
}

fn read(om: &Om, path: &ObjectPath) -> Result<Ini, Failure> {
    let file = om.paths.config_file(path);
    let text = machine::regular::read_text(&file)
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    Ini::parse(&text).map_err(|error| Failure::new(format!("{} {error}", path.config_file())))
}

fn sealing(om: &Om) -> Result<Option<Keys>, Failure> {
    let settings = in_force::load_node_as_it_speaks(&om.paths, om.nodename.clone())?;
    Ok(Keys::of(&settings))
}

/// Edits the file of an object of this node.
fn edit(
    om: &Om,
    path: &ObjectPath,
    change: impl FnOnce(&mut Ini) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let locked = Locked::take(&om.paths, &Target::Object(path.clone()), Writer::Command)?;
    let mut ini = read(om, path)?;
    change(&mut ini)?;
    Ok(locked.write(ini.text())?)
}

fn there(path: &ObjectPath, key: &str) -> Failure {
    Failure::new(format!("{path} has a key {key} already: replace its value with `change`"))
}

fn missing(path: &ObjectPath, key: &str) -> Failure {
    Failure::new(format!("{path} has no key {key}: `om {path} keys` lists those it has"))
}

fn set(
    om: &Om,
    link: &Link,
    place: &Place,
    values: &BTreeMap<String, Vec<u8>>,
    replace: bool,
) -> Result<(), Failure> {
    let of_key = |key: &str, error: keys::KeyError| Failure::new(format!("key {key:?}: {error}"));
    for key in values.keys() {
        keys::validate_name(key).map_err(|error| of_key(key, error))?;
    }
    match place {
        Place::Here(path) => {
            edit(om, path, |ini| {
                // With what is in force when the file is written.
                let sealing = sealing(om)?;
                for (key, value) in values {
                    if !replace && ini.get(keys::SECTION, key).is_some() {
                        return Err(there(path, key));
                    }
                    let stored =
                        keys::encode(path.kind(), value, sealing.as_ref(), &SystemRandom::new())
                            .map_err(|error| of_key(key, error))?;
                    ini.set(keys::SECTION, key, &stored)
                        .map_err(|error| Failure::new(format!("key {key:?}: {error}")))?;
                }
                Ok(())
            })
        }
        Place::Daemon(path) => {
            let known = if replace { vec![] } else { remote_names(link, path)? };
            for (key, value) in values {
                if known.contains(key) {
                    return Err(there(path, key));
                }
                let data = String::from_utf8(value.clone()).map_err(|_| {
                    Failure::new(format!(
                        "key {key:?} is no text: add it on a node that has {path}"
                    ))
                })?;
                let request = Request::new(wire::SetKey {
                    path: path.to_string(),
                    key: key.clone(),
                    data,
                    only: None,
                });
                done(om, &link.ask(&request, Some(ANSWER))?)?;
            }
            Ok(())
        }
    }
}

fn remote_names(link: &Link, path: &ObjectPath) -> Result<Vec<String>, Failure> {
    let request = Request::new(wire::ObjectKeys { path: path.to_string() });
    let reply = link.ask(&request, Some(ANSWER))?;
    let names = reply.get("data").and_then(Value::as_array).into_iter().flatten();
    Ok(names.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// Takes a refusal for a failure.
fn done(om: &Om, reply: &Value) -> Result<(), Failure> {
    om.report(reply).map(|_| ())
}

fn decode(om: &Om, link: &Link, place: &Place, key: &str) -> Result<Vec<u8>, Failure> {
    match place {
        Place::Here(path) => {
            let ini = read(om, path)?;
            if ini.get(keys::SECTION, key).is_none() {
                return Err(missing(path, key));
            }
            keys::decode(&ini, path, key, sealing(om)?.as_ref())
                .map_err(|error| Failure::new(format!("{path} key {key}: {error}")))
        }
        Place::Daemon(path) => {
            let request =
                Request::new(wire::GetKey { path: path.to_string(), key: key.to_owned() });
            let reply = link.ask(&request, Some(ANSWER))?;
            if status_of(&reply) != 0 {
                done(om, &reply)?;
            }
            Ok(reply.get("data").and_then(Value::as_str).unwrap_or_default().into())
        }
    }
}

fn remove(om: &Om, link: &Link, place: &Place, key: &str) -> Result<(), Failure> {
    match place {
        Place::Here(path) => edit(om, path, |ini| {
            if ini.unset(keys::SECTION, key) { Ok(()) } else { Err(missing(path, key)) }
        }),
        Place::Daemon(path) => {
            if !remote_names(link, path)?.iter().any(|name| name == key) {
                return Err(missing(path, key));
            }
            let request =
                Request::new(wire::DeleteKey { path: path.to_string(), key: key.to_owned() });
            done(om, &link.ask(&request, Some(ANSWER))?)
        }
    }?;
    note(&format!("key {key} removed"));
    Ok(())
}
