//! Which user a certificate is of.

use std::fmt;

use model::{NameError, ObjectPath, validate_object_name};

/// Why a common name is that of no user.
#[derive(Debug, Clone, PartialEq)]
pub enum UserError {
    /// There is none, or more than one.
    Missing,
    /// It is no name of an object.
    Name(NameError),
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the certificate has no common name, or several"),
            Self::Name(error) => write!(f, "the common name is that of no user: {error}"),
        }
    }
}

impl std::error::Error for UserError {}

/// The path of the user that a common name is of: `<name>.<namespace>.usr.<cluster>` is the service account
/// `<namespace>/usr/<name>`, any other one `system/usr/<common name>`. A cluster name with a dot has no service accounts.
///
/// # Errors
///
/// [`UserError::Name`] when a part is no valid name: nothing that leaves its folder comes of it.
pub fn user_of(common_name: &str, cluster: &str) -> Result<ObjectPath, UserError> {
    let parts: Vec<&str> = common_name.split('.').collect();
    let path = match parts[..] {
        [name, namespace, "usr", last] if last == cluster => format!("{namespace}/usr/{name}"),
        _ => format!("system/usr/{common_name}"),
    };
    validate_object_name(&path).map_err(UserError::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_is_that_of_a_user() {
        for (name, path) in [
            ("alice", "system/usr/alice"),
            ("alice.example", "system/usr/alice.example"),
            ("alice.root.usr.prod", "usr/alice"),
            ("alice.test.usr.prod", "test/usr/alice"),
            ("alice.test.usr.other", "system/usr/alice.test.usr.other"),
            ("alice.test.svc.prod", "system/usr/alice.test.svc.prod"),
            ("a1.alice.test.usr.prod", "system/usr/a1.alice.test.usr.prod"),
        ] {
            let expected = ObjectPath::parse(path).unwrap();
            assert_eq!(user_of(name, "prod").as_ref(), Ok(&expected), "{name}");
        }
        let dotted = user_of("alice.test.usr.a.b", "a.b").unwrap();
        assert_eq!(dotted.as_str(), "system/usr/alice.test.usr.a.b");
    }

    #[test]
    fn a_common_name_that_leaves_its_folder_is_no_user() {
        for name in [
            "",
            "..",
            "../alice",
            "a/b",
            "test/usr/alice",
            "alice\0",
            "alice\n",
            "al ice",
            "/alice",
            "alice..bob",
            "alice.system/sec.usr.prod",
            "...prod",
            "alice.usr.usr.prod",
        ] {
            assert!(matches!(user_of(name, "prod"), Err(UserError::Name(_))), "{name:?}");
        }
    }
}
