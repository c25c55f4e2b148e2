//! Typed access to the options of a command line.

use clap::ArgMatches;
use model::ActionOptions;

use crate::command::config::{ConfigAction, ConfigSource, CreateOptions, Edit};
use crate::command::{
    ColorChoice, Format, HistoryOptions, KeyAction, KeySource, LogOptions, LogTime, Output, Target,
    Wait,
};
use crate::options::duration;
use crate::usage::{Usage, usage};

/// Typed access to what clap read; an option that an action does not have reads as absent.
pub(super) struct Reader<'a>(pub(super) &'a ArgMatches);

impl Reader<'_> {
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.try_get_one::<String>(name).ok().flatten().cloned()
    }

    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.0.try_get_many::<String>(name).ok().flatten().into_iter().flatten().cloned().collect()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or(false)
    }

    pub(super) fn seconds(&self, name: &str) -> Result<Option<f64>, Usage> {
        self.text(name)
            .map(|text| duration(&text).map_err(|error| usage(&format!("--{name}: {error}"))))
            .transpose()
    }

    pub(super) fn operands(&self) -> Vec<String> {
        self.texts("operand")
    }

    pub(super) fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, Usage> {
        self.texts(name)
            .into_iter()
            .map(|text| match text.split_once('=') {
                Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
                _ => Err(usage(&format!("--{name} {text}: expected NAME=VALUE"))),
            })
            .collect()
    }

    pub(super) fn target(&self) -> Result<Target, Usage> {
        match (self.flag("local"), self.text("node").filter(|node| !node.is_empty())) {
            (true, Some(_)) => Err(usage("--local and --node exclude each other")),
            (true, None) => Ok(Target::Local),
            (false, Some(node)) => Ok(Target::Nodes(node)),
            (false, None) => Ok(Target::Default),
        }
    }

    pub(super) fn output(&self) -> Result<Output, Usage> {
        let format = match self.text("format").as_deref() {
            None | Some("" | "matrix" | "table") => None,
            Some("json") => Some(Format::Json),
            Some("flat_json" | "flat") => Some(Format::FlatJson),
            Some("compact") => Some(Format::Compact),
            Some(other) => {
                return Err(usage(&format!("--format {other}: expected json or flat_json")));
            }
        };
        let color = match self.text("color").as_deref() {
            None | Some("auto") => ColorChoice::Auto,
            Some("always" | "yes") => ColorChoice::Always,
            Some("never" | "no") => ColorChoice::Never,
            Some(other) => {
                return Err(usage(&format!("--color {other}: expected auto, yes or no")));
            }
        };
        let (filter, cacert) = (self.text("filter"), self.text("cacert"));
        Ok(Output { format, color, filter, debug: self.flag("debug"), cacert })
    }

    pub(super) fn wait(&self) -> Result<Wait, Usage> {
        Ok(Wait { wait: self.flag("wait"), time: self.seconds("time")?, watch: self.flag("watch") })
    }

    pub(super) fn logs(&self) -> Result<LogOptions, Usage> {
        let backlog = self.text("backlog");
        if let Some(text) = backlog.as_deref().filter(|text| wire::Size::parse(text).is_none()) {
            return Err(usage(&format!(
                "--backlog {text}: expected a size: 10k, 1m, negative for all, 0 for nothing"
            )));
        }
        let level = self.text("level").map(|level| level.to_lowercase());
        const LEVELS: [&str; 8] =
            ["debug", "info", "warning", "error", "critical", "warn", "err", "crit"];
        if let Some(level) = level.as_deref().filter(|level| !LEVELS.contains(level)) {
            let expected = LEVELS[..5].join(", ");
            return Err(usage(&format!("--level {level}: expected {expected}")));
        }
        let (since, until) = (self.log_time("since"), self.log_time("until"));
        let follow = self.flag("follow");
        if follow && until.is_some() {
            return Err(usage("--follow goes on, and --until ends: one of them"));
        }
        let (grep, is_verbose) = (self.text("grep"), self.flag("verbose"));
        Ok(LogOptions { follow, backlog, since, until, level, grep, is_verbose })
    }

    /// A time of a log: how long ago, or when. What is no length of time is read where the clock is known.
    fn log_time(&self, name: &str) -> Option<LogTime> {
        let text = self.text(name)?;
        Some(duration(&text).map_or_else(|_| LogTime::At(text), LogTime::Ago))
    }

    pub(super) fn history(&self) -> Result<HistoryOptions, Usage> {
        Ok(HistoryOptions { since: self.seconds("since")?, is_verbose: self.flag("verbose") })
    }

    /// `--status`: states of instances.
    pub(super) fn states(&self) -> Result<Option<String>, Usage> {
        const STATES: [&str; 8] =
            ["up", "down", "warn", "n/a", "undef", "stdby up", "stdby down", "unknown"];
        let states = self.text("status");
        let words = states.iter().flat_map(|text| text.split(',')).map(str::trim);
        if let Some(word) = words.into_iter().find(|word| !STATES.contains(word)) {
            return Err(usage(&format!("--status {word}: expected {}", STATES.join(", "))));
        }
        Ok(states)
    }

    /// The keywords that an action names, as operands or options.
    pub(super) fn keywords(&self, action: &str) -> Result<Vec<String>, Usage> {
        let named = self.texts("kw").into_iter().chain(self.text("param")).chain(self.operands());
        let keywords = separate(named);
        if keywords.is_empty() {
            return Err(usage(&format!("{action} needs a keyword: --kw [section.]keyword")));
        }
        Ok(keywords)
    }

    pub(super) fn edits(&self) -> Result<Vec<Edit>, Usage> {
        let mut edits: Vec<Edit> =
            self.texts("kw").into_iter().chain(self.operands()).map(Edit).collect();
        if let Some(edit) = edits.iter().find(|edit| !edit.0.contains('=')) {
            return Err(usage(&format!(
                "{:?} sets nothing: expected [section.]keyword=value, or +=, -=, |=",
                edit.0
            )));
        }
        if let Some(param) = self.text("param") {
            let index = match self.text("index") {
                None => String::new(),
                Some(index) => {
                    let index: i64 = index
                        .parse()
                        .map_err(|_| usage(&format!("--index {index}: expected a number")))?;
                    format!("[{index}]")
                }
            };
            let before = edits.len();
            edits.extend(self.text("value").map(|value| Edit(format!("{param}={value}"))));
            edits.extend(self.text("add").map(|value| Edit(format!("{param}{index}+={value}"))));
            edits.extend(self.text("remove").map(|value| Edit(format!("{param}-={value}"))));
            if edits.len() == before {
                return Err(usage("--param needs --value, --add or --remove"));
            }
        }
        set_once(&edits)?;
        if edits.is_empty() && self.texts("unset").is_empty() {
            return Err(usage("set needs --kw [section.]keyword=value, or --param and --value"));
        }
        Ok(edits)
    }

    /// The configuration actions, which nodes, the cluster and objects share.
    pub(super) fn config(&self, action: &str) -> Result<Option<ConfigAction>, Usage> {
        let impersonate = self.text("impersonate");
        // Another node's view is an evaluated one.
        let eval = self.flag("eval") || impersonate.is_some();
        Ok(Some(match action {
            "get" => ConfigAction::Get { keywords: self.keywords(action)?, eval, impersonate },
            "eval" => {
                ConfigAction::Get { keywords: self.keywords(action)?, eval: true, impersonate }
            }
            "set" => ConfigAction::Set {
                edits: self.edits()?,
                unset: separate(self.texts("unset")),
                eval: self.flag("eval"),
                force: self.flag("force"),
            },
            "unset" => {
                ConfigAction::Unset { keywords: self.keywords(action)?, force: self.flag("force") }
            }
            "print config" => ConfigAction::Print { eval, impersonate },
            "edit config" => {
                let (recover, discard) = (self.flag("recover"), self.flag("discard"));
                if recover && discard {
                    return Err(usage("--recover and --discard exclude each other"));
                }
                ConfigAction::Edit { recover, discard, force: self.flag("force") }
            }
            "validate config" => ConfigAction::Validate,
            "config history" => ConfigAction::History,
            "config show" => {
                ConfigAction::Show { number: self.version()?, is_diff: self.flag("diff") }
            }
            "config revert" => {
                ConfigAction::Revert { number: self.version()?, force: self.flag("force") }
            }
            _ => return Ok(None),
        }))
    }

    /// The number of a version.
    fn version(&self) -> Result<Option<u64>, Usage> {
        let said = || usage("expected one number: `config history` lists the versions");
        match &self.operands()[..] {
            [] => Ok(None),
            [number] => number.parse().map(Some).map_err(|_| said()),
            _ => Err(said()),
        }
    }

    /// `scale --to N`: sets the keyword, as deployed agents do.
    pub(super) fn scale(&self) -> Result<ConfigAction, Usage> {
        let to = self.text("to").and_then(|text| text.parse::<u32>().ok());
        let to = to.ok_or_else(|| usage("scale needs --to and a number: om web scale --to 3"))?;
        Ok(ConfigAction::Set {
            edits: vec![Edit(format!("scale={to}"))],
            unset: vec![],
            eval: false,
            force: false,
        })
    }

    pub(super) fn key_action(&self, action: &str) -> Result<KeyAction, Usage> {
        let key = self.text("key").filter(|key| !key.is_empty());
        let needed = |key: Option<String>| {
            key.ok_or_else(|| usage(&format!("{action} needs the name of the key: --key NAME")))
        };
        Ok(match action {
            "decode" => KeyAction::Decode { key: needed(key)? },
            "remove" => KeyAction::Remove { key: needed(key)? },
            _ => {
                let source = match (self.text("value"), self.text("from")) {
                    (Some(value), None) => KeySource::Value(value),
                    (None, Some(from)) if matches!(from.as_str(), "-" | "/dev/stdin") => {
                        KeySource::Stdin
                    }
                    (None, Some(from)) => KeySource::Path(from),
                    _ => return Err(usage(&format!("{action} needs --value or --from"))),
                };
                // A file has a name.
                let key = match source {
                    KeySource::Path(_) => key,
                    KeySource::Value(_) | KeySource::Stdin => Some(needed(key)?),
                };
                KeyAction::Set { key, source, replace: action == "change" }
            }
        })
    }

    pub(super) fn create(&self) -> Result<CreateOptions, Usage> {
        let source = match (self.text("config"), self.text("template")) {
            (Some(_), Some(_)) => return Err(usage("--config and --template exclude each other")),
            (Some(config), None) if matches!(config.as_str(), "-" | "/dev/stdin") => {
                ConfigSource::Stdin
            }
            (Some(config), None) => ConfigSource::Config(config),
            (None, Some(template)) => ConfigSource::Template(template),
            (None, None) => ConfigSource::None,
        };
        let keywords: Vec<Edit> = self.texts("kw").into_iter().map(Edit).collect();
        if let Some(edit) = keywords.iter().find(|edit| !edit.0.contains('=')) {
            return Err(usage(&format!("--kw {}: expected [section.]keyword=value", edit.0)));
        }
        set_once(&keywords)?;
        Ok(CreateOptions {
            source,
            keywords,
            env: self.pairs("env")?,
            resources: self.texts("resource"),
            provision: self.flag("provision"),
            leader: self.flag("leader"),
            disable_rollback: self.flag("disable-rollback"),
            restore: self.flag("restore"),
            force: self.flag("force"),
        })
    }

    pub(super) fn action_options(&self) -> Result<ActionOptions, Usage> {
        let text = |name| self.text(name).filter(|text| !text.is_empty());
        Ok(ActionOptions {
            rid: text("rid"),
            tags: text("tags"),
            subsets: text("subsets"),
            upto: text("upto"),
            downto: text("downto"),
            to: text("to"),
            force: self.flag("force"),
            dry_run: self.flag("dry-run"),
            leader: self.flag("leader"),
            disable_rollback: self.flag("disable-rollback"),
            parallel: self.flag("parallel"),
            waitlock: self.seconds("waitlock")?,
            nolock: self.flag("nolock"),
            cron: self.flag("cron"),
            confirm: self.flag("confirm"),
            master: self.flag("master"),
            slaves: self.flag("slaves"),
            slave: text("slave"),
            unprovision: self.flag("unprovision"),
            purge_collector: self.flag("purge-collector"),
            reason: text("reason"),
            env: self.pairs("env")?,
        })
    }
}

/// Keywords that commas separate.
fn separate(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let words = |text: String| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    texts.into_iter().flat_map(words).filter(|word| !word.is_empty()).collect()
}

/// Refuses a keyword that is set twice: the first value would be lost without a word.
fn set_once(edits: &[Edit]) -> Result<(), Usage> {
    let mut seen = std::collections::BTreeSet::new();
    for Edit(text) in edits {
        let (keyword, _) = text.split_once('=').unwrap_or((text, ""));
        // `+=`, `-=` and `|=` change what is there.
        if keyword.ends_with(['+', '-', '|']) {
            continue;
        }
        let name = keyword.strip_prefix("DEFAULT.").unwrap_or(keyword).trim();
        if !seen.insert(name) {
            return Err(usage(&format!(
                "{name} is set twice: one of the values would be lost; a list is one value, as a=\"1 2\""
            )));
        }
    }
    Ok(())
}
