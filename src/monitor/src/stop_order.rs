//! In which order the local instances stop when no daemon watches them.

use std::collections::{BTreeMap, BTreeSet};

use model::{Kind, ObjectPath, ObjectSettings};

/// The objects, in groups that stop one after the other: what needs an object stops before it, and a volume after all
/// services. Objects of one group do not need each other. Those that need each other in a circle are the last group.
#[must_use]
pub fn stop_order(objects: &BTreeMap<ObjectPath, &ObjectSettings>) -> Vec<Vec<ObjectPath>> {
    let mut left: BTreeSet<&ObjectPath> = objects.keys().collect();
    let users = users(objects);
    let mut groups = vec![];
    while !left.is_empty() {
        let is_free = |path: &ObjectPath| {
            users.get(path).is_none_or(|users| users.iter().all(|user| !left.contains(user)))
        };
        let mut group: Vec<ObjectPath> =
            left.iter().copied().filter(|path| is_free(path)).cloned().collect();
        if group.is_empty() {
            group = left.iter().copied().cloned().collect();
        }
        left.retain(|path| !group.contains(path));
        groups.push(group);
    }
    groups
}

/// Who stops before each object.
fn users<'a>(
    objects: &'a BTreeMap<ObjectPath, &ObjectSettings>,
) -> BTreeMap<ObjectPath, BTreeSet<&'a ObjectPath>> {
    let mut users: BTreeMap<ObjectPath, BTreeSet<&ObjectPath>> = BTreeMap::new();
    // `path`, or `path@node`: another node's instance is none of ours, and its name then stands for nothing here.
    let named = |text: &String| ObjectPath::parse(text.split('@').next().unwrap_or_default()).ok();
    for (path, settings) in objects {
        for parent in settings.parents.iter().filter_map(named).filter(|parent| parent != path) {
            users.entry(parent).or_default().insert(path);
        }
        let below = settings.children.iter().chain(&settings.slaves).filter_map(named);
        for child in below {
            if let Some((child, _)) = objects.get_key_value(&child)
                && child != path
            {
                users.entry(path.clone()).or_default().insert(child);
            }
        }
        if path.kind() == Kind::Vol {
            let services = objects.keys().filter(|other| other.kind() != Kind::Vol);
            users.entry(path.clone()).or_default().extend(services);
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(objects: &[(&str, &[&str], &[&str])]) -> String {
        let settings: Vec<(ObjectPath, ObjectSettings)> = objects
            .iter()
            .map(|(path, parents, children)| {
                let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
                let settings = ObjectSettings {
                    parents: texts(parents),
                    children: texts(children),
                    ..ObjectSettings::default()
                };
                (ObjectPath::parse(path).unwrap(), settings)
            })
            .collect();
        let objects = settings.iter().map(|(path, settings)| (path.clone(), settings)).collect();
        let groups = stop_order(&objects);
        let texts = groups
            .iter()
            .map(|group| group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        texts.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_needs_an_object_stops_before_it() {
        assert_eq!(order(&[("db", &[], &[]), ("web", &["db"], &[])]), "web, db");
        assert_eq!(order(&[("web", &[], &[]), ("db", &[], &["web"])]), "web, db");
        let three: &[(&str, &[&str], &[&str])] =
            &[("a", &["b@n1"], &[]), ("b", &["c"], &[]), ("c", &["nowhere"], &[]), ("d", &[], &[])];
        assert_eq!(order(three), "a d, b, c");
    }

    #[test]
    fn volumes_stop_after_all_services() {
        let some: &[(&str, &[&str], &[&str])] =
            &[("ns/vol/a", &[], &[]), ("ns/svc/b", &["ns/svc/c"], &[]), ("ns/svc/c", &[], &[])];
        assert_eq!(order(some), "ns/svc/b, ns/svc/c, ns/vol/a");
    }

    #[test]
    fn a_circle_and_an_object_that_names_itself_stop_all_the_same() {
        assert_eq!(order(&[("a", &["b"], &[]), ("b", &["a"], &[]), ("c", &["c"], &[])]), "c, a b");
    }
}
