//! What a request brings to prove who sends it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest header that is read.
const LONGEST: usize = 12 << 10;

/// What a request brings, in the order in which it counts.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `o-secret`.
    Secret(String),
    /// `authorization: Bearer`: a token.
    Token(String),
    /// `authorization: Basic`.
    Basic {
        /// Before the first colon.
        name: String,
        /// Behind it.
        password: String,
    },
    /// A header `authorization` that is none of these, or cannot be read.
    Unreadable,
    /// Nothing.
    None,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret(..)",
            Self::Token(_) => "Token(..)",
            Self::Basic { .. } => "Basic(..)",
            Self::Unreadable => "Unreadable",
            Self::None => "None",
        })
    }
}

impl Credentials {
    /// The way to prove it, as `whoami` writes it. Who brings nothing may have a certificate.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::Token(_) => "jwt",
            Self::Basic { .. } => "basic",
            Self::Unreadable | Self::None => "none",
        }
    }

    /// Reads the headers `o-secret`, where that counts, and `authorization`. The words of the scheme are written as they are
    /// here.
    #[must_use]
    pub fn read(secrets: &[&str], authorizations: &[&str]) -> Self {
        if let Some(secret) = secrets.first() {
            return Self::Secret((*secret).to_owned());
        }
        let Some(header) = authorizations.first() else { return Self::None };
        if authorizations.len() > 1 || header.len() > LONGEST {
            return Self::Unreadable;
        }
        if let Some(token) = header.strip_prefix("Bearer ") {
            return Self::Token(token.trim().to_owned());
        }
        // Any other scheme is as if there was no header.
        let Some(coded) = header.strip_prefix("Basic ") else { return Self::None };
        let decoded =
            STANDARD.decode(coded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((name, password)) => {
                Self::Basic { name: name.to_owned(), password: password.to_owned() }
            }
            None => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colon_ends_the_name() {
        let read = |header: &str| Credentials::read(&[], &[header]);
        let basic = Credentials::Basic { name: "admin".into(), password: "adm:pa ss".into() };
        assert_eq!(read("Basic YWRtaW46YWRtOnBhIHNz"), basic);
        assert_eq!(read("Bearer a.b.c"), Credentials::Token("a.b.c".into()));
        for wrong in ["Basic ", "Basic YWRtaW4=", "Basic ////", "Basic !", "Basic gDo="] {
            assert_eq!(read(wrong), Credentials::Unreadable, "{wrong}");
        }
        assert_eq!(read(&format!("Basic {}", "A".repeat(1 << 20))), Credentials::Unreadable);
        assert_eq!(read("basic YWRtaW46YWRtOnBhIHNz"), Credentials::None);
        assert_eq!(Credentials::read(&["s"], &["Bearer x"]), Credentials::Secret("s".into()));
        assert_eq!(format!("{basic:?}"), "Basic(..)");
    }
}
