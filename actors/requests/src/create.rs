//! Creating objects, on the nodes they are for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use conf::Ini;
use futures_util::future::join_all;
use model::{NodeName, ObjectPath};
use serde_json::{Map, Value, json};
use wire::reply::{NodeReply, Part};
use wire::{ObjectCreate, Request};

use machine::durable;
use mail::requests::{NotNow, Outcome, Refused};
use mail::runner::{CommandOutcome, RunCommand};

use crate::actions::not_run;
use crate::context::{Context, blocking, prepared, shorten};
use crate::multiplex;

/// Longest wait for a peer to create, and provision, its instances.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// The configuration of an object, from `{section: {keyword: text}}`.
fn document(sections: &Value) -> Result<Ini, String> {
    let sections = sections.as_object().ok_or("a configuration is an object of sections")?;
    let mut ini = Ini::parse("").map_err(|error| error.to_string())?;
    for (section, keywords) in sections.iter().filter(|(name, _)| *name != "metadata") {
        let keywords = keywords.as_object().ok_or("a section is an object of keywords")?;
        for (keyword, value) in keywords {
            let text = Ini::text_of(value).unwrap_or_default();
            ini.set(section, keyword, &text).map_err(|error| error.to_string())?;
        }
    }
    Ok(ini)
}

/// The object that a key of `data` names, in the namespace asked for.
fn object(key: &str, options: &ObjectCreate) -> Result<ObjectPath, Refused> {
    let resolved = match &options.namespace {
        Some(namespace) if !options.restore => model::resolve_path(key, Some(namespace)),
        _ => key.to_owned(),
    };
    model::validate_object_name(&resolved).map_err(|error| Refused::new(400, error.to_string()))
}

/// What is to be created, as it would be configured.
pub(super) fn documents(options: &ObjectCreate) -> Result<Vec<(ObjectPath, Ini)>, Refused> {
    let read = |(key, sections): (&String, &Value)| {
        let wrong = |error: String| Refused::new(400, format!("{}: {error}", shorten(key)));
        Ok((object(key, options)?, document(sections).map_err(wrong)?))
    };
    options.data.iter().map(read).collect()
}

/// The nodes of an object that is to be created; the local node if its configuration does not tell.
fn nodes_of(context: &Context, path: &ObjectPath, sections: &Value) -> Vec<NodeName> {
    let config = context.config();
    let nodes = document(sections).map(|ini| {
        let conf = conf::ObjectConf::new(path.clone(), ini);
        conf.scope(&config.context)
    });
    match nodes {
        Ok(nodes) if !nodes.is_empty() => nodes,
        _ => vec![context.mail.nodename.clone()],
    }
}

/// POST `object_create`: each object is created on the first of its nodes, and reaches the others as every
/// configuration does; the local node is preferred.
pub(super) async fn create_everywhere(
    context: &Context,
    options: &ObjectCreate,
) -> Result<Outcome, Refused> {
    // Configurations by object, as they came: read where the object is created.
    let mut parts: BTreeMap<NodeName, Map<String, Value>> = BTreeMap::new();
    for (key, sections) in &options.data {
        let path = object(key, options)?;
        document(sections)
            .map_err(|error| Refused::new(400, format!("{}: {error}", shorten(key))))?;
        let nodes = nodes_of(context, &path, sections);
        let local = &context.mail.nodename;
        let node = nodes.iter().find(|node| *node == local).unwrap_or(&nodes[0]);
        parts.entry(node.clone()).or_default().insert(key.clone(), sections.clone());
    }
    if options.template.is_some() && options.path.is_some() {
        parts.entry(context.mail.nodename.clone()).or_default();
    }
    let asked = parts.into_iter().map(|(node, data)| async move {
        let mut request = Request::new(ObjectCreate { data, ..options.clone() });
        request.multiplexed = true;
        let is_local = node == context.mail.nodename;
        let reply = if is_local {
            multiplex::ask_here(context, &request).await
        } else {
            match prepared(request.to_value()).await {
                Ok(message) => {
                    multiplex::ask_peer(context, node.as_str(), &message, false, PATIENCE).await
                }
                Err(not_now) => Part::of(&Refused::from(not_now).to_reply()),
            }
        };
        NodeReply { nodename: node.to_string(), is_local, reply }
    });
    Ok(Outcome::Prepared(Arc::new(wire::reply::fanned_out(join_all(asked).await))))
}

/// A file of its own, removed when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}

/// The part of this node: `om <path> create` for each object.
pub(super) async fn create_here(
    context: &Context,
    options: &ObjectCreate,
) -> Result<Outcome, Refused> {
    let (mut out, mut err, mut worst) = (String::new(), String::new(), 0);
    let mut jobs: Vec<(ObjectPath, Vec<String>, Option<Scratch>)> = vec![];
    for (key, sections) in &options.data {
        let path = object(key, options)?;
        let ini = document(sections).map_err(|error| Refused::new(400, error))?;
        let text = ini.text().to_owned();
        let file = context.mail.paths.tmp.join(durable::temporary_name("create.conf"));
        let words = vec!["--config".into(), file.display().to_string()];
        let scratch = Scratch(file.clone());
        blocking(move || durable::write_cache(&file, text.as_bytes(), 0o600))
            .await?
            .map_err(|error| Refused::new(500, error.to_string()))?;
        jobs.push((path, words, Some(scratch)));
    }
    if let (true, Some(path), Some(template)) = (jobs.is_empty(), &options.path, &options.template)
    {
        let words = vec!["--template".into(), template.clone()];
        jobs.push((object(path, options)?, words, None));
    }
    for (path, mut words, _scratch) in jobs {
        words.insert(0, "create".into());
        words.splice(0..0, path.command_words());
        for (is_wanted, flag) in
            [(options.provision, "--provision"), (options.restore, "--restore")]
        {
            if is_wanted {
                words.push(flag.into());
            }
        }
        let command = RunCommand { words, sync: true, path: Some(path), time: None };
        let ended = context.mail.runner.send(command).await.map_err(|_| NotNow)?;
        if let CommandOutcome::Ended { out: o, err: e, ret } =
            ended.map_err(|error| not_run(&error))?
        {
            out.push_str(&o);
            err.push_str(&e);
            worst = if worst == 0 { ret } else { worst };
        }
    }
    let mut reply = json!({"status": worst, "data": {"out": out, "err": err, "ret": worst}});
    if !options.sync && worst == 0 {
        // Who does not wait is told what was begun: here, it is done.
        let made: Vec<&str> =
            options.data.keys().map(String::as_str).chain(options.path.as_deref()).collect();
        reply["info"] = format!("created {}", made.join(", ")).into();
    }
    Ok(reply.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_become_a_configuration_and_nothing_breaks_out_of_a_value() {
        let sections = json!({
            "metadata": {"name": "svc9"},
            "DEFAULT": {"nodes": ["n1", "n2"], "priority": 10, "disable": false},
            "env": {"x": "one\n[evil]\nid = 1", "y": null},
        });
        let ini = document(&sections).unwrap();
        let ini = Ini::parse(ini.text()).unwrap();
        assert_eq!(ini.sections().collect::<Vec<_>>(), ["DEFAULT", "env"]);
        assert_eq!(ini.get("DEFAULT", "nodes"), Some("n1 n2"));
        assert_eq!(ini.get("DEFAULT", "priority"), Some("10"));
        assert_eq!(ini.get("env", "x"), Some("one\n[evil]\nid = 1"));
        for broken in [json!([]), json!({"a": 1}), json!({"a\n[b]": {"c": "d"}})] {
            assert!(document(&broken).is_err(), "{broken}");
        }
    }
}
