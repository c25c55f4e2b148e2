//! `config history`, `config show`, `config revert`: the last versions of a configuration on this node.

use cli::render::{Align, Cell, Tone, diff, printable, summary, table};
use conf::NodeSettings;
use conf::redact::redact;
use files::edit::{Locked, Writer};
use files::versions::{self, Version};
use model::{Kind, ObjectPath};
use serde_json::{Value, json};

use crate::config_edit::document::{Document, Owner};
use crate::config_edit::here::judge;
use crate::config_edit::mistakes::settings;
use crate::logs::entries::local_time;
use crate::om::{Failure, Om, note, print, say};

/// The versions that are kept, the newest last: as data.
pub(super) fn history(om: &Om, owner: &Owner) -> Result<Value, Failure> {
    let kept = kept(om, owner)?;
    let before = std::iter::once(None).chain(kept.iter().map(Some));
    let told = kept.iter().zip(before).map(|(version, before)| {
        let what = before.map_or("first known".to_owned(), |it| summary(&it.text, &version.text));
        json!({"number": version.number, "t": version.at, "by": version.by, "what": what})
    });
    Ok(Value::Array(told.collect()))
}

/// The same for a reader.
pub(super) fn history_text(versions: &Value) -> String {
    let text = |version: &Value, key: &str| version[key].as_str().unwrap_or_default().to_owned();
    let rows = versions.as_array().into_iter().flatten().map(|version| {
        vec![
            Cell::new(Tone::Strong, &version["number"].to_string()),
            Cell::new(Tone::Note, &time(version["t"].as_f64().unwrap_or_default())),
            Cell::plain(&text(version, "by")),
            Cell::plain(&text(version, "what")),
        ]
    });
    table(rows.collect(), &[Align::Right, Align::Left, Align::Left, Align::Left], 2).to_string()
}

fn time(t: f64) -> String {
    if t == 0.0 { "before".to_owned() } else { local_time(t) }
}

/// Shows a version, or what it changed.
pub(super) fn show(
    om: &Om,
    owner: &Owner,
    number: Option<u64>,
    is_diff: bool,
) -> Result<(), Failure> {
    let kept = kept(om, owner)?;
    let now = Document::read(om, owner, &settings(om)?)?.text().to_owned();
    let (text, before) = match number {
        Some(number) => {
            let at = place(owner, &kept, number)?;
            (kept[at].text.clone(), at.checked_sub(1).map(|at| kept[at].text.clone()))
        }
        None => {
            let before = kept.iter().rev().find(|version| version.text != now);
            (now, before.map(|version| version.text.clone()))
        }
    };
    if is_diff {
        let before = before.ok_or_else(|| {
            Failure::new(format!("{}: no version before that one is known", owner.words()))
        })?;
        print(&diff(&before, &text).to_string());
        return Ok(());
    }
    let lines = redact(&text).lines;
    print(&lines.iter().map(|line| format!("{}\n", printable(line))).collect::<String>());
    Ok(())
}

/// Installs an older version as a new edit. What tells the object, or the cluster, from another one stays as it is.
pub(super) fn revert(
    om: &Om,
    owner: &Owner,
    number: Option<u64>,
    force: bool,
) -> Result<(), Failure> {
    let locked = Locked::take(&om.paths, owner, Writer::Command)?;
    let settings = settings(om)?;
    let now = Document::read(om, owner, &settings)?;
    let kept = kept(om, owner)?;
    let version = match number {
        Some(number) => &kept[place(owner, &kept, number)?],
        None => {
            kept.iter().rev().find(|version| version.text != now.text()).ok_or_else(|| {
                Failure::new(format!("{}: no older version is known", owner.words()))
            })?
        }
    };
    let text = with_identity(owner, &settings, &now, &version.text)?;
    if text == now.text() {
        note("unchanged");
        return Ok(());
    }
    say(&diff(now.text(), &text).to_string());
    judge(om, owner, &settings, (now.text(), &text), force)?;
    locked.write(&text)?;
    note(&format!("{} is as in version {} again", owner.words(), version.number));
    Ok(())
}

/// A text with the ids and secrets of today: what has an older id is another object, and an older secret opens nothing.
fn with_identity(
    owner: &Owner,
    settings: &NodeSettings,
    now: &Document,
    text: &str,
) -> Result<String, Failure> {
    let mut document = Document::parse(owner, settings, text)?;
    let Document::Object(conf) = &mut document else { return Ok(text.to_owned()) };
    let Document::Object(now) = now else { return Ok(text.to_owned()) };
    let is_ours = |section: &str, keyword: &str| match (owner, section) {
        (Owner::Object(path), "cluster") if path.kind() == Kind::Ccfg => {
            keyword == "id" || keyword.starts_with("secret")
        }
        (_, "DEFAULT") => keyword == "id",
        _ => false,
    };
    let failed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
    for section in ["DEFAULT", "cluster"] {
        let old: Vec<String> =
            conf.ini().keywords(section).map(|(name, _)| name.to_owned()).collect();
        for name in old.iter().filter(|name| is_ours(section, name)) {
            if now.ini().get(section, name).is_none() {
                conf.ini_mut().unset(section, name);
            }
        }
        let current = now.ini().keywords(section).filter(|(name, _)| is_ours(section, name));
        for (name, value) in current {
            conf.ini_mut().set(section, name, value).map_err(|error| failed(&error))?;
        }
    }
    Ok(conf.text().to_owned())
}

fn kept(om: &Om, owner: &Owner) -> Result<Vec<Version>, Failure> {
    if !owner.has_versions() {
        return Err(Failure::new(format!(
            "{} holds secrets: no older version is kept, what is changed or removed there is gone",
            owner.words()
        )));
    }
    if let Owner::Object(path) = owner
        && *path != ObjectPath::cluster()
        && !om.paths.config_file(path).exists()
    {
        return Err(Failure::new(format!("object {path} has no configuration on this node")));
    }
    Ok(versions::list(&om.paths, owner))
}

/// Where the version of a number is.
fn place(owner: &Owner, kept: &[Version], number: u64) -> Result<usize, Failure> {
    kept.iter().position(|version| version.number == number).ok_or_else(|| {
        let words = owner.words();
        let range = match (kept.first(), kept.last()) {
            (Some(first), Some(last)) => format!("{} to {} are kept", first.number, last.number),
            _ => "none is kept yet".to_owned(),
        };
        Failure::new(format!(
            "{words} has no version {number}: {range}, `om {words} config history`"
        ))
    })
}
