//! Why a driver could not do what it was asked.

use std::time::Duration;
use std::{fmt, io};

use conf::EvalError;
use model::LastFailure;

/// Why a driver could not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration does not say what is needed.
    Keyword(EvalError),
    /// The system refused.
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended badly.
    Exit {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        code: i32,
        /// Its last words.
        line: String,
    },
    /// A program took too long.
    Late {
        /// The program and its arguments.
        command: String,
        /// How long it was given.
        timeout: Duration,
    },
    /// The action was asked to end.
    Interrupted {
        /// What ran, or was about to.
        command: String,
    },
    /// A resource could not do its part.
    Resource {
        /// The resource.
        rid: String,
        /// Why.
        cause: Box<Self>,
    },
    /// Anything else, told in words.
    Refused(String),
}

impl Failure {
    /// A failure told in words.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    /// What is kept of it: why this action failed.
    pub(crate) fn last_failure(&self, action: &str) -> LastFailure {
        let (rid, cause) = match self {
            Self::Resource { rid, cause } => (Some(rid.clone()), &**cause),
            cause => (None, cause),
        };
        let exit_code = match cause {
            Self::Exit { code, .. } => Some(*code),
            _ => None,
        };
        LastFailure { rid, exit_code, ..LastFailure::new(action, &cause.to_string()) }
    }

    /// The failure of resources that were asked one after the other, whatever became of those before: the first one's
    /// cause, and who failed too.
    pub(crate) fn of_resources(failed: Vec<(String, Self)>) -> Result<(), Self> {
        let mut failed = failed.into_iter();
        let Some((first, cause)) = failed.next() else { return Ok(()) };
        // The driver, or what led to it, may have named the resource already.
        let (rid, cause) = match cause {
            Self::Resource { rid, cause } => (rid, cause),
            cause => (first, Box::new(cause)),
        };
        let others: Vec<String> = failed.map(|(rid, _)| rid).collect();
        let cause = match others.is_empty() {
            true => cause,
            false => Box::new(Self::refused(format!("{cause}; failed too: {}", others.join(", ")))),
        };
        Err(Self::Resource { rid, cause })
    }

    /// The same once more, for who keeps one and hands the other on.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Exit { command, code, line } => {
                Self::Exit { command: command.clone(), code: *code, line: line.clone() }
            }
            Self::Resource { rid, cause } => {
                Self::Resource { rid: rid.clone(), cause: Box::new(cause.again()) }
            }
            other => Self::refused(other.to_string()),
        }
    }

    /// Names what the system refused.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyword(error) => error.fmt(f),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Exit { command, code, line } if line.is_empty() => {
                write!(f, "{command}: exit code {code}")
            }
            Self::Exit { command, code, line } => write!(f, "{command}: exit code {code}: {line}"),
            Self::Interrupted { command } => write!(f, "{command}: ended, as asked"),
            Self::Late { command, timeout } => write!(f, "{command}: timeout after {timeout:?}"),
            Self::Resource { rid, cause } => write!(f, "{rid}: {cause}"),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Failure {}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        Self::Keyword(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_failure_names_the_resource_and_the_exit_code() {
        let cause = Failure::Exit { command: "ip addr".into(), code: 2, line: "no\n eth7".into() };
        let failure = Failure::Resource { rid: "ip#1".into(), cause: Box::new(cause) };
        let kept = failure.last_failure("start");
        assert_eq!((kept.rid.as_deref(), kept.exit_code), (Some("ip#1"), Some(2)));
        assert_eq!(kept.cause(), "ip#1: ip addr: exit code 2: no eth7");
        let all = [("sync#1", "no rsync"), ("sync#2", "no room")];
        let all = all.map(|(rid, why)| (rid.to_owned(), Failure::refused(why)));
        let kept = Failure::of_resources(all.into()).unwrap_err().last_failure("sync all");
        assert_eq!(kept.cause(), "sync#1: no rsync; failed too: sync#2");
        assert!(Failure::of_resources(vec![]).is_ok());
        let kept = Failure::refused("no affinity").last_failure("start");
        assert_eq!((kept.rid.as_deref(), kept.exit_code), (None, None));
        assert_eq!(kept.cause(), "start: no affinity");
    }
}
