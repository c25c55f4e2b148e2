//! Clusters that are asked from another machine: where they are, whom to trust, and in whose name.
//!
//! They are sections of one file, `~/.config/opensvc/contexts`; variables of the environment go before it. Secrets are read from
//! files, the environment or the terminal, never from the command line.

use std::io::IsTerminal as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cli::render::printable;
use conf::Ini;
use conf::peer_address::PeerAddress;
use link::link::remote::{DEFAULT_PORT, Remote, Trusted};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::terminal::ask;

/// The section that names the context in use.
pub(crate) const CURRENT: &str = "current";

/// What a URI of such a server begins with.
pub(crate) const SCHEME: &str = "https://";

/// Longest file of a password or a token.
const LONGEST: u64 = 64 << 10;

/// A variable of the environment that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The file of contexts: `OSVC_CONTEXTS`, or in the folder of the user's settings.
pub(crate) fn file() -> Option<PathBuf> {
    if let Some(file) = variable("OSVC_CONTEXTS") {
        return Some(file.into());
    }
    let folder = variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")))?;
    Some(folder.join("opensvc/contexts"))
}

/// The folder of what is being edited of other machines, which its user alone may look into.
pub(crate) fn drafts() -> Result<PathBuf, Failure> {
    let folder = variable("XDG_STATE_HOME").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".local/state")));
    let folder = folder
        .ok_or_else(|| Failure::new("no place for what is edited: HOME is not set"))?
        .join("opensvc/edits");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder)
}

/// What the file says. One that is not there says nothing.
pub(crate) fn read() -> Result<Ini, Failure> {
    let empty = || Ini::parse("").map_err(|error| Failure::new(error.to_string()));
    let Some(file) = file() else { return empty() };
    match std::fs::read(&file) {
        Ok(bytes) => Ini::from_bytes(&bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", file.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => empty(),
        Err(error) => Err(Failure::new(format!("{}: {error}", file.display()))),
    }
}

/// The context that is meant where no server is named: OSVC_CONTEXT, or the one in use.
pub(crate) fn current(ini: &Ini) -> Result<Option<String>, Failure> {
    let named = variable("OSVC_CONTEXT");
    let name = named.or_else(|| ini.get(CURRENT, "context").map(str::to_owned));
    match name.filter(|name| !name.is_empty()) {
        Some(name) if name == CURRENT || !ini.has_section(&name) => Err(unknown(&name, ini)),
        name => Ok(name),
    }
}

pub(crate) fn names(ini: &Ini) -> impl Iterator<Item = &str> {
    ini.sections().filter(|section| *section != CURRENT && *section != "DEFAULT")
}

pub(crate) fn unknown(name: &str, ini: &Ini) -> Failure {
    let known: Vec<&str> = names(ini).collect();
    let file = file().map_or_else(String::new, |file| format!(" in {}", file.display()));
    let known = if known.is_empty() { "none is there".to_owned() } else { known.join(", ") };
    Failure::new(format!("no context {name}{file}: {known}"))
}

/// The servers of a context, as a command line names one: `--server` of a command that names none.
pub(crate) fn server() -> Result<Option<String>, Failure> {
    let ini = read()?;
    let Some(name) = current(&ini)? else { return Ok(None) };
    let servers = ini.get(&name, "server").unwrap_or_default().split_whitespace().next();
    let missing = || Failure::new(format!("context {name}: server is not set, as https://n1:1215"));
    servers.map(|server| Some(server.to_owned())).ok_or_else(missing)
}

/// The namespace of relative names that the context in use has.
pub(crate) fn namespace() -> Option<String> {
    let ini = read().ok()?;
    let name = current(&ini).ok()??;
    ini.get(&name, "namespace").map(str::to_owned)
}

/// `host:port` of a URI.
fn address(server: &str) -> Result<String, Failure> {
    let refuse = |reason: &str| Failure::usage(format!("--server {server}: {reason}"));
    let rest = server.strip_prefix(SCHEME).ok_or_else(|| refuse("expected https://host[:port]"))?;
    let (host, port) = PeerAddress::split(rest.trim_end_matches('/')).map_err(refuse)?;
    let port = port.unwrap_or(DEFAULT_PORT);
    Ok(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// What is asked when a command line names `server`, and `cacert` if it does: the context that has it, with its other servers, and the environment.
pub(crate) fn remote(server: &str, cacert: Option<&str>) -> Result<Remote, Failure> {
    let ini = read()?;
    let named = address(server)?;
    let servers = |name: &str| -> Vec<String> {
        let words = ini.get(name, "server").unwrap_or_default().split_whitespace();
        words.filter_map(|word| address(word).ok()).collect()
    };
    let in_use = current(&ini)?.filter(|name| servers(name).contains(&named));
    let context = in_use
        .or_else(|| names(&ini).find(|name| servers(name).contains(&named)).map(str::to_owned));
    let of_context = |keyword: &str| {
        let value = context.as_deref().and_then(|name| ini.get(name, keyword));
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let said = |name: &str, keyword: &str| variable(name).or_else(|| of_context(keyword));
    let mut addresses = vec![named.clone()];
    let others = context.as_deref().map(servers).unwrap_or_default();
    addresses.extend(others.into_iter().filter(|other| *other != named));
    let is_insecure = said("OSVC_INSECURE", "insecure")
        .is_some_and(|value| matches!(value.as_str(), "true" | "yes" | "1"));
    let authorities = cacert.map(str::to_owned).or_else(|| said("OSVC_CACERT", "cacert"));
    let authorities = authorities.map(|file| bytes(&file)).transpose()?;
    let trusted = match &authorities {
        // Who names authorities wants them.
        Some(pem) if cacert.is_some() || !is_insecure => Trusted::Authorities(pem),
        _ if is_insecure => Trusted::Anybody,
        Some(pem) => Trusted::Authorities(pem),
        None => Trusted::Machine,
    };
    let own = said("OSVC_CERT", "cert").map(|file| bytes(&file)).transpose()?;
    let authorization = authorization(&named, &said)?;
    let own = own.as_ref().map(|own| own.as_slice());
    Remote::new(addresses, trusted, own, authorization)
        .map_err(|error| Failure::new(format!("certificates for {named}: {error}")))
}

/// The header `authorization`: a token, or a name with its password. None: the certificate tells.
fn authorization(
    server: &str,
    said: &dyn Fn(&str, &str) -> Option<String>,
) -> Result<Option<Zeroizing<String>>, Failure> {
    let token = match variable("OSVC_TOKEN") {
        Some(token) => Some(Zeroizing::new(token)),
        None => said("OSVC_TOKEN_FILE", "token_file").map(|file| line(&file)).transpose()?,
    };
    if let Some(token) = token {
        return Ok(Some(Zeroizing::new(format!("Bearer {}", token.as_str()))));
    }
    let Some(user) = said("OSVC_USER", "user") else { return Ok(None) };
    let password = match variable("OSVC_PASSWORD") {
        Some(password) => Zeroizing::new(password),
        None => match said("OSVC_PASSWORD_FILE", "password_file") {
            Some(file) => line(&file)?,
            None if std::io::stdin().is_terminal() => {
                ask(&format!("Password of {} at {server}: ", printable(&user)))?
            }
            None => {
                return Err(Failure::new(format!(
                    "no password of {} for {server}, and no terminal to ask: password_file of the context, \
                     OSVC_PASSWORD_FILE or OSVC_PASSWORD tell it",
                    printable(&user)
                )));
            }
        },
    };
    let pair = Zeroizing::new(format!("{user}:{}", password.as_str()));
    let coded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    Ok(Some(Zeroizing::new(format!("Basic {}", coded.as_str()))))
}

fn bytes(file: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let file = expanded(file);
    let failed = |error: String| Failure::new(format!("{}: {error}", file.display()));
    let found = std::fs::metadata(&file).map_err(|error| failed(error.to_string()))?;
    if found.len() > LONGEST {
        return Err(failed("too long".to_owned()));
    }
    std::fs::read(&file).map(Zeroizing::new).map_err(|error| failed(error.to_string()))
}

/// The first line of a file.
fn line(file: &str) -> Result<Zeroizing<String>, Failure> {
    let bytes = bytes(file)?;
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| Failure::new(format!("{file}: it is not UTF-8")))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// A file below the home of the user, where it is written so.
fn expanded(file: &str) -> PathBuf {
    match (file.strip_prefix("~/"), variable("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => file.into(),
    }
}

/// Writes which context is used, and leaves the rest as it is.
pub(crate) fn write(ini: &Ini, name: Option<&str>) -> Result<(), Failure> {
    let Some(file) = file() else {
        return Err(Failure::new("no place for contexts: HOME is not set"));
    };
    let mut text = String::new();
    let mut is_current = false;
    for line in ini.text().split_inclusive('\n') {
        let begins = line.trim_start().starts_with('[');
        is_current = if begins { line.trim() == format!("[{CURRENT}]") } else { is_current };
        if !is_current {
            text.push_str(line);
        }
    }
    if let Some(name) = name {
        text = format!("[{CURRENT}]\ncontext = {name}\n\n{}", text.trim_start());
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(machine::durable::write(&file, text.as_bytes(), 0o600)?)
}
