//! The judging of files that were read: what comes into force, and what stays in force while a file is not good.
//!
//! Whether the next content may follow the one in force is decided by [`conf::NodeSettings::follow`].

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::sync::{Arc, OnceLock};

use conf::{Complaint, Context, Found, NODE_FILES, NodeSettings, Severity};
use dataset::config::{LoadedConfig, LoadedObject, csum};
use machine::paths::Paths;
use machine::{clock, durable, regular};
use model::{NodeName, ObjectPath, Timestamp};

use crate::context::context;
use crate::evaluate::{adds_errors, evaluate};
use crate::last_good::{MODE, copy_of, read_copy};

/// A file that was read: its text and its metadata, none without a file.
pub(crate) type Read = Result<Option<(String, Metadata)>, Box<Complaint>>;

/// Judges node.conf and cluster.conf, which were read; whether something changed.
pub(crate) fn follow_node(
    config: &mut LoadedConfig,
    paths: &Paths,
    read: [Read; 2],
    deployed: &BTreeSet<NodeName>,
) -> bool {
    for name in NODE_FILES {
        config.complaints.remove(name);
    }
    let text = |read: &Read| read.as_ref().ok().and_then(Option::as_ref).map(|it| it.0.clone());
    let texts = [text(&read[0]), text(&read[1])];
    let base = match config.is_node_loaded {
        true => config.node.clone(),
        false => Arc::new(first_base(paths, &config.node.nodename, &texts)),
    };
    let found = [0, 1].map(|file| match (&read[file], &texts[file]) {
        (Err(_), _) => Found::Unread,
        (Ok(_), None) => Found::Nothing,
        (Ok(_), Some(text)) => Found::Text(text),
    });
    let follow = |found| match is_other_cluster(paths, &texts) {
        true => base.follow_elsewhere(found),
        false => base.follow(found),
    };
    let mut followed = follow(found);
    if let Some(complaint) = unfollowed(&base, &followed.settings, deployed) {
        followed = follow([Found::Unread, found[1]]);
        followed.refused.push(complaint);
    }
    for complaint in read.into_iter().filter_map(Result::err) {
        config.complain(*complaint);
    }
    for complaint in followed.refused {
        config.complain(complaint);
    }
    let is_kept =
        |file: &str| NODE_FILES.iter().zip(followed.is_kept).any(|it| it == (&file, true));
    for complaint in &followed.settings.complaints {
        if !is_kept(&complaint.file) {
            config.complain(complaint.clone());
        }
    }
    let last = [base.conf.cluster.text(), base.conf.node.text()];
    for (file, last) in NODE_FILES.into_iter().zip(last) {
        match is_kept(file) && !last.trim().is_empty() {
            true => {
                let cluster = config.objects.get(&ObjectPath::cluster());
                let updated = cluster.filter(|_| file == NODE_FILES[0]).map(|it| it.updated);
                keep(config, paths, file, last, updated);
            }
            false => let_go(config, paths, file),
        }
    }
    let node_csum = match &texts[1] {
        Some(text) if !is_kept(NODE_FILES[1]) => csum(text.as_bytes()),
        _ if is_kept(NODE_FILES[1]) && config.is_node_loaded => config.node_csum.clone(),
        _ => csum(followed.settings.conf.node.text().as_bytes()),
    };
    let is_changed = followed.settings.conf != config.node.conf || node_csum != config.node_csum;
    if is_changed {
        config.context = Arc::new(context(paths, &followed.settings));
        config.node = Arc::new(followed.settings);
        config.node_csum = node_csum;
    }
    config.is_node_loaded = true;
    is_changed
}

/// Judges the file of an object, which was read: what becomes of the object, none of what is in force stays.
#[expect(clippy::option_option, reason = "nothing changes, or there is no such object any more")]
pub(crate) fn judge(
    config: &mut LoadedConfig,
    paths: &Paths,
    path: &ObjectPath,
    read: Result<Option<LoadedObject>, Box<Complaint>>,
) -> Option<Option<LoadedObject>> {
    let file = path.config_file();
    let loaded = config.objects.get(path).cloned();
    let copy = || match loaded.is_none() {
        // As the daemon before this one had it.
        true => read_copy(paths, &file).and_then(|it| from_text(path, &config.context, it).ok()),
        false => None,
    };
    if *path == ObjectPath::cluster() {
        // Judged and complained about with node.conf.
        return match read {
            _ if config.kept.contains(&file) => copy().map(Some),
            Ok(read) => Some(read),
            Err(_) => None,
        };
    }
    let copy = copy();
    let last = loaded.as_deref().or(copy.as_ref());
    let is_good = match (&read, last) {
        (Ok(Some(new)), Some(last)) => !adds_errors(&last.complaints, &new.complaints),
        (Ok(_), _) => true,
        (Err(_), _) => false,
    };
    let kept = match (is_good, last) {
        (false, Some(last)) => Some((last.text.clone(), last.updated)),
        _ => None,
    };
    config.complaints.remove(&file);
    let read = match read {
        Ok(read) => read,
        Err(complaint) => {
            config.complain(*complaint);
            None
        }
    };
    for complaint in read.iter().flat_map(|object| &object.complaints) {
        config.complain(complaint.clone());
    }
    match kept {
        Some((text, updated)) => {
            keep(config, paths, &file, &text, Some(updated));
            copy.map(Some)
        }
        None if is_good => {
            let_go(config, paths, &file);
            Some(read)
        }
        None => None,
    }
}

fn keep(
    config: &mut LoadedConfig,
    paths: &Paths,
    file: &str,
    text: &str,
    updated: Option<Timestamp>,
) {
    config.kept.insert(file.to_owned());
    if read_copy(paths, file).is_some_and(|(copy, _)| copy == text) {
        return;
    }
    let time = updated.and_then(regular::file_time).unwrap_or_else(clock::system);
    // Without it, this daemon goes on with what it has; its children and the next one can not.
    if let Err(error) = durable::write_at(&copy_of(paths, file), text.as_bytes(), MODE, time) {
        log::error!(error:% = error; "the last good configuration could not be noted");
    }
}

fn let_go(config: &mut LoadedConfig, paths: &Paths, file: &str) {
    config.kept.remove(file);
    if let Err(error) = durable::remove(&copy_of(paths, file))
        && error.kind() != io::ErrorKind::NotADirectory
    {
        log::warn!(error:% = error; "a copy of a configuration that is good again stays");
    }
}

/// Whether these files are those that a join or a leave wrote.
fn is_other_cluster(paths: &Paths, texts: &[Option<String>; 2]) -> bool {
    let Ok(noted) = machine::regular::read_text(&paths.other_cluster()) else { return false };
    let found: Vec<String> = texts.iter().flatten().map(|text| csum(text.as_bytes())).collect();
    !noted.is_empty() && noted.lines().all(|csum| found.iter().any(|found| found == csum))
}

/// A heartbeat whose type changes while a deployed agent takes part in it.
///
/// Seen of deployed agents: the worker goes on as what it was, with the keywords of the new type. One that was unicast and
/// becomes multicast sends to the group by TCP and listens there: it is deaf and mute, is taken for dead, takes over what
/// runs elsewhere, and so do the others with what runs there. A section of another name is followed.
fn unfollowed(
    old: &NodeSettings,
    new: &NodeSettings,
    deployed: &BTreeSet<NodeName>,
) -> Option<Complaint> {
    new.heartbeats.iter().find_map(|after| {
        let before = old.heartbeats.iter().find(|before| before.name == after.name)?;
        if before.kind == after.kind {
            return None;
        }
        let takes_part =
            |node: &&NodeName| before.nodes.contains(*node) && after.nodes.contains(*node);
        let node = deployed.iter().find(takes_part)?;
        Some(Complaint {
            severity: Severity::Error,
            file: NODE_FILES[0].to_owned(),
            line: 0,
            section: after.name.clone(),
            keyword: "type".to_owned(),
            reason: format!(
                "the agent of {node} does not follow a change from {} to {}: leave {} as it was, add another section, and \
                 remove {} once all nodes beat on the new one",
                before.kind, after.kind, before.name, before.name
            ),
        })
    })
}

/// What the first files are judged against: what the daemon before this one had in force where it noted that, else they
/// themselves, whatever is wrong in them.
pub(crate) fn first_base(
    paths: &Paths,
    nodename: &NodeName,
    texts: &[Option<String>; 2],
) -> NodeSettings {
    let parse = |cluster: &str, node: &str| NodeSettings::parse(nodename.clone(), cluster, node);
    let text = |file: usize| {
        let copy = read_copy(paths, NODE_FILES[file]).map(|(text, _)| text);
        copy.or_else(|| texts[file].clone()).unwrap_or_default()
    };
    let (cluster, node) = (text(0), text(1));
    let empty = || parse("", "").expect("an empty text is read");
    let one = || parse(&cluster, "").or_else(|_| parse("", &node));
    parse(&cluster, &node).or_else(|_| one()).unwrap_or_else(|_| empty())
}

/// An object as a text says.
pub(crate) fn from_text(
    path: &ObjectPath,
    context: &Context,
    (text, updated): (String, Timestamp),
) -> Result<LoadedObject, Box<Complaint>> {
    let conf = dataset::config::parse_object(path, &text)?;
    let (settings, complaints) = evaluate(&conf, context);
    Ok(LoadedObject {
        path: path.clone(),
        csum: csum(text.as_bytes()),
        scope: conf.scope(context),
        text: text.into(),
        stamp: None,
        reply: OnceLock::new(),
        settings: Arc::new(settings),
        updated,
        complaints,
    })
}
