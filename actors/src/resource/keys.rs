//! Keys of cfg and sec objects in the environment of apps and tasks.

use conf::{Ini, ObjectConf};
use model::{Kind, ObjectPath};
use wire::{ClusterSecret, Frame, Limits, base64url};

use super::driver::{Failure, Scene};

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
    let mut variables = vec![];
    for word in words {
        let (variable, key) = match word.split_once('=') {
            Some((variable, key)) => (Some(variable), key),
            None => (None, word.as_str()),
        };
        let (name, key) = key
            .split_once('/')
            .ok_or_else(|| Failure::refused(format!("{word} is not [VAR=]name/key")))?;
        let namespace = scene.instance.path.namespace().unwrap_or("root");
        let path = ObjectPath::parse(&format!("{namespace}/{}/{name}", kind.as_str()))
            .map_err(|error| Failure::refused(error.to_string()))?;
        let conf = load(scene, &path)?;
        let is_pattern = key.contains(['*', '?', '[']);
        let mut found = false;
        for (option, value) in conf.ini().keywords("data") {
            if option != key && !(is_pattern && matches(key, option)) {
                continue;
            }
            found = true;
            let value = decode(scene, value).ok_or_else(|| {
                Failure::refused(format!("key {option} of {path} cannot be read"))
            })?;
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

fn load(scene: &Scene<'_>, path: &ObjectPath) -> Result<ObjectConf, Failure> {
    let file = scene.host.paths.config_file(path);
    let text = std::fs::read_to_string(&file).map_err(Failure::io(path.to_string()))?;
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

/// The content of a key: `literal:` text, `base64:`, or `crypt:` sealed with the cluster secret.
fn decode(scene: &Scene<'_>, value: &str) -> Option<String> {
    if let Some(text) = value.strip_prefix("literal:") {
        return Some(text.to_owned());
    }
    if let Some(text) = value.strip_prefix("base64:") {
        return String::from_utf8(base64url::decode(text)?).ok();
    }
    if let Some(text) = value.strip_prefix("crypt:") {
        let secret = ClusterSecret::new(scene.host.node.secret.as_ref()?.expose());
        return decrypt(&base64url::decode(text)?, &secret);
    }
    Some(value.to_owned())
}

fn decrypt(frame: &[u8], secret: &ClusterSecret) -> Option<String> {
    let limits = Limits::default();
    let frame = frame.strip_suffix(b"\0").unwrap_or(frame);
    let opened = Frame::parse(frame, &limits).ok()?.open(secret, &limits).ok()?;
    String::from_utf8(opened.body().to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_written_by_a_deployed_agent_is_read() {
        // Written by a 2.1 agent: `om sec/s1 add --key p1 --value secret1`.
        let value = "eyJjbHVzdGVybmFtZSI6ICJqb2luIiwgIm5vZGVuYW1lIjogImRuMSIsICJpdiI6ICJ0X1dqeWRGVnh6\
                     dTRfS01DNmkzTmhRPT0iLCAiZGF0YSI6ICI4VmV2ckRUTmtaYkduSzRJNExCSl9rT0M2RWkxbHJ0Vm\
                     ZvZkJQRC13UHJnPSJ9AA==";
        let secret = ClusterSecret::new("81ec81d6e68c11f1ae3f02fc00000001");
        let frame = base64url::decode(value).unwrap();
        assert_eq!(decrypt(&frame, &secret).as_deref(), Some("secret1"));
    }

    #[test]
    fn a_pattern_selects_keys() {
        assert!(matches("db*", "db.user"));
        assert!(matches("?", "a"));
        assert!(!matches("db*", "adb"));
        assert!(!matches("a.c", "abc"));
    }
}
