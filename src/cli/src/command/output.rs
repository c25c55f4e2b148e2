//! How results are written.

/// How results are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// `--format`: none for the text a human reads.
    pub format: Option<Format>,
    /// `--color`, default auto.
    pub color: ColorChoice,
    /// `--filter`: a JSON path; only what it selects is written.
    pub filter: Option<String>,
    /// `--debug`: logs at the debug level.
    pub debug: bool,
    /// `--cacert`: whose certificates are good.
    pub cacert: Option<String>,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Sorted JSON, indented by 4.
    Json,
    /// One line per leaf: `<path> = <JSON value>`.
    FlatJson,
    /// Tables cut down to one column per node (`om mon --format compact`).
    Compact,
}

/// `--color`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
