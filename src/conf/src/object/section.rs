//! Typed access to a section.

use std::cell::Cell;
use std::time::Duration;

use model::ObjectPath;

use crate::context::Context;
use crate::doc::Doc;
use crate::eval::error::{EvalError, EvalReason};
use crate::eval::{Evaluated, Evaluation};
use crate::keywords::keyword;
use crate::object::ObjectConf;
use crate::value::Value;

/// Typed access to the keywords of one section, evaluated on one node.
///
/// Each getter yields the default of the keyword when it is unset, and none where there is no default. Unlike
/// [`ObjectConf::eval`], a keyword of our own that the tables do not know is an error of the caller, as any other.
#[derive(Debug, Clone, Copy)]
pub struct SectionReader<'a> {
    pub(super) conf: &'a ObjectConf,
    pub(super) ctx: &'a Context,
    pub(super) name: &'a str,
    /// What is left of the work granted to the whole document; none when each value has its own.
    pub(super) budget: Option<&'a Cell<usize>>,
}

impl<'a> SectionReader<'a> {
    /// The section: the resource id, for a resource.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &'a ObjectPath {
        self.conf.path()
    }

    /// The context evaluated in.
    #[must_use]
    pub fn context(&self) -> &'a Context {
        self.ctx
    }

    /// Driver group, deprecated section prefixes translated: `app`, `fs`, `disk`..
    #[must_use]
    pub fn group(&self) -> &'a str {
        keyword::group_of(self.name).0
    }

    /// Driver type, the group's default when unset: `forking`, `flag`, `ext4`..; none when required and not set.
    #[must_use]
    pub fn driver(&self) -> Option<String> {
        Doc::Object(self.conf).driver(self.name).map(str::to_owned)
    }

    /// Keyword `subset`.
    #[must_use]
    pub fn subset(&self) -> Option<String> {
        self.text("subset").ok().flatten()
    }

    /// The value.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`]; so for all getters.
    pub fn value(&self, keyword: &str) -> Result<Value, EvalError> {
        self.evaluated(keyword).map(|evaluated| evaluated.value)
    }

    /// Whether it is set, here or where it is inherited from, for this node.
    #[must_use]
    pub fn is_set(&self, keyword: &str) -> bool {
        self.evaluated(keyword).is_ok_and(|evaluated| evaluated.is_set)
    }

    fn evaluated(&self, keyword: &str) -> Result<Evaluated, EvalError> {
        match self.budget {
            Some(budget) => {
                let doc = Doc::Object(self.conf);
                Evaluation::eval_within(doc, self.ctx, budget, self.name, keyword)
            }
            None => self.conf.eval(self.ctx, self.name, keyword),
        }
    }

    /// A text; booleans and numbers as they are written. None when null or empty.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn text(&self, keyword: &str) -> Result<Option<String>, EvalError> {
        Ok(match self.value(keyword)? {
            Value::Null => None,
            Value::Text(text) if text.is_empty() => None,
            other => Some(other.to_string()),
        })
    }

    /// A boolean; false when null.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn bool(&self, keyword: &str) -> Result<bool, EvalError> {
        Ok(self.tristate(keyword)?.unwrap_or(false))
    }

    /// A boolean, or none when unset.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn tristate(&self, keyword: &str) -> Result<Option<bool>, EvalError> {
        match self.value(keyword)? {
            Value::Null => Ok(None),
            Value::Bool(value) => Ok(Some(value)),
            other => Err(self.mistake(keyword, &other, "a boolean")),
        }
    }

    /// An integer.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn integer(&self, keyword: &str) -> Result<Option<i64>, EvalError> {
        match self.value(keyword)? {
            Value::Null => Ok(None),
            Value::Integer(value) => Ok(Some(value)),
            other => Err(self.mistake(keyword, &other, "an integer")),
        }
    }

    /// A size in bytes; an error for a percentage.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn size(&self, keyword: &str) -> Result<Option<u64>, EvalError> {
        match self.integer(keyword)? {
            None => Ok(None),
            Some(value) => u64::try_from(value).map(Some).map_err(|_| {
                self.mistake(keyword, &Value::Integer(value), "a size of zero or more")
            }),
        }
    }

    /// A duration; a negative one is an error.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn duration(&self, keyword: &str) -> Result<Option<Duration>, EvalError> {
        let value = self.value(keyword)?;
        match value.as_number() {
            None if value.is_null() => Ok(None),
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .map(Some)
                .map_err(|_| self.mistake(keyword, &value, "a duration of zero or more")),
            None => Err(self.mistake(keyword, &value, "a duration")),
        }
    }

    /// The words of a list, set or command line; none of them when unset.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn words(&self, keyword: &str) -> Result<Vec<String>, EvalError> {
        Ok(self.value(keyword)?.words())
    }

    fn mistake(&self, keyword: &str, value: &Value, expected: &str) -> EvalError {
        EvalError {
            section: self.name.into(),
            keyword: keyword.into(),
            line: Doc::Object(self.conf).place(self.name, keyword).1,
            reason: EvalReason::Value {
                value: value.to_string().into(),
                expected: expected.into(),
            },
        }
    }
}
