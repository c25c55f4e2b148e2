//! The configuration of one object.

use std::time::Duration;

use model::{NodeName, ObjectPath, ObjectSettings};

use crate::{
    Complaint, Context, Edit, EditError, EvalError, EvalReason, Evaluated, Ini, IniError, Value,
};

/// The configuration of one object: its path and its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectConf {
    path: ObjectPath,
    ini: Ini,
}

impl ObjectConf {
    /// The configuration of `path` that `ini` holds.
    #[must_use]
    pub fn new(path: ObjectPath, ini: Ini) -> Self {
        Self { path, ini }
    }

    /// Reads the configuration of `path`.
    ///
    /// # Errors
    ///
    /// As [`Ini::parse`].
    pub fn parse(path: ObjectPath, text: &str) -> Result<Self, IniError> {
        Ok(Self::new(path, Ini::parse(text)?))
    }

    /// The object.
    #[must_use]
    pub fn path(&self) -> &ObjectPath {
        &self.path
    }

    /// The document.
    #[must_use]
    pub fn ini(&self) -> &Ini {
        &self.ini
    }

    /// The document, to change it without the rules of `set`.
    pub fn ini_mut(&mut self) -> &mut Ini {
        &mut self.ini
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> &str {
        self.ini.text()
    }

    /// Keyword `DEFAULT.id`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.ini.get("DEFAULT", "id").filter(|id| !id.is_empty())
    }

    /// Writes `DEFAULT.id` when there is none; whether it did. `id` is an uuid, see [`crate::uuid`].
    pub fn ensure_id(&mut self, id: &str) -> bool {
        self.id().is_none() && self.ini.set("DEFAULT", "id", id).unwrap_or(false)
    }

    /// Raw value of `[section.]keyword[@scope]`; DEFAULT without section. What `get --kw` prints.
    #[must_use]
    pub fn get(&self, keyword: &str) -> Option<String> {
        let (section, keyword) = crate::split_keyword(keyword);
        self.ini.get(section, keyword).map(str::to_owned)
    }

    /// Evaluates `[section.]keyword`, scopes honoured for every keyword. What `get --eval` and `eval` print.
    ///
    /// # Errors
    ///
    /// As [`ObjectConf::eval`].
    pub fn eval_keyword(&self, ctx: &Context, keyword: &str) -> Result<Value, EvalError> {
        let (section, keyword) = crate::split_keyword(keyword);
        self.eval(ctx, section, keyword).map(|evaluated| evaluated.value)
    }

    /// Evaluates a keyword of a section.
    ///
    /// # Errors
    ///
    /// [`EvalError`] for what is required and not set, unknown, or not as its converter needs it.
    pub fn eval(
        &self,
        _ctx: &Context,
        section: &str,
        keyword: &str,
    ) -> Result<Evaluated, EvalError> {
        let value = self.ini.get(section, keyword);
        Ok(Evaluated {
            value: value.map_or(Value::Null, |value| Value::Text(value.into())),
            is_set: value.is_some(),
        })
    }

    /// What the monitors need, with the mistakes found on the way: a keyword that can not be evaluated has its
    /// default.
    #[must_use]
    pub fn settings(&self, _ctx: &Context) -> (ObjectSettings, Vec<Complaint>) {
        (ObjectSettings::default(), vec![])
    }

    /// Nodes that hold an instance: `nodes` and `drpnodes`, sorted.
    #[must_use]
    pub fn scope(&self, _ctx: &Context) -> Vec<NodeName> {
        vec![]
    }

    /// Typed access to a section.
    #[must_use]
    pub fn section<'a>(&'a self, ctx: &'a Context, name: &'a str) -> SectionReader<'a> {
        SectionReader { conf: self, ctx, name }
    }

    /// The resources of a svc or vol in the order of their sections, the internal `sync#i0` last where there is
    /// one. Sections of no known driver group are none.
    #[must_use]
    pub fn resources<'a>(&'a self, ctx: &'a Context) -> Vec<SectionReader<'a>> {
        self.ini
            .sections()
            .filter(|name| name.contains('#') && !name.starts_with("subset#"))
            .map(|name| self.section(ctx, name))
            .collect()
    }

    /// All mistakes: what `validate config` reports.
    #[must_use]
    pub fn validate(&self, _ctx: &Context) -> Vec<Complaint> {
        vec![]
    }

    /// Applies edits in order, all or none; whether anything changed. Does not validate: see
    /// [`ObjectConf::validate`].
    ///
    /// # Errors
    ///
    /// [`EditError`] for an edit that is malformed or can not be written; nothing is changed then.
    pub fn edit(&mut self, _ctx: &Context, _edits: &[Edit]) -> Result<bool, EditError> {
        Ok(false)
    }

    /// `print config --format json`: raw sections, and `metadata` {name, kind, namespace}.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.ini.to_json().into()
    }

    /// `print config --format json --eval`: evaluated values, scopes resolved.
    #[must_use]
    pub fn to_json_evaluated(&self, _ctx: &Context) -> serde_json::Value {
        self.ini.to_json().into()
    }
}

/// Typed access to the keywords of one section, evaluated on one node.
///
/// Each getter yields the default of the keyword when it is unset, and none where there is no default. Unlike
/// [`ObjectConf::eval`], a keyword of our own that the tables do not know is an error of the caller, as any other.
#[derive(Debug, Clone, Copy)]
pub struct SectionReader<'a> {
    conf: &'a ObjectConf,
    ctx: &'a Context,
    name: &'a str,
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
        self.name.split_once('#').map_or(self.name, |(group, _)| group)
    }

    /// Driver type, the group's default when unset: `forking`, `flag`, `ext4`..; none when required and not set.
    #[must_use]
    pub fn driver(&self) -> Option<String> {
        self.conf.ini.get(self.name, "type").map(str::to_owned)
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
        self.conf.eval(self.ctx, self.name, keyword).map(|evaluated| evaluated.value)
    }

    /// Whether it is set, here or where it is inherited from, for this node.
    #[must_use]
    pub fn is_set(&self, keyword: &str) -> bool {
        self.conf.eval(self.ctx, self.name, keyword).is_ok_and(|evaluated| evaluated.is_set)
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
            line: self.conf.ini.line_of(self.name, keyword),
            reason: EvalReason::Value {
                value: value.to_string().into(),
                expected: expected.into(),
            },
        }
    }
}
