//! The configuration of one object.

use model::ObjectPath;

mod evaluated;
pub(crate) mod section;
mod settings;

use crate::dotted::split_keyword;
use crate::ini::Ini;
use crate::ini::error::IniError;

/// The configuration of one object: its path and its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectConf {
    pub(crate) path: ObjectPath,
    pub(crate) ini: Ini,
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
        let (section, keyword) = split_keyword(keyword);
        self.ini.get(section, keyword).map(str::to_owned)
    }

    /// `print config --format json`: raw sections, and `metadata` {name, kind, namespace}.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut all = self.ini.to_json();
        all.insert("metadata".into(), self.metadata());
        all.into()
    }

    pub(crate) fn metadata(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.path.name(),
            "kind": self.path.kind(),
            "namespace": self.path.namespace(),
        })
    }
}
