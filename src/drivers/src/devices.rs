//! Devices that values refer to: `{disk#1.exposed_devs[0]}`, `{volume#1.mnt}`.

use std::path::PathBuf;
use std::sync::Arc;

use conf::{Context, Facts, ObjectConf};

use crate::{mounts, volume};
use machine::paths::Paths;

/// What the resources of an object expose, looked up when a value asks.
struct Devices {
    conf: ObjectConf,
    /// Without facts: a reference to a device in the definition of a device is no device.
    context: Context,
    paths: Arc<Paths>,
}

/// The context in which values of the object are evaluated here; the same one when no value refers to a device.
pub(super) fn context(
    conf: &ObjectConf,
    context: &Arc<Context>,
    paths: &Arc<Paths>,
) -> Arc<Context> {
    let text = conf.ini().text();
    if context.facts.is_some() || !(text.contains("_devs") || text.contains(".mnt")) {
        return context.clone();
    }
    let plain = (**context).clone();
    let devices = Devices { conf: conf.clone(), context: plain.clone(), paths: paths.clone() };
    Arc::new(Context { facts: Some(Arc::new(devices)), ..plain })
}

impl Facts for Devices {
    fn devices(&self, rid: &str, what: &str) -> Option<Vec<String>> {
        let section = self.conf.section(&self.context, rid);
        let driver = section.driver().unwrap_or_default();
        let found: Vec<PathBuf> = match (section.group(), driver.as_str(), what) {
            ("disk", "loop", "exposed_devs") => {
                mounts::loop_devices(&PathBuf::from(section.text("file").ok()??))
            }
            ("volume", _, "mnt") => {
                let path = volume::path_of(&section)?;
                volume::mount_point_of(&path, &self.paths, &self.context).into_iter().collect()
            }
            ("volume", _, "exposed_devs") => {
                let path = volume::path_of(&section)?;
                volume::devices_of(&path, &self.paths, &self.context)
            }
            _ => vec![],
        };
        let found: Vec<String> = found.iter().map(|file| file.display().to_string()).collect();
        (!found.is_empty()).then_some(found)
    }

    fn safe(&self, _: &str) -> Option<String> {
        None
    }
}
