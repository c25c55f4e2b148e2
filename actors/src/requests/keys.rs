//! Keys of cfg, sec and usr objects, stored as the deployed agents store them.
//!
//! Section `data`: `literal:<text>` for one line of text, `base64:<bytes>` for the rest. Those of sec and usr are
//! `crypt:<base64url of a classic envelope and its NUL>`, sealed with the cluster secret under the cluster name `join`;
//! inside is the text as JSON, or the bytes when they are no text. (Observed on a deployed agent; the specs are silent.)

use std::fmt;

use conf::Ini;
use model::{Kind, NodeName, ObjectPath};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use wire::{ClusterSecret, Form, Frame, JOIN, Limits, Prepared, Sender};

use super::edit::{Target, edit};
use super::{Context, Outcome, refusal};

/// Where the keys are.
pub const SECTION: &str = "data";
/// Largest value of a key.
const MAX_VALUE_BYTES: usize = 8 << 20;

/// Why a key could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// No such key, or no value.
    Missing {
        /// `configuration` or `secret <path>`.
        what: String,
        /// The key.
        key: String,
    },
    /// Neither `literal:`, `base64:` nor `crypt:`.
    Format,
    /// It does not open with the cluster secret.
    Secret,
    /// The cluster has no secret that can key it.
    NoSecret,
    /// The key has a sign that a configuration file cannot hold.
    Name,
    /// More bytes than a key may have.
    Size {
        /// Bytes of the value.
        bytes: usize,
    },
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what, key } => {
                write!(f, "{what} key {key} does not exist or has no value")
            }
            Self::Format => f.write_str("the value is neither literal, base64 nor crypt"),
            Self::Secret => f.write_str("the value does not open with the cluster secret"),
            Self::NoSecret => f.write_str("the cluster has no secret of 16, 24 or 32 bytes and more"),
            Self::Name => f.write_str(
                "a key has one character or more, no line break, = or :, no blank around it, and does not start with #, ; or [",
            ),
            Self::Size { bytes } => {
                write!(f, "the value has {bytes} bytes, expected at most {MAX_VALUE_BYTES}")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// Who writes a secret: its node, and the cluster secret.
#[derive(Debug, Clone)]
pub struct Sealer {
    /// The node.
    pub nodename: NodeName,
    /// Keyword `cluster.secret`.
    pub secret: ClusterSecret,
}

/// Whether the keys of a kind are sealed.
#[must_use]
pub fn is_sealed(kind: Kind) -> bool {
    matches!(kind, Kind::Sec | Kind::Usr)
}

/// Whether objects of a kind have keys.
#[must_use]
pub fn has_keys(kind: Kind) -> bool {
    matches!(kind, Kind::Cfg | Kind::Sec | Kind::Usr)
}

/// The keys of an object, sorted.
#[must_use]
pub fn names(ini: &Ini) -> Vec<String> {
    let mut names: Vec<String> = ini
        .keywords(SECTION)
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, _)| name.to_owned())
        .collect();
    names.sort();
    names
}

/// The bytes of a key.
///
/// # Errors
///
/// [`KeyError`]: no such key, or a value that does not open.
pub fn decode(
    ini: &Ini,
    path: &ObjectPath,
    key: &str,
    secret: Option<&ClusterSecret>,
) -> Result<Vec<u8>, KeyError> {
    let what =
        if is_sealed(path.kind()) { format!("secret {path}") } else { "configuration".to_owned() };
    let missing = || KeyError::Missing { what, key: key.chars().take(200).collect() };
    let stored = ini.get(SECTION, key).filter(|value| !value.is_empty()).ok_or_else(missing)?;
    let (format, value) = stored.split_once(':').ok_or(KeyError::Format)?;
    match format {
        "literal" => Ok(value.as_bytes().to_vec()),
        "base64" => wire::base64url::decode(&without_breaks(value)).ok_or(KeyError::Format),
        "crypt" => {
            let envelope =
                wire::base64url::decode(&without_breaks(value)).ok_or(KeyError::Format)?;
            open(&envelope, secret.ok_or(KeyError::NoSecret)?)
        }
        _ => Err(KeyError::Format),
    }
}

/// Long values may have been wrapped by an editor.
fn without_breaks(text: &str) -> String {
    text.split_whitespace().collect()
}

fn open(envelope: &[u8], secret: &ClusterSecret) -> Result<Vec<u8>, KeyError> {
    let end = envelope.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    let limits = Limits::default();
    let frame = Frame::parse(&envelope[..end], &limits).map_err(|_| KeyError::Format)?;
    let opened = frame.open_stored(secret, &limits).map_err(|_| KeyError::Secret)?;
    Ok(match wire::parse_json::<Value>(opened.body()) {
        Ok(Value::String(text)) => text.into_bytes(),
        _ => opened.body().to_vec(),
    })
}

/// The text to store for the bytes of a key.
///
/// # Errors
///
/// [`KeyError`]: too large, or no secret to seal it with.
pub fn encode(kind: Kind, value: &[u8], sealer: Option<&Sealer>) -> Result<String, KeyError> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(KeyError::Size { bytes: value.len() });
    }
    let text = std::str::from_utf8(value).ok();
    if is_sealed(kind) {
        let sealer = sealer.ok_or(KeyError::NoSecret)?;
        let body = match text {
            Some(text) => Prepared::new(text),
            None => Prepared::from_bytes(value),
        };
        let sender = Sender::new(JOIN, sealer.nodename.as_str(), sealer.secret.clone());
        let envelope = sender
            .seal(&Form::Classic, &body, &SystemRandom::new())
            .map_err(|_| KeyError::NoSecret)?;
        return Ok(format!("crypt:{}", wire::base64url::encode(&envelope)));
    }
    Ok(match text.filter(|text| !text.contains(char::is_control)) {
        Some(text) if text.trim_end() == text => format!("literal:{text}"),
        _ => format!("base64:{}", wire::base64url::encode(value)),
    })
}

/// Whether a name can be a key: what the configuration language takes for something else cannot.
///
/// # Errors
///
/// [`KeyError::Name`].
pub fn validate_name(key: &str) -> Result<(), KeyError> {
    let is_plain = !key.is_empty()
        && key.len() <= 1024
        && key.trim() == key
        && !key.contains(|c: char| c.is_control() || matches!(c, '=' | ':'))
        && !key.starts_with(['#', ';', '[']);
    if is_plain { Ok(()) } else { Err(KeyError::Name) }
}

/// The object of a request about keys.
fn key_object(context: &Context, path: &str) -> Result<ObjectPath, Value> {
    let path = context.known_object(path)?;
    if has_keys(path.kind()) {
        Ok(path)
    } else {
        Err(refusal(400, format!("{path} has no keys: it is no cfg, sec or usr")))
    }
}

fn secret(context: &Context) -> Option<ClusterSecret> {
    context.config().node.secret.as_ref().map(|secret| ClusterSecret::new(secret.expose()))
}

/// GET `object_keys`.
pub(super) async fn list(context: &Context, path: &str) -> Outcome {
    let path = match key_object(context, path) {
        Ok(path) => path,
        Err(refusal) => return refusal.into(),
    };
    let config = context.config();
    let keys =
        config.objects.get(&path).map(|object| names(object.conf().ini())).unwrap_or_default();
    wire::reply::data(keys).into()
}

/// GET `key`. Bytes that are no text are shown as far as they are.
pub(super) async fn get(context: &Context, path: &str, key: &str) -> Outcome {
    let path = match key_object(context, path) {
        Ok(path) => path,
        Err(refusal) => return refusal.into(),
    };
    let config = context.config();
    let Some(object) = config.objects.get(&path) else {
        return refusal(404, format!("{path} not found")).into();
    };
    match decode(object.conf().ini(), &path, key, secret(context).as_ref()) {
        Ok(value) => json!({"status": 0, "data": String::from_utf8_lossy(&value)}).into(),
        Err(error) => refusal(1, error.to_string()).into(),
    }
}

/// POST `key`.
pub(super) async fn set(context: &Context, path: &str, key: &str, data: &str) -> Outcome {
    let path = match key_object(context, path) {
        Ok(path) => path,
        Err(refusal) => return refusal.into(),
    };
    let sealer =
        secret(context).map(|secret| Sealer { nodename: context.routes.nodename.clone(), secret });
    let stored =
        validate_name(key).and_then(|()| encode(path.kind(), data.as_bytes(), sealer.as_ref()));
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => return refusal(1, error.to_string()).into(),
    };
    let name = key.to_owned();
    let edited = edit(context, Target::Object(path), move |ini| {
        let is_changed = ini.set(SECTION, &name, &stored).map_err(|error| error.to_string())?;
        Ok((is_changed, ()))
    });
    match edited.await {
        Ok(()) => wire::reply::info(format!("key {key} value set")).into(),
        Err(error) => refusal(1, error).into(),
    }
}

/// DELETE `key`.
pub(super) async fn unset(context: &Context, path: &str, key: &str) -> Outcome {
    let path = match key_object(context, path) {
        Ok(path) => path,
        Err(refusal) => return refusal.into(),
    };
    let name = key.to_owned();
    let edited =
        edit(context, Target::Object(path), move |ini| Ok((ini.unset(SECTION, &name), ())));
    match edited.await {
        Ok(()) => wire::reply::info(format!("key {} value unset", super::shorten(key))).into(),
        Err(error) => refusal(1, error).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";

    fn sealer() -> Sealer {
        Sealer { nodename: NodeName::new("n1").unwrap(), secret: ClusterSecret::new(SECRET) }
    }

    fn path(text: &str) -> ObjectPath {
        ObjectPath::parse(text).unwrap()
    }

    /// Written by a deployed agent.
    #[test]
    fn what_a_deployed_agent_wrote_is_read() {
        let ini = Ini::parse(
            "[data]\nk1 = literal:hello\na/b = base64:bXVsdGkKbGluZQo=\nuni = literal:\u{e9}\nbin = base64:AP8BYmlu\n",
        )
        .unwrap();
        let get = |key| decode(&ini, &path("cfg/c1"), key, None).unwrap();
        assert_eq!(get("k1"), b"hello");
        assert_eq!(get("a/b"), b"multi\nline\n");
        assert_eq!(get("uni"), "\u{e9}".as_bytes());
        assert_eq!(get("bin"), b"\x00\xff\x01bin");
        assert_eq!(names(&ini), ["a/b", "bin", "k1", "uni"]);
        let ini = Ini::parse(
            "[data]\n\
             pw = crypt:eyJjbHVzdGVybmFtZSI6ICJqb2luIiwgIm5vZGVuYW1lIjogInZtIiwgIml2IjogImFQckl4SXlKVU5PRTdUdkNwdDRFWkE9PSIsICJkYXRhIjogIk1Kd1ItX2xKUThuZks5RUhFVTVsRTg1bjlFcnBaRXF1RFNNTzN3VFdpamc9In0A\n\
             bin = crypt:eyJjbHVzdGVybmFtZSI6ICJqb2luIiwgIm5vZGVuYW1lIjogInZtIiwgIml2IjogIm1kQmFZUkZJbldscVhIdEZjU1gyeEE9PSIsICJkYXRhIjogIlV6cmtycGkxVlRNQXlIMUduaS1TQ1E9PSJ9AA==\n\
             u = crypt:eyJjbHVzdGVybmFtZSI6ICJqb2luIiwgIm5vZGVuYW1lIjogInZtIiwgIml2IjogImxaYWVaSEpsb2dBa2xGSGJMbXN3REE9PSIsICJkYXRhIjogIkxOM1ZsUHJSRjVCRUlISS1Mc01zdmZiY2tYUDV3c04xTjFDcURCdjRabGM9In0A\n",
        )
        .unwrap();
        let secret = ClusterSecret::new(SECRET);
        let get = |key| decode(&ini, &path("sec/s1"), key, Some(&secret)).unwrap();
        assert_eq!(get("pw"), b"secret1");
        assert_eq!(get("bin"), b"\x00\xff\x01bin");
        assert_eq!(get("u"), "\u{e9}".as_bytes());
        let other = ClusterSecret::new("another secret of 32 characters.");
        assert_eq!(decode(&ini, &path("sec/s1"), "pw", Some(&other)), Err(KeyError::Secret));
        assert_eq!(
            decode(&ini, &path("sec/s1"), "no", Some(&secret)).unwrap_err().to_string(),
            "secret sec/s1 key no does not exist or has no value"
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        let values: [&[u8]; 6] =
            [b"", b"x", b"two\nlines\n", b"\x00\xff", "\u{e9} ".as_bytes(), b"123"];
        for kind in ["cfg/a", "sec/a", "usr/a"] {
            for value in values {
                let stored = encode(path(kind).kind(), value, Some(&sealer())).unwrap();
                assert!(!stored.contains('\n'), "{stored:?}");
                let mut ini = Ini::parse("").unwrap();
                ini.set(SECTION, "k", &stored).unwrap();
                let ini = Ini::parse(ini.text()).unwrap();
                let read = decode(&ini, &path(kind), "k", Some(&sealer().secret)).unwrap();
                assert_eq!(read, value, "{kind} {stored}");
            }
        }
        assert_eq!(encode(Kind::Cfg, b"hello", None).unwrap(), "literal:hello");
        assert_eq!(encode(Kind::Sec, b"hello", None), Err(KeyError::NoSecret));
    }

    #[test]
    fn a_key_could_not_be_taken_for_something_else() {
        for key in ["", "a=b", "a:b", "#x", ";x", "[x", " x", "a\nb", "a\0"] {
            assert_eq!(validate_name(key), Err(KeyError::Name), "{key:?}");
        }
        for key in ["a", "a/b", "a b", "é", "a.b#c"] {
            assert_eq!(validate_name(key), Ok(()), "{key:?}");
        }
    }
}
