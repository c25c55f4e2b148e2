//! The configuration of an object, written as a whole.

use conf::{Ini, ObjectConf};
use dataset::config::csum;
use files::edit::Target;
use files::evaluate::evaluate;
use mail::requests::{Outcome, Refused};
use model::ObjectPath;
use serde_json::{Map, Value, json};
use wire::{ObjectCreate, Prepared, SetObjectConfig};

use crate::context::Context;
use crate::create;
use crate::edit::{Only, edit};

/// The section and the keyword that tell an object from another one of its name.
const ID: (&str, &str) = ("DEFAULT", "id");

/// POST `object_config`: creates an object of this text, or replaces what it has. What would be no good is refused, and so is
/// what was read before somebody else wrote.
pub(super) async fn set(context: &Context, options: &SetObjectConfig) -> Result<Outcome, Refused> {
    let path = model::validate_object_name(&options.path)
        .map_err(|error| Refused::new(400, error.to_string()))?;
    if path == ObjectPath::cluster() {
        let text =
            "the configuration of the cluster is set keyword by keyword: a mistake would end it";
        return Err(Refused::new(400, text));
    }
    let only = Only::read(options.only.as_deref())?;
    let ini = Ini::parse(&options.data).map_err(|error| Refused::new(400, error.to_string()))?;
    let is_here = context.config().objects.get(&path).is_some();
    let is_known = is_here || context.snapshot().services().contains_key(&path);
    only.check(is_known).map_err(|why| Refused::new(409, format!("{path} {why}")))?;
    match (is_known, is_here) {
        (false, _) if options.etag.is_some() => {
            Err(Refused::new(412, format!("{path} does not exist")))
        }
        (false, _) => created(context, &path, &ini).await,
        (true, false) => {
            let text = format!("{path} is not configured on this node: ask one of its nodes");
            Err(Refused::new(409, text))
        }
        (true, true) => replace(context, path, ini, options).await,
    }
}

/// Creates the object, on the nodes that its configuration names.
async fn created(context: &Context, path: &ObjectPath, ini: &Ini) -> Result<Outcome, Refused> {
    let sections = ini.sections().map(|section| {
        let keywords = ini.keywords(section).map(|(name, value)| (name.to_owned(), value.into()));
        (section.to_owned(), Value::Object(keywords.collect()))
    });
    let sections: Map<String, Value> = sections.collect();
    let options = ObjectCreate {
        path: None,
        template: None,
        namespace: None,
        data: [(path.to_string(), sections.into())].into_iter().collect(),
        provision: false,
        restore: false,
        sync: true,
    };
    let outcome = create::create_everywhere(context, &options).await?;
    let Outcome::Prepared(body) = &outcome else { return Ok(outcome) };
    refusal_of(body).map_or_else(|| Ok(wire::reply::info(format!("{path} created")).into()), Err)
}

/// What the nodes that were to create it say against it.
fn refusal_of(body: &Prepared) -> Option<Refused> {
    let reply: Value = serde_json::from_slice(&body.json()).unwrap_or_default();
    if wire::reply::status_of(&reply) == 0 {
        return None;
    }
    let parts = reply["nodes"].as_object().into_iter().flatten();
    let said = parts.filter_map(|(_, part)| {
        let printed = part.pointer("/data/err").and_then(Value::as_str);
        printed.or_else(|| part["error"].as_str()).map(|text| text.trim().to_owned())
    });
    Some(Refused::new(1, said.collect::<Vec<_>>().join("\n")))
}

/// Replaces what is there, under the lock of the file.
async fn replace(
    context: &Context,
    path: ObjectPath,
    new: Ini,
    options: &SetObjectConfig,
) -> Result<Outcome, Refused> {
    let (etag, force) = (options.etag.clone(), options.force);
    let evaluation = context.config().context.clone();
    let (target, name) = (Target::Object(path.clone()), path.to_string());
    let edited = edit(context, target, move |ini| {
        if etag.is_some_and(|etag| csum(ini.text().as_bytes()) != etag) {
            let text = format!("{path} was changed since it was read");
            return Ok((false, Err(Refused::new(412, text))));
        }
        let mut new = new;
        if let Some(id) = ini.get(ID.0, ID.1) {
            new.set(ID.0, ID.1, id).map_err(|error| error.to_string())?;
        }
        let judged =
            |ini: &Ini| evaluate(&ObjectConf::new(path.clone(), ini.clone()), &evaluation).1;
        let (before, after) = (judged(ini), judged(&new));
        let fresh = after.iter().filter(|each| !each.is_among(&before));
        let refused = fresh.filter(|each| each.is_refused_even(force));
        let told: Vec<String> = refused.map(ToString::to_string).collect();
        if !told.is_empty() {
            return Ok((false, Err(Refused::new(400, told.join("\n")))));
        }
        let is_changed = ini.text() != new.text();
        *ini = new;
        Ok((is_changed, Ok(())))
    });
    edited.await.map_err(|error| Refused::new(1, error))??;
    Ok(json!({"status": 0, "info": format!("{name}: written")}).into())
}
