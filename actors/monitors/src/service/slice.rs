//! Slices of a scaler, made from its own configuration.

use std::sync::Arc;

use conf::Ini;
use model::ObjectPath;

use crate::service::shared::Shared;
use files::edit::{Locked, Target, Writer};
use machine::random::random_uuid;

/// Writes the configuration of a slice, on another thread. The config watcher sees it.
pub(super) fn create(
    shared: &Arc<Shared>,
    scaler: &ObjectPath,
    slice: ObjectPath,
    flex_target: Option<i64>,
) {
    let config = shared.config.load();
    let Some(object) = config.objects.get(scaler).cloned() else { return };
    let work = move |ini: Option<Ini>| {
        // It is there already: the scaler decides again once it sees it.
        if ini.is_some() {
            return Ok(None);
        }
        let mut ini = object.conf().ini().clone();
        let target = flex_target.map(|target| target.to_string());
        let flex = target.as_deref().map(|target| ("flex_target", target));
        let id = random_uuid();
        set(&mut ini, [("id", id.as_str()), ("scaler_slave", "true")].into_iter().chain(flex))?;
        ini.unset("DEFAULT", "scale");
        Ok(Some(ini))
    };
    write(shared, slice, work);
}

/// Changes the bounds of a slice, on another thread.
pub(super) fn resize(shared: &Arc<Shared>, slice: ObjectPath, flex_target: i64) {
    let work = move |ini: Option<Ini>| {
        let Some(mut ini) = ini else { return Ok(None) };
        let (target, old) = (flex_target.to_string(), ini.text().to_owned());
        let keywords = ["flex_min", "flex_max", "flex_target"];
        set(&mut ini, keywords.into_iter().map(|keyword| (keyword, target.as_str())))?;
        Ok(Some(ini).filter(|ini| ini.text() != old))
    };
    write(shared, slice, work);
}

fn set<'a>(ini: &mut Ini, values: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), String> {
    for (keyword, value) in values {
        ini.set("DEFAULT", keyword, value).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Replaces the configuration of a slice by what `work` makes of it; nothing is written for none.
fn write(
    shared: &Arc<Shared>,
    slice: ObjectPath,
    work: impl FnOnce(Option<Ini>) -> Result<Option<Ini>, String> + Send + 'static,
) {
    let paths = shared.paths.clone();
    machine::blocking::run(move || {
        let replace = || -> Result<(), String> {
            let said = |error: std::io::Error| error.to_string();
            let target = Target::Object(slice.clone());
            let locked = Locked::take(&paths, &target, Writer::Daemon).map_err(said)?;
            let old = machine::regular::read_text(locked.file()).ok();
            let old = old.map(|text| Ini::parse(&text)).transpose();
            let Some(ini) = work(old.map_err(|error| error.to_string())?)? else { return Ok(()) };
            locked.write(ini.text()).map_err(said)
        };
        if let Err(reason) = replace() {
            log::error!(path:% = slice, reason = reason.as_str(); "slice not written");
        }
    });
}
