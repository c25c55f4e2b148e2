//! Keys of cfg, sec and usr objects, stored as the deployed agents store them.
//!
//! Section `data`: `literal:<text>` for one line of text, `base64:<bytes>` for the rest. Those of sec and usr are
//! `crypt:<base64url of a classic envelope and its NUL>`, sealed with the cluster secret under the cluster name `join`;
//! inside is the text as JSON, or the bytes when they are no text. (Observed on a deployed agent.)
//! Where no deployed agent is to read them, they are `sealed:<base64url of a sealed frame>` instead: keyed for that purpose
//! only, naming the generation of the secret. Both are read everywhere.

use std::fmt;

use conf::{Ini, NodeSettings};
use model::{Kind, ObjectPath};
use ring::rand::SystemRandom;
use wire::{ClusterSecret, Dialect, Frame, JOIN, Keyring, Limits, Prepared, Sender};

use crate::keyring::keyring;

/// Where the keys are.
pub const SECTION: &str = "data";

/// Largest value of a key.
const MAX_VALUE_BYTES: usize = 8 << 20;

/// Longest text of a sealed value: JSON has six bytes for a sign that nobody sees.
pub const MOST_STORED: usize = 6 * MAX_VALUE_BYTES + 2;

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
    /// Neither `literal:`, `base64:`, `crypt:` nor `sealed:`.
    Format,
    /// It does not open with the cluster secret.
    Secret,
    /// It is sealed with a secret that the cluster has no more, or not here.
    Generation {
        /// The one that it names.
        generation: u32,
        /// The one in force.
        current: u32,
    },
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
            Self::Format => f.write_str("the value is neither literal, base64, crypt nor sealed"),
            Self::Secret => f.write_str("the value does not open with the cluster secret"),
            Self::Generation { generation, current } => write!(
                f,
                "the value is sealed with generation {generation} of the cluster secret, which this node has not: {current} \
                 is in force"
            ),
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

/// How a value of a sec or usr is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// `crypt:`, which deployed agents read: keyed by the secret itself, whichever that was.
    Crypt,
    /// `sealed:`, with this generation of the secret.
    Sealed(u32),
    /// Neither: nothing to seal anew.
    Other,
}

impl Form {
    /// The form of a stored value.
    #[must_use]
    pub fn of(stored: &str) -> Self {
        match stored.split_once(':') {
            Some(("crypt", _)) => Self::Crypt,
            Some(("sealed", value)) => {
                let frame = wire::base64url::decode(&without_breaks(value));
                let limits = Limits::default();
                let generation = frame.and_then(|it| Frame::parse(&it, &limits).ok()?.generation());
                generation.map_or(Self::Other, Self::Sealed)
            }
            Some(_) | None => Self::Other,
        }
    }
}

/// What opens and seals the keys of sec and usr objects: the secrets that a node has.
#[derive(Debug, Clone)]
pub struct Keys {
    keyring: Keyring,
}

impl Keys {
    /// Those of a node; none without a secret.
    #[must_use]
    pub fn of(node: &NodeSettings) -> Option<Self> {
        let mut keyring = keyring(node)?;
        keyring.limits = Limits { max_message: MAX_VALUE_BYTES, ..Limits::default() };
        Some(Self { keyring })
    }

    /// How values are stored from now on.
    #[must_use]
    pub fn form(&self) -> Form {
        match self.keyring.envelope {
            wire::Envelope::Sealed => Form::Sealed(self.keyring.own.generation),
            wire::Envelope::Any | wire::Envelope::Classic => Form::Crypt,
        }
    }

    fn secrets(&self) -> impl Iterator<Item = &ClusterSecret> {
        std::iter::once(&self.keyring.own.secret).chain(self.keyring.accepted.values())
    }

    fn open_crypt(&self, envelope: &[u8]) -> Result<Vec<u8>, KeyError> {
        let end = envelope.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let limits = Limits { max_message: MOST_STORED, ..Limits::default() };
        for secret in self.secrets() {
            let frame = Frame::parse(&envelope[..end], &limits).map_err(|_| KeyError::Format)?;
            if frame.dialect() != Dialect::Classic {
                return Err(KeyError::Format);
            }
            if let Ok(opened) = frame.open_stored(secret, &limits) {
                // Nothing but a text: what is something else stays bytes, and is not made into values.
                return Ok(match wire::parse_json::<String>(opened.body()) {
                    Ok(text) => text.into_bytes(),
                    Err(_) => opened.body().to_vec(),
                });
            }
        }
        Err(KeyError::Secret)
    }

    fn open_sealed(&self, frame: &[u8]) -> Result<Vec<u8>, KeyError> {
        let named =
            Frame::parse(frame, &Limits::default()).ok().and_then(|frame| frame.generation());
        let generation = named.ok_or(KeyError::Format)?;
        if self.keyring.secret_of(generation).is_none() {
            let current = self.keyring.own.generation;
            return Err(KeyError::Generation { generation, current });
        }
        let opened = self.keyring.open_stored(frame).ok_or(KeyError::Secret)?;
        Ok(opened.1.to_vec())
    }

    fn seal(&self, value: &[u8], random: &SystemRandom) -> Result<String, KeyError> {
        if self.form() != Form::Crypt {
            let frame =
                self.keyring.own.seal_stored(value, random).map_err(|_| KeyError::NoSecret)?;
            return Ok(format!("sealed:{}", wire::base64url::encode(&frame)));
        }
        let body = match std::str::from_utf8(value) {
            Ok(text) => Prepared::new(text),
            Err(_) => Prepared::from_bytes(value),
        };
        let sender = Sender { clustername: JOIN.into(), ..self.keyring.own.clone() };
        let envelope =
            sender.seal(&wire::Form::Classic, &body, random).map_err(|_| KeyError::NoSecret)?;
        Ok(format!("crypt:{}", wire::base64url::encode(&envelope)))
    }
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
    keys: Option<&Keys>,
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
            keys.ok_or(KeyError::NoSecret)?.open_crypt(&envelope)
        }
        "sealed" => {
            let frame = wire::base64url::decode(&without_breaks(value)).ok_or(KeyError::Format)?;
            keys.ok_or(KeyError::NoSecret)?.open_sealed(&frame)
        }
        _ => Err(KeyError::Format),
    }
}

/// Long values may have been wrapped by an editor.
fn without_breaks(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The text to store for the bytes of a key.
///
/// # Errors
///
/// [`KeyError`]: too large, or no secret to seal it with.
pub fn encode(
    kind: Kind,
    value: &[u8],
    keys: Option<&Keys>,
    random: &SystemRandom,
) -> Result<String, KeyError> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(KeyError::Size { bytes: value.len() });
    }
    if is_sealed(kind) {
        return keys.ok_or(KeyError::NoSecret)?.seal(value, random);
    }
    let text = std::str::from_utf8(value).ok();
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "81ec81d6e68c11f1ae3f02fc00000001";

    /// The keys of a node with these keywords.
    fn keys(cluster: &str) -> Keys {
        let name = model::NodeName::new("n1").unwrap();
        let text = format!("[cluster]\nid = i\nnodes = n1 n2\n{cluster}");
        Keys::of(&NodeSettings::parse(name, &text, "").unwrap()).unwrap()
    }

    fn classic(secret: &str) -> Keys {
        keys(&format!("secret = {secret}\nenvelope = classic\n"))
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
        let secret = classic(SECRET);
        let get = |key| decode(&ini, &path("sec/s1"), key, Some(&secret)).unwrap();
        assert_eq!(get("pw"), b"secret1");
        assert_eq!(get("bin"), b"\x00\xff\x01bin");
        assert_eq!(get("u"), "\u{e9}".as_bytes());
        let other = classic("another secret of 32 characters.");
        assert_eq!(decode(&ini, &path("sec/s1"), "pw", Some(&other)), Err(KeyError::Secret));
        assert_eq!(
            decode(&ini, &path("sec/s1"), "no", Some(&secret)).unwrap_err().to_string(),
            "secret sec/s1 key no does not exist or has no value"
        );
    }

    fn stored(path: &ObjectPath, value: &[u8], keys: &Keys) -> (Ini, String) {
        let stored = encode(path.kind(), value, Some(keys), &SystemRandom::new()).unwrap();
        assert!(!stored.contains('\n'), "{stored:?}");
        let mut ini = Ini::parse("").unwrap();
        ini.set(SECTION, "k", &stored).unwrap();
        (Ini::parse(ini.text()).unwrap(), stored)
    }

    #[test]
    fn what_is_written_reads_back() {
        let values: [&[u8]; 6] =
            [b"", b"x", b"two\nlines\n", b"\x00\xff", "\u{e9} ".as_bytes(), b"123"];
        let sealed = keys(&format!("secret = {SECRET}\n"));
        for keys in [classic(SECRET), sealed] {
            for kind in ["cfg/a", "sec/a", "usr/a"] {
                for value in values {
                    let (ini, stored) = stored(&path(kind), value, &keys);
                    let read = decode(&ini, &path(kind), "k", Some(&keys)).unwrap();
                    assert_eq!(read, value, "{kind} {stored}");
                }
            }
        }
        assert_eq!(
            encode(Kind::Cfg, b"hello", None, &SystemRandom::new()).unwrap(),
            "literal:hello"
        );
        assert_eq!(
            encode(Kind::Sec, b"hello", None, &SystemRandom::new()),
            Err(KeyError::NoSecret)
        );
    }

    #[test]
    fn values_are_stored_for_those_who_read_them_and_both_forms_are_read() {
        let text = format!("secret = {SECRET}\nsecret_generation = 3\n");
        let (sealed, any) = (keys(&text), keys(&format!("{text}envelope = any\n")));
        let path = path("sec/s1");
        let (by_sealed, by_any) = (stored(&path, b"x", &sealed), stored(&path, b"x", &any));
        assert!(by_sealed.1.starts_with("sealed:") && by_any.1.starts_with("crypt:"));
        assert_eq!((Form::of(&by_sealed.1), Form::of(&by_any.1)), (Form::Sealed(3), Form::Crypt));
        assert_eq!((sealed.form(), any.form()), (Form::Sealed(3), Form::Crypt));
        for keys in [&sealed, &any] {
            for (ini, stored) in [&by_sealed, &by_any] {
                assert_eq!(decode(ini, &path, "k", Some(keys)).unwrap(), b"x", "{stored}");
            }
        }
    }

    #[test]
    fn a_value_is_opened_by_its_generation_while_the_node_has_it_and_is_told_when_it_has_not() {
        let other = "another secret of 32 characters.";
        let first = keys(&format!("secret = {SECRET}\n"));
        let path = path("usr/u1");
        let old = stored(&path, b"x", &first);
        let crypt = stored(&path, b"x", &classic(SECRET));
        let used = format!("secret = {other}\nsecret_generation = 2\n");
        let during = keys(&format!("{used}secret_previous = {SECRET}\n"));
        let after = keys(&used);
        for (ini, stored) in [&old, &crypt] {
            assert_eq!(decode(ini, &path, "k", Some(&during)).unwrap(), b"x", "{stored}");
        }
        let lost = decode(&old.0, &path, "k", Some(&after)).unwrap_err();
        assert_eq!(lost, KeyError::Generation { generation: 1, current: 2 });
        assert_eq!(decode(&crypt.0, &path, "k", Some(&after)), Err(KeyError::Secret));
        // One who is a step behind reads what others write already.
        let behind = keys(&format!("secret = {SECRET}\nsecret_next = {other}\n"));
        let new = stored(&path, b"y", &after);
        assert_eq!(decode(&new.0, &path, "k", Some(&behind)).unwrap(), b"y");
        // What is damaged, or no such frame.
        let mut damaged = new.0.clone();
        let text = new.1.replace('A', "B");
        damaged.set(SECTION, "k", &text).unwrap();
        assert!(decode(&damaged, &path, "k", Some(&after)).is_err());
        for text in ["sealed:", "sealed:x", "sealed:e30="] {
            damaged.set(SECTION, "k", text).unwrap();
            assert_eq!(decode(&damaged, &path, "k", Some(&after)), Err(KeyError::Format), "{text}");
            assert_eq!(Form::of(text), Form::Other);
        }
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
