//! What is done to configurations.

/// Work on a configuration file.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigAction {
    /// `get --kw K`: the raw value, or the evaluated one with `--eval`.
    Get {
        /// Keywords, `[section.]keyword[@scope]`.
        keywords: Vec<String>,
        /// `--eval`.
        eval: bool,
        /// `--impersonate`: as that node would see it.
        impersonate: Option<String>,
    },
    /// `set --kw K=V`.
    Set {
        /// Expressions `[section.]keyword[@scope][[index]]<op>value`, `--param/--value` and kin included.
        edits: Vec<Edit>,
        /// `--unset`: keywords to remove in the same write.
        unset: Vec<String>,
        /// `--eval`: the operators start from the evaluated value.
        eval: bool,
        /// `--force`: also what takes members out of the cluster.
        force: bool,
    },
    /// `unset --kw K`.
    Unset {
        /// Keywords to remove.
        keywords: Vec<String>,
        /// As with `set`.
        force: bool,
    },
    /// `print config`.
    Print {
        /// `--eval`.
        eval: bool,
        /// `--impersonate`.
        impersonate: Option<String>,
    },
    /// `edit config`.
    Edit {
        /// `--recover`: go on with the copy an earlier edit left.
        recover: bool,
        /// `--discard`: start over.
        discard: bool,
        /// `--force`: members may be taken out of the cluster, and mistakes written.
        force: bool,
    },
    /// `validate config`: the exit code counts what is wrong.
    Validate,
    /// `config history`: the versions that are kept here.
    History,
    /// `config show N`: a version as it was, without its secrets; `--diff`: what it changed.
    Show {
        /// Its number. None: what is there now.
        number: Option<u64>,
        /// `--diff`: against the version before it; of what is there now, against the last version that differs.
        is_diff: bool,
    },
    /// `config revert [N]`: makes an older version a new edit.
    Revert {
        /// Its number. None: the one before what is there now.
        number: Option<u64>,
        /// `--force`: as of `set`.
        force: bool,
    },
}

/// One expression of `set`, as text for the configuration language: `section.keyword[@scope][[index]]<op>value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit(pub String);

/// `create`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CreateOptions {
    /// `--config`, `--template`.
    pub source: ConfigSource,
    /// `--kw`: set in the new file.
    pub keywords: Vec<Edit>,
    /// `--env`: keywords of the section `env`.
    pub env: Vec<(String, String)>,
    /// `--resource`: sections, each a JSON object with `rtype` and `type`.
    pub resources: Vec<String>,
    /// `--provision`: then provision and start.
    pub provision: bool,
    /// `--leader`: as of provision.
    pub leader: bool,
    /// `--disable-rollback`: as of provision.
    pub disable_rollback: bool,
    /// `--restore`: keep the id of the source.
    pub restore: bool,
    /// `--force`: replace an existing object, accept an invalid configuration.
    pub force: bool,
}

/// Where a new configuration comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ConfigSource {
    /// Nothing but `--kw`.
    #[default]
    None,
    /// `--config -`: JSON or ini on standard input.
    Stdin,
    /// `--config <file|uri|selector>`.
    Config(String),
    /// `--template <name|id|file>`.
    Template(String),
}
