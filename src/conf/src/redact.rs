//! Configurations without their secrets, for who shows or sends them: the lines stay, what is secret becomes `xxxx`.
//!
//! Rather too much than too little: a keyword whose name speaks of a secret, all keys of `data`, what is encoded, private keys,
//! and words of commands and addresses that carry a password.

/// What stands in the place of a secret.
pub const MASK: &str = "xxxx";

/// A text without its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redacted {
    /// As many lines as the text has.
    pub lines: Vec<String>,
    /// What was taken out, each once: to be looked for elsewhere.
    pub secrets: Vec<String>,
}

/// Takes the secrets out of a configuration.
#[must_use]
pub fn redact(text: &str) -> Redacted {
    let mut redacted = Redacted::default();
    let (mut section, mut is_masked, mut is_key) = (String::new(), false, false);
    for line in text.lines() {
        let trimmed = line.trim();
        let is_continued = line.starts_with([' ', '\t']) && !trimmed.is_empty();
        // A key in armour, wherever it stands.
        is_key |= trimmed.contains("-----BEGIN");
        if is_key {
            is_key = !trimmed.contains("-----END");
            redacted.mask(line, line);
        } else if is_continued && is_masked {
            redacted.mask(line, line);
        } else if is_continued {
            redacted.scrub(line);
        } else if let Some(name) = trimmed.strip_prefix('[').and_then(|it| it.split(']').next()) {
            section = name.trim().to_lowercase();
            is_masked = false;
            redacted.lines.push(line.to_owned());
        } else {
            is_masked = redacted.keyword(&section, line);
        }
    }
    redacted
}

/// Takes passwords out of a line that is no keyword: of a log, or of a command line.
#[must_use]
pub fn scrub(line: &str) -> String {
    scrubbed(line).0
}

impl Redacted {
    /// A line with a keyword, or a comment, which may be one that was set aside. Whether what continues it is secret.
    fn keyword(&mut self, section: &str, line: &str) -> bool {
        let Some((name, value)) = line.split_once(['=', ':']) else {
            self.scrub(line);
            return false;
        };
        let keyword = name.trim_start_matches(['#', ';', ' ', '\t']);
        let value = value.trim();
        let is_masked = (section == "data" && !name.trim_start().starts_with(['#', ';']))
            || is_secret_name(keyword)
            || is_encoded(value);
        if !is_masked {
            self.scrub(line);
            return false;
        }
        self.mask(line, value);
        true
    }

    /// Takes `value` out of `line`, where it stands last.
    fn mask(&mut self, line: &str, value: &str) {
        let value = value.trim();
        let kept = line.trim_end().strip_suffix(value).unwrap_or_default();
        let mask = if value.is_empty() { "" } else { MASK };
        self.lines.push(format!("{kept}{mask}"));
        self.add(value);
    }

    fn scrub(&mut self, line: &str) {
        let (line, secrets) = scrubbed(line);
        self.lines.push(line);
        secrets.iter().for_each(|secret| self.add(secret));
    }

    fn add(&mut self, secret: &str) {
        if !secret.is_empty() && !self.secrets.iter().any(|known| known == secret) {
            self.secrets.push(secret.to_owned());
        }
    }
}

/// Whether a name speaks of a secret.
fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 12] = [
        "secret",
        "pass",
        "pwd",
        "token",
        "credential",
        "private",
        "apikey",
        "api_key",
        "api-key",
        "fullpem",
        "pkcs12",
        "authorization",
    ];
    let name = name.split('@').next().unwrap_or_default().trim().to_lowercase();
    let is_key = name == "key" || name.ends_with("_key") || name.ends_with("-key");
    is_key || WORDS.iter().any(|word| name.contains(word))
}

fn is_encoded(value: &str) -> bool {
    ["crypt:", "base64:"].iter().any(|prefix| value.starts_with(prefix))
}

/// A line without passwords, and what was taken out.
fn scrubbed(line: &str) -> (String, Vec<String>) {
    let mut out = String::with_capacity(line.len());
    let mut secrets = vec![];
    let mut is_next = false;
    for piece in line.split_inclusive([' ', '\t', '"', '\'', ',']) {
        let word = piece.trim_end_matches([' ', '\t', '"', '\'', ',']);
        let rest = &piece[word.len()..];
        if word.is_empty() {
            out.push_str(piece);
            continue;
        }
        let name = word.trim_start_matches('-');
        let named = word.split_once(['=', ':']).filter(|(name, value)| {
            is_secret_name(name.trim_start_matches('-')) && !value.is_empty()
        });
        if is_next || is_encoded(word) {
            secrets.push(word.to_owned());
            out.push_str(MASK);
            is_next = false;
        } else if let Some((name, value)) = named {
            secrets.push(value.to_owned());
            out.push_str(&format!("{name}={MASK}"));
        } else if let Some((before, password, behind)) = address(word) {
            secrets.push(password.to_owned());
            out.push_str(&format!("{before}{MASK}{behind}"));
        } else {
            // `--password X`, `Authorization: Bearer X`.
            is_next = (word.starts_with('-') && is_secret_name(name))
                || matches!(name.to_lowercase().as_str(), "bearer" | "basic");
            out.push_str(word);
        }
        out.push_str(rest);
    }
    (out, secrets)
}

/// An address with a password in it: what is before it, it, and what is behind.
fn address(word: &str) -> Option<(&str, &str, &str)> {
    let begin = word.find("://")? + 3;
    let end = begin + word[begin..].find('/').unwrap_or(word.len() - begin);
    let at = begin + word[begin..end].rfind('@')?;
    let colon = begin + word[begin..at].find(':')?;
    Some((&word[..=colon], &word[colon + 1..at], &word[at..])).filter(|it| !it.1.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> String {
        let redacted = redact(text);
        assert_eq!(redacted.lines.len(), text.lines().count());
        redacted.lines.join("\n")
    }

    #[test]
    fn keywords_that_speak_of_secrets_lose_their_values() {
        let text = "[cluster]\nname = demo\nsecret = abc\nsecret@n1 = def\nsecret_next=ghi\n# secret = old\n\
                    [array#1]\napi_key: k\npassword =\n\tp1\n\tp2\nusername = me\n";
        let shown = "[cluster]\nname = demo\nsecret = xxxx\nsecret@n1 = xxxx\nsecret_next=xxxx\n# secret = xxxx\n\
                     [array#1]\napi_key: xxxx\npassword =\n\txxxx\n\txxxx\nusername = me";
        assert_eq!(lines(text), shown);
        assert_eq!(redact(text).secrets, ["abc", "def", "ghi", "old", "k", "p1", "p2"]);
    }

    #[test]
    fn keys_of_data_and_what_is_encoded_are_secret() {
        let text = "[DEFAULT]\nid = 1\n[data]\nplain = literal:hello\npem = crypt:AAAA\n\tBBBB\n[env]\nx = crypt:zz\n";
        assert_eq!(
            lines(text),
            "[DEFAULT]\nid = 1\n[data]\nplain = xxxx\npem = xxxx\n\txxxx\n[env]\nx = xxxx"
        );
    }

    #[test]
    fn commands_and_addresses_lose_their_passwords() {
        for (line, shown) in [
            ("start = /bin/db --password=s3 -v", "start = /bin/db --password=xxxx -v"),
            ("start = /bin/db --password s3 -v", "start = /bin/db --password xxxx -v"),
            ("start = env DB_PASS=s3 /bin/db", "start = env DB_PASS=xxxx /bin/db"),
            ("src = https://u:s3@h/x", "src = https://u:xxxx@h/x"),
            (
                "start = curl -H \"Authorization: Bearer s3\"",
                "start = curl -H \"Authorization: Bearer xxxx\"",
            ),
            ("start = /bin/sleep 1d", "start = /bin/sleep 1d"),
            ("restart = 2", "restart = 2"),
        ] {
            assert_eq!(scrub(line), shown);
            assert_eq!(lines(line), shown);
        }
    }

    #[test]
    fn a_private_key_is_gone_to_its_end() {
        let text = "[env]\nx = y\n  -----BEGIN PRIVATE KEY-----\n  MIIE\n  -----END PRIVATE KEY-----\nz = 1\n";
        let shown = lines(text);
        assert!(
            !shown.contains("MIIE") && !shown.contains("BEGIN") && shown.ends_with("z = 1"),
            "{shown}"
        );
    }
}
