//! What is done around maintenance: looking ahead, going from node to node, failing over on purpose.

use crate::command::output::Output;

/// `om cluster whatif --down NODES`: what would become of the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhatIfCommand {
    /// `--down`: nodes that die, as a selector.
    pub down: String,
    /// `--server`.
    pub server: Option<String>,
    /// How the answer is written.
    pub output: Output,
}

/// `om cluster roll`: node by node: drain, work, wait, thaw.
#[derive(Debug, Clone, PartialEq)]
pub struct RollCommand {
    /// What is done on each node; none: what the roll before was about.
    pub work: Option<RollWork>,
    /// `--nodes`: a selector. None: all.
    pub nodes: Option<String>,
    /// `--all`: also nodes that need no reboot.
    pub all: bool,
    /// `--resume`: go on where the roll before stopped.
    pub resume: bool,
    /// `--discard`: forget that one.
    pub discard: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--yes`: do not ask.
    pub yes: bool,
    /// `--force`: also where a service has no place meanwhile, and on frozen nodes.
    pub force: bool,
    /// `--time`, seconds: how long each step of a node may take.
    pub time: Option<f64>,
    /// How the plan is written.
    pub output: Output,
}

/// What a roll does on each node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollWork {
    /// `--reboot`.
    Reboot,
    /// `--run CMD`.
    Run(String),
}

/// `om <path> drill`: fails a service over, measures, puts it back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DrillOptions {
    /// How it is seen whether the service works.
    pub probe: Option<Probe>,
    /// `--to`: where to. None: the best peer.
    pub to: Option<String>,
    /// `--stay`: leave it there.
    pub stay: bool,
    /// `--force`: also where it would be refused for what depends on it.
    pub force: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--time`, seconds: how long each move may take.
    pub time: Option<f64>,
}

/// How it is seen whether a service works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `--probe tcp://HOST:PORT`: a connection is accepted.
    Tcp(String),
    /// `--probe http://..`, `https://..`: an answer without error.
    Web(String),
    /// `--run CMD`: exit code 0.
    Run(String),
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Web(uri) => f.write_str(uri),
            Self::Run(command) => write!(f, "`{command}`"),
        }
    }
}

impl Probe {
    /// Reads `--probe`.
    ///
    /// # Errors
    ///
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || format!("--probe {text}: expected tcp://HOST:PORT, http://.. or https://..");
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Web(text.to_owned()));
        }
        let address = text.strip_prefix("tcp://").ok_or_else(expected)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(expected)?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        let is_host = !host.is_empty() && !host.contains(['/', ' ', '@']);
        if is_port && is_host { Ok(Self::Tcp(address.to_owned())) } else { Err(expected()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_an_address_or_a_uri() {
        let tcp = |text: &str| Ok(Probe::Tcp(text.to_owned()));
        assert_eq!(Probe::parse("tcp://10.0.0.5:80"), tcp("10.0.0.5:80"));
        assert_eq!(Probe::parse("tcp://[::1]:80"), tcp("[::1]:80"));
        assert_eq!(Probe::parse("https://web/"), Ok(Probe::Web("https://web/".to_owned())));
        for text in
            ["", "web:80", "tcp://web", "tcp://web:0", "tcp://:80", "tcp://web:80/x", "ftp://x"]
        {
            assert!(Probe::parse(text).is_err(), "{text}");
        }
    }
}
