//! Keys of cfg and sec objects in the environment of apps and tasks.

use conf::{Ini, ObjectConf};
use model::{Kind, ObjectPath};

use dataset::keys;
use dataset::keys::Keys;

use crate::driver::Scene;
use crate::failure::Failure;

/// The variables that `[VAR=]<name>/<key>` words name. A key may be a pattern: then each key is a variable of its own.
///
/// # Errors
///
/// An object or a key that does not exist, or cannot be read.
pub(crate) fn environment(
    scene: &Scene<'_>,
    kind: Kind,
    words: &[String],
) -> Result<Vec<(String, String)>, Failure> {
    let sealing = Keys::of(&scene.host.node);
    let mut variables = vec![];
    for word in words {
        let (variable, key) = match word.split_once('=') {
            Some((variable, key)) => (Some(variable), key),
            None => (None, word.as_str()),
        };
        let (name, key) = key
            .split_once('/')
            .ok_or_else(|| Failure::refused(format!("{word} is not [VAR=]name/key")))?;
        let path = object(scene, kind, name)?;
        let keyword = if kind == Kind::Sec { "secrets_environment" } else { "configs_environment" };
        if !scene.host.paths.config_file(&path).exists() {
            return Err(Failure::refused(format!("{keyword} {word}: {path} does not exist")));
        }
        let conf = load(scene, &path)?;
        let is_pattern = is_pattern(key);
        let mut found = false;
        for (option, _) in conf.ini().keywords("data") {
            if option != key && !(is_pattern && matches(key, option)) {
                continue;
            }
            found = true;
            let value = keys::decode(conf.ini(), &path, option, sealing.as_ref())
                .map_err(|error| Failure::refused(error.to_string()))?;
            let value = String::from_utf8(value)
                .map_err(|_| Failure::refused(format!("key {option} of {path} is no text")))?;
            let own = option.to_uppercase().replace(['.', '-', '/'], "_");
            let variable = variable.filter(|_| !is_pattern).map_or(own, str::to_uppercase);
            variables.push((variable, value));
        }
        if !found && !is_pattern {
            return Err(Failure::refused(format!("{path} has no key {key}")));
        }
    }
    Ok(variables)
}

/// The value of a key of a cfg or sec object in the namespace of the instance.
///
/// # Errors
///
/// An object or a key that does not exist, or cannot be read.
pub(crate) fn value(
    scene: &Scene<'_>,
    kind: Kind,
    name: &str,
    key: &str,
) -> Result<Vec<u8>, Failure> {
    let sealing = Keys::of(&scene.host.node);
    let path = object(scene, kind, name)?;
    let conf = load(scene, &path)?;
    keys::decode(conf.ini(), &path, key, sealing.as_ref())
        .map_err(|error| Failure::refused(error.to_string()))
}

/// The names of the keys that `key` names: itself, those that it is the folder of, those that it is a pattern of.
///
/// # Errors
///
/// An object that does not exist, or cannot be read.
pub(crate) fn names(
    scene: &Scene<'_>,
    kind: Kind,
    name: &str,
    key: &str,
) -> Result<Vec<String>, Failure> {
    let conf = load(scene, &object(scene, kind, name)?)?;
    let folder = format!("{key}/");
    let is_meant = |option: &str| {
        option == key || option.starts_with(&folder) || (is_pattern(key) && matches(key, option))
    };
    let all = conf.ini().keywords("data");
    Ok(all.map(|(option, _)| option.to_owned()).filter(|option| is_meant(option)).collect())
}

/// Whether a key is a pattern.
pub(crate) fn is_pattern(key: &str) -> bool {
    key.contains(['*', '?', '['])
}

/// The path of a cfg or sec object in the namespace of the instance.
fn object(scene: &Scene<'_>, kind: Kind, name: &str) -> Result<ObjectPath, Failure> {
    let namespace = scene.instance.path.namespace().unwrap_or("root");
    ObjectPath::parse(&format!("{namespace}/{}/{name}", kind.as_str()))
        .map_err(|error| Failure::refused(error.to_string()))
}

fn load(scene: &Scene<'_>, path: &ObjectPath) -> Result<ObjectConf, Failure> {
    let file = scene.host.paths.config_file(path);
    let text = machine::regular::read_text(&file).map_err(Failure::io(path.to_string()))?;
    let ini = Ini::parse(&text).map_err(|error| Failure::refused(format!("{path}: {error}")))?;
    Ok(ObjectConf::new(path.clone(), ini))
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut expression = String::from("^");
    for sign in pattern.chars() {
        match sign {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' | ']' => expression.push(sign),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    regex::Regex::new(&expression).is_ok_and(|expression| expression.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_selects_keys() {
        assert!(matches("db*", "db.user"));
        assert!(matches("?", "a"));
        assert!(!matches("db*", "adb"));
        assert!(!matches("a.c", "abc"));
    }
}
