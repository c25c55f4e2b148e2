//! What each group of commands asks for.

use conf::Book;
use model::{InstanceAction, Kind};

use crate::command::{
    ApiCommand, CertificateAction, Command, ContextAction, ContextCommand, DaemonAction,
    DaemonCommand, DocCommand, EnvelopeChoice, MonitorCommand, NetAction, NodeAction, NodeCommand,
    ObjectAction, ObjectCommand, Output, PasswordSource, PoolAction, RotateCommand, SecretSource,
    StockCommand, Target,
};
use crate::parse::operations;
use crate::parse::reader::Reader;
use crate::usage::{Usage, usage};

pub(crate) fn daemon(reader: &Reader<'_>, action: &str) -> Result<Command, Usage> {
    let required = |name: &str| {
        reader
            .text(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| usage(&format!("daemon {action} needs --{name}")))
    };
    let mut target = reader.target()?;
    let action = match action {
        "start" => DaemonAction::Start {
            foreground: reader.flag("foreground"),
            thread_id: reader.text("thread-id"),
        },
        "stop" => {
            let (thread_id, session_id) = (reader.text("thread-id"), reader.text("session-id"));
            if thread_id.is_some() && session_id.is_some() {
                return Err(usage("--thread-id and --session-id exclude each other"));
            }
            DaemonAction::Stop { thread_id, session_id }
        }
        "restart" => DaemonAction::Restart,
        "shutdown" => DaemonAction::Shutdown { time: reader.seconds("time")? },
        "running" => DaemonAction::Running,
        "stats" => DaemonAction::Stats { selector: reader.text("service") },
        "blacklist status" => DaemonAction::BlacklistStatus,
        "blacklist clear" => DaemonAction::BlacklistClear,
        "relay status" => DaemonAction::RelayStatus,
        "join" | "rejoin" => {
            // The node is a party here, not the place where the command runs.
            target = Target::Default;
            let envelope = match reader.text("envelope").as_deref() {
                None => None,
                Some("classic") => Some(EnvelopeChoice::Classic),
                Some("sealed") => Some(EnvelopeChoice::Sealed),
                Some(_) => return Err(usage("--envelope is one of classic, sealed")),
            };
            let time = reader.seconds("timeout")?;
            if action == "rejoin" {
                DaemonAction::Rejoin { node: reader.text("node"), envelope, time }
            } else {
                let secret = match (reader.text("secret"), reader.text("secret-file")) {
                    (Some(_), Some(_)) => {
                        return Err(usage("--secret and --secret-file exclude each other"));
                    }
                    (None, None) => SecretSource::Environment,
                    (Some(text), None) if text.is_empty() => {
                        return Err(usage("daemon join needs a --secret that is not empty"));
                    }
                    (Some(dash), None) | (None, Some(dash)) if dash == "-" => SecretSource::Stdin,
                    (Some(text), None) => SecretSource::Text(text),
                    (None, Some(file)) => SecretSource::File(file),
                };
                DaemonAction::Join { node: required("node")?, secret, envelope, time }
            }
        }
        "leave" => DaemonAction::Leave { force: reader.flag("force") },
        "lock show" => DaemonAction::LockShow,
        "lock release" => DaemonAction::LockRelease {
            name: required("name")?,
            id: required("id")?,
            time: reader.seconds("timeout")?,
        },
        _ => DaemonAction::Status,
    };
    let (server, output) = (reader.text("server"), reader.output()?);
    Ok(Command::Daemon(DaemonCommand { action, target, server, output }))
}

pub(crate) fn node(reader: &Reader<'_>, action: &str) -> Result<Command, Usage> {
    let mut target = reader.target()?;
    let action = match reader.config(action)? {
        Some(action) => NodeAction::Config(action),
        None => match action {
            "ping" => {
                let operands = reader.operands();
                if !operands.is_empty() {
                    target = Target::Nodes(operands.join(" "));
                }
                NodeAction::Ping
            }
            "freeze" => NodeAction::Freeze(reader.wait()?),
            "thaw" => NodeAction::Thaw(reader.wait()?),
            "frozen" => NodeAction::Frozen,
            "drain" => NodeAction::Drain { wait: reader.wait()?, dry_run: reader.flag("dry-run") },
            "exec" => operations::exec(reader)?,
            "print boot" => NodeAction::PrintBoot,
            "logs" => NodeAction::Logs(reader.logs()?),
            "events" => NodeAction::Events,
            "dequeue actions" => NodeAction::DequeueActions,
            "ls" => NodeAction::Ls,
            "print schedule" => NodeAction::PrintSchedule,
            "print capabilities" | "scan capabilities" => NodeAction::PrintCapabilities,
            "doctor" => NodeAction::Doctor,
            "support" => NodeAction::Support { file: reader.text("output") },
            "history" => NodeAction::History(reader.history()?),
            "wait" => NodeAction::Wait {
                condition: reader
                    .text("filter")
                    .ok_or_else(|| usage("node wait needs --filter <condition>"))?,
                time: reader.seconds("time")?,
            },
            _ => NodeAction::PrintStatus,
        },
    };
    let (server, mut output) = (reader.text("server"), reader.output()?);
    if matches!(action, NodeAction::Wait { .. }) {
        output.filter = None;
    }
    Ok(Command::Node(NodeCommand { action, target, server, output }))
}

pub(crate) fn doc(reader: &Reader<'_>, book: Book) -> Result<Command, Usage> {
    let operands = reader.operands();
    if operands.len() > 1 {
        let rest = operands[1..].join(" ");
        return Err(usage(&format!("unexpected word {rest:?}: one section or keyword at a time")));
    }
    let is_page = reader.text("format").as_deref() == Some("man");
    if is_page && !operands.is_empty() {
        return Err(usage("--format man is for all keywords: name none"));
    }
    let output = if is_page { Output::default() } else { reader.output()? };
    let name = operands.into_iter().next();
    Ok(Command::Doc(DocCommand { book, name, is_page, output }))
}

pub(crate) fn context(reader: &Reader<'_>) -> Result<Command, Usage> {
    let operands = reader.operands();
    let words: Vec<&str> = operands.iter().map(String::as_str).collect();
    let action = match words[..] {
        [] | ["ls"] => ContextAction::Ls,
        ["use", name] => ContextAction::Use(name.to_owned()),
        ["unset"] => ContextAction::Unset,
        _ => return Err(usage("om ctx takes ls, use NAME or unset")),
    };
    Ok(Command::Context(ContextCommand { action, output: reader.output()? }))
}

pub(crate) fn api(reader: &Reader<'_>) -> Result<Command, Usage> {
    let operands = reader.operands();
    if operands.len() > 1 {
        return Err(usage("om api takes one path, as /api/cluster/status"));
    }
    let path = operands.into_iter().next();
    if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err(usage("a path begins with /, as /api/cluster/status"));
    }
    let (server, output) = (reader.text("server"), reader.output()?);
    Ok(Command::Api(ApiCommand { path, server, output }))
}

pub(crate) fn pool(reader: &Reader<'_>, action: &str) -> Result<Command, Usage> {
    let action = match action {
        "ls" => PoolAction::Ls,
        _ => PoolAction::Status { name: reader.text("name"), verbose: reader.flag("verbose") },
    };
    let (target, server, output) = (reader.target()?, reader.text("server"), reader.output()?);
    Ok(Command::Pool(StockCommand { action, target, server, output }))
}

pub(crate) fn net(reader: &Reader<'_>, action: &str) -> Result<Command, Usage> {
    let action = match action {
        "ls" => NetAction::Ls,
        "show" => NetAction::Show { name: reader.text("name") },
        _ => NetAction::Status { name: reader.text("name") },
    };
    let (target, server, output) = (reader.target()?, reader.text("server"), reader.output()?);
    Ok(Command::Net(StockCommand { action, target, server, output }))
}

pub(crate) fn monitor(reader: &Reader<'_>, selector: Option<String>) -> Result<Command, Usage> {
    let sections: Vec<String> = reader
        .text("sections")
        .into_iter()
        .flat_map(|text| text.split(',').map(|word| word.trim().to_owned()).collect::<Vec<_>>())
        .filter(|word| !word.is_empty())
        .collect();
    const SECTIONS: [&str; 4] = ["threads", "arbitrators", "nodes", "services"];
    if let Some(section) = sections.iter().find(|section| !SECTIONS.contains(&section.as_str())) {
        return Err(usage(&format!("--sections {section}: expected {}", SECTIONS.join(", "))));
    }
    Ok(Command::Monitor(MonitorCommand {
        selector: selector.or_else(|| reader.text("service")),
        namespace: reader.text("namespace"),
        node: reader.text("node"),
        // An interval is only good for watching.
        watch: reader.flag("watch") || reader.text("interval").is_some(),
        interval: reader.seconds("interval")?,
        sections,
        server: reader.text("server"),
        output: reader.output()?,
    }))
}

pub(crate) fn object(
    group: &str,
    first: Option<String>,
    reader: &Reader<'_>,
    action: &str,
) -> Result<Command, Usage> {
    let (is_cluster, kind) = match Kind::from_word(group) {
        Some(kind) => (false, kind),
        None => (true, Kind::Ccfg),
    };
    let mut selector = match (first, reader.text("service")) {
        (Some(_), Some(_)) => return Err(usage("two selectors: before the action, and with -s")),
        (first, option) => first.or(option),
    };
    if is_cluster {
        match action {
            "freeze" | "thaw" => return node(reader, action),
            "print status" => return daemon(reader, "status"),
            "rotate secret" => return rotate_secret(reader),
            "whatif" => return operations::what_if(reader),
            "roll" => return operations::roll(reader),
            _ => selector = Some("cluster".to_owned()),
        }
    }
    if matches!(action, "ls" | "create" | "deploy") {
        let operands = reader.operands();
        if !operands.is_empty() {
            if selector.is_some() || (action != "ls" && operands.len() > 1) {
                return Err(usage(&format!("unexpected word {:?}", operands.join(" "))));
            }
            selector = Some(operands.join(","));
        }
    }
    // Those of the kind, as the other groups do; a selector may name others.
    if (kind, action) == (Kind::Svc, "ls") && selector.is_none() {
        selector = Some("*/svc/*".to_owned());
    }
    if action == "monitor" {
        return monitor(reader, selector);
    }
    // A document may name its objects.
    let is_named_by_document = action == "create" && reader.text("config").is_some();
    if selector.is_none() && action != "ls" && !is_named_by_document {
        return Err(usage(&format!(
            "no object is named: om <selector> {action}, or om {group} -s <selector> {action}"
        )));
    }
    let typed = match reader.config(action)? {
        Some(action) => ObjectAction::Config(action),
        None => object_action(reader, action)?,
    };
    Ok(Command::Object(Box::new(ObjectCommand {
        kind,
        selector,
        namespace: reader.text("namespace"),
        status: reader.states()?,
        action: typed,
        target: reader.target()?,
        server: reader.text("server"),
        output: reader.output()?,
    })))
}

pub(crate) fn rotate_secret(reader: &Reader<'_>) -> Result<Command, Usage> {
    Ok(Command::RotateSecret(RotateCommand {
        force: reader.flag("force"),
        wait: reader.flag("wait"),
        time: reader.seconds("time")?,
        server: reader.text("server"),
        output: reader.output()?,
    }))
}

pub(crate) fn object_action(reader: &Reader<'_>, action: &str) -> Result<ObjectAction, Usage> {
    let instance = match action {
        "status" => return Ok(ObjectAction::Status { refresh: reader.flag("refresh") }),
        "print status" => {
            return Ok(ObjectAction::PrintStatus {
                refresh: reader.flag("refresh"),
                hide_disabled: reader.flag("hide-disabled"),
            });
        }
        "print config mtime" => return Ok(ObjectAction::PrintConfigMtime),
        "print pid" => return Ok(ObjectAction::PrintPid { rid: reader.text("rid") }),
        "print devs" => return Ok(ObjectAction::PrintDevs { rid: reader.text("rid") }),
        "print schedule" => return Ok(ObjectAction::PrintSchedule),
        "frozen" => return Ok(ObjectAction::Frozen),
        "ls" => return Ok(ObjectAction::Ls),
        "logs" => return Ok(ObjectAction::Logs(reader.logs()?)),
        "explain" => return Ok(ObjectAction::Explain),
        "history" => return Ok(ObjectAction::History(reader.history()?)),
        "drill" => return Ok(ObjectAction::Drill(operations::drill(reader)?)),
        "scale" => {
            let (action, force) = (reader.scale()?, reader.flag("force"));
            return Ok(ObjectAction::Scale { action, force });
        }
        "keys" => return Ok(ObjectAction::Keys { pattern: reader.text("match") }),
        "add" | "change" | "decode" | "remove" => {
            return Ok(ObjectAction::Key(reader.key_action(action)?));
        }
        "gen cert" => return Ok(ObjectAction::Certificate(CertificateAction::Generate)),
        "fullpem" => return Ok(ObjectAction::Certificate(CertificateAction::Fullpem)),
        "revoke" => return Ok(ObjectAction::Certificate(CertificateAction::Revoke)),
        "pkcs12" => {
            let password = match reader.text("password") {
                None => PasswordSource::Terminal,
                Some(dash) if dash == "-" => PasswordSource::Stdin,
                Some(text) => PasswordSource::Text(text),
            };
            return Ok(ObjectAction::Certificate(CertificateAction::Pkcs12 { password }));
        }
        "tls" => return Ok(ObjectAction::ClusterTls),
        "create" => return Ok(ObjectAction::Create(reader.create()?)),
        "deploy" => return Ok(ObjectAction::Deploy(reader.create()?, reader.wait()?)),
        other => InstanceAction::from_words(other)
            .ok_or_else(|| usage(&format!("unknown action {other:?}")))?,
    };
    Ok(ObjectAction::Instance {
        action: instance,
        options: reader.action_options()?,
        wait: reader.wait()?,
    })
}
