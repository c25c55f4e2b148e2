//! Keys of cfg, sec and usr objects, stored as the deployed agents store them.
//!
//! Section `data`: `literal:<text>` for one line of text, `base64:<bytes>` for the rest. Those of sec and usr are
//! `crypt:<base64url of a classic envelope and its NUL>`, sealed with the cluster secret under the cluster name `join`;
//! inside is the text as JSON, or the bytes when they are no text. (Observed on a deployed agent.)
//! Where no deployed agent is to read them, they are `sealed:<base64url of a sealed frame>` instead: keyed for that purpose
//! only, naming the generation of the secret. Both are read everywhere.

use std::sync::Arc;

use dataset::keys::{Keys, MOST_STORED, SECTION, decode, encode, has_keys, names, validate_name};
use files::edit::Target;
use link::heavy;
use mail::requests::{NotNow, Outcome, Refused};
use model::ObjectPath;
use ring::rand::SystemRandom;
use serde_json::json;
use wire::{Prepared, SetKey};

use crate::context::{Context, shorten};
use crate::edit::{Only, edit};

/// Stored values up to this length are read at once.
const SHORT: usize = 1 << 10;

/// The object of a request about keys.
async fn key_object(context: &Context, path: &str) -> Result<ObjectPath, Refused> {
    let path = context.known_object(path).await?;
    if has_keys(path.kind()) {
        Ok(path)
    } else {
        Err(Refused::new(400, format!("{path} has no keys: it is no cfg, sec or usr")))
    }
}

fn keys(context: &Context) -> Option<Keys> {
    Keys::of(&context.config().node)
}

/// GET `object_keys`.
pub(super) async fn list(context: &Context, path: &str) -> Result<Outcome, Refused> {
    let path = key_object(context, path).await?;
    let config = context.config();
    let keys =
        config.objects.get(&path).map(|object| names(object.conf().ini())).unwrap_or_default();
    Ok(wire::reply::data(keys).into())
}

/// GET `key`. Bytes that are no text are shown as far as they are.
pub(super) async fn get(context: &Context, path: &str, key: &str) -> Result<Outcome, Refused> {
    let path = key_object(context, path).await?;
    let config = context.config();
    let unknown = || Refused::new(404, format!("{path} not found"));
    let object = config.objects.get(&path).ok_or_else(unknown)?;
    let stored = object.conf().ini().get(SECTION, key).map_or(0, str::len);
    let (object, key, keys) = (object.clone(), key.to_owned(), keys(context));
    let read = move || {
        let value = decode(object.conf().ini(), &path, &key, keys.as_ref())
            .map_err(|error| Refused::new(1, error.to_string()))?;
        let data = String::from_utf8_lossy(&value);
        Ok::<Prepared, Refused>(Prepared::new(&json!({"status": 0, "data": data})))
    };
    // What is short may inflate all the same, to less than anybody notices.
    let read = if stored < SHORT {
        read()?
    } else {
        let held = heavy::hold(4 * stored + MOST_STORED).await.ok_or(NotNow)?;
        // With its share: work that is begun goes on when nobody waits for it any more.
        let work = move || (read(), held);
        heavy::apart(work).await.ok_or(NotNow)?.0?
    };
    Ok(Outcome::Prepared(Arc::new(read)))
}

/// POST `key`.
pub(super) async fn set(context: &Context, options: &SetKey) -> Result<Outcome, Refused> {
    let SetKey { path, key, data, only } = options;
    let path = key_object(context, path).await?;
    let only = Only::read(only.as_deref())?;
    let (name, data, config) =
        (key.to_owned(), data.as_bytes().to_vec(), context.mail.config.clone());
    let kind = path.kind();
    let edited = edit(context, Target::Object(path), move |ini| {
        let is_there = ini.get(SECTION, &name).is_some();
        only.check(is_there).map_err(|why| format!("key {name} {why}"))?;
        // With what is in force when the file is written.
        let keys = Keys::of(&config.load().node);
        let stored = validate_name(&name)
            .and_then(|()| encode(kind, &data, keys.as_ref(), &SystemRandom::new()));
        let stored = stored.map_err(|error| error.to_string())?;
        let is_changed = ini.set(SECTION, &name, &stored).map_err(|error| error.to_string())?;
        Ok((is_changed, ()))
    });
    edited.await.map_err(|error| Refused::new(1, error))?;
    Ok(wire::reply::info(format!("key {key} value set")).into())
}

/// DELETE `key`.
pub(super) async fn unset(context: &Context, path: &str, key: &str) -> Result<Outcome, Refused> {
    let path = key_object(context, path).await?;
    let name = key.to_owned();
    let edited =
        edit(context, Target::Object(path), move |ini| Ok((ini.unset(SECTION, &name), ())));
    edited.await.map_err(|error| Refused::new(1, error))?;
    Ok(wire::reply::info(format!("key {} value unset", shorten(key))).into())
}
