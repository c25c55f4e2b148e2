//! Values of sec and usr objects that are stored in another form than they are to be: with an older secret, or for other
//! readers. Each is sealed anew, in its place.

use std::collections::{BTreeMap, BTreeSet};

use conf::{Envelope, NodeSettings};
use model::ObjectPath;

use dataset::config::LoadedObject;
use dataset::keys;
use dataset::keys::{Form, Keys};
use dataset::shared_map::SharedMap;
use files::edit::{Target, edit_now};
use machine::paths::Paths;
use ring::rand::SystemRandom;

/// The form that values are to have now; none while they stay as they are, because a member does not open it yet.
pub(super) fn wanted(node: &NodeSettings, is_used_by_all: bool) -> Option<Form> {
    node.secret.as_ref()?;
    match node.envelope {
        Envelope::Sealed if node.secret_previous.is_some() && !is_used_by_all => None,
        Envelope::Sealed => Some(Form::Sealed(node.secret_generation)),
        // Deployed agents read them.
        Envelope::Any | Envelope::Classic => Some(Form::Crypt),
    }
}

/// What is stored on this node.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The configurations that were looked at.
    seen: SharedMap<LoadedObject>,
    /// The forms of the values of each object that has any.
    forms: BTreeMap<ObjectPath, BTreeSet<Form>>,
    /// Objects with values that do not open.
    skipped: BTreeSet<ObjectPath>,
}

impl Stored {
    /// Looks at what changed.
    pub(super) fn follow(&mut self, objects: &SharedMap<LoadedObject>) {
        if objects.is_same(&self.seen) {
            return;
        }
        for path in objects.changed_since(&self.seen) {
            if !keys::is_sealed(path.kind()) {
                continue;
            }
            self.skipped.remove(&path);
            let conf = objects.get(&path).map(|object| object.conf());
            let mut forms: BTreeSet<Form> = conf
                .iter()
                .flat_map(|conf| conf.ini().keywords(keys::SECTION))
                .map(|(_, value)| Form::of(value))
                .collect();
            forms.remove(&Form::Other);
            match forms.is_empty() {
                true => _ = self.forms.remove(&path),
                false => _ = self.forms.insert(path, forms),
            }
        }
        self.seen = objects.clone();
    }

    /// Whether there are values that another secret than the one in force opens, or may.
    pub(super) fn has_older(&self, node: &NodeSettings) -> bool {
        let current = Form::Sealed(node.secret_generation);
        self.others(current).next().is_some()
    }

    /// An object with values in another form than this, among those that `is_mine` accepts.
    pub(super) fn next(
        &self,
        form: Form,
        is_mine: impl Fn(&ObjectPath) -> bool,
    ) -> Option<ObjectPath> {
        self.others(form).find(|path| is_mine(path)).cloned()
    }

    fn others(&self, form: Form) -> impl Iterator<Item = &ObjectPath> {
        let is_other = move |(path, forms): &(&ObjectPath, &BTreeSet<Form>)| {
            !self.skipped.contains(*path) && forms.iter().any(|it| *it != form)
        };
        self.forms.iter().filter(is_other).map(|(path, _)| path)
    }

    /// An object whose values do not open stays as it is until it changes.
    pub(super) fn skip(&mut self, path: &ObjectPath) {
        self.skipped.insert(path.clone());
    }

    /// What is wrong.
    pub(super) fn complaint(&self) -> Option<String> {
        let names: Vec<&str> = self.skipped.iter().map(ObjectPath::as_str).take(5).collect();
        let more = self.skipped.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!names.is_empty()).then(|| {
            format!(
                "{}{more}: values that no secret of the cluster opens: write them anew (`om <path> change --key ..`)",
                names.join(", ")
            )
        })
    }
}

/// Seals the values of an object anew that are in another form than they are to be, and that open; how many. Blocks.
pub(super) fn seal_anew(
    paths: &Paths,
    node: &NodeSettings,
    path: &ObjectPath,
) -> Result<usize, String> {
    let keys = Keys::of(node).ok_or("the cluster has no secret")?;
    let form = keys.form();
    let (_, values) = edit_now(paths, &Target::Object(path.clone()), |ini| {
        let others: Vec<String> = ini
            .keywords(keys::SECTION)
            .filter(|(_, value)| !matches!(Form::of(value), Form::Other) && Form::of(value) != form)
            .map(|(key, _)| key.to_owned())
            .collect();
        let mut count = 0;
        for key in others {
            let Ok(value) = keys::decode(ini, path, &key, Some(&keys)) else { continue };
            let stored = keys::encode(path.kind(), &value, Some(&keys), &SystemRandom::new())
                .map_err(|error| format!("key {key}: {error}"))?;
            ini.set(keys::SECTION, &key, &stored).map_err(|error| error.to_string())?;
            count += 1;
        }
        Ok((count > 0, count))
    })?;
    Ok(values)
}
