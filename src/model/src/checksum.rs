//! The checksum of a configuration, in the room that it needs: each node keeps one per instance.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// MD5 of the bytes of a configuration file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConfigCsum([u8; 16]);

impl ConfigCsum {
    /// Reads it as nodes publish it, 32 hexadecimal digits; none for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? * 16 + low?).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for ConfigCsum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ConfigCsum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ConfigCsum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads one, or none from what is none: a peer may write anything.
pub(crate) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ConfigCsum>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(ConfigCsum::parse))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_reads_back_and_nothing_else_is_one() {
        let text = "d41d8cd98f00b204e9800998ecf8427e";
        assert_eq!(ConfigCsum::parse(text).unwrap().to_string(), text);
        for none in [
            "",
            "c",
            "d41d8cd98f00b204e9800998ecf8427",
            "g41d8cd98f00b204e9800998ecf8427e",
            "éééééééééééééééé",
        ] {
            assert_eq!(ConfigCsum::parse(none), None, "{none:?}");
        }
    }
}
