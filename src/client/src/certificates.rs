//! `om <path> gen cert|fullpem|pkcs12|revoke`, `om cluster tls`: certificates of sec and usr objects of this node.
//!
//! What is made is written into the file of the object, and reaches the other nodes as every configuration does. Private keys
//! go to standard output only, and never through a daemon.

use std::io::{IsTerminal as _, Write as _};

use certs::{PrivateKey, pkcs12};
use cli::{CertificateAction, PasswordSource, Target};
use conf::{NodeSettings, ObjectConf};
use files::certificates::{self, Notes, Store};
use files::in_force;
use link::link::Link;
use machine::clock;
use model::{Kind, ObjectPath};
use ring::rand::SystemRandom;
use serde_json::Map;
use zeroize::Zeroizing;

use crate::om::{Done, Failure, Om, note, print};
use crate::remote::remote;
use crate::select::is_here;
use crate::terminal::{ask, first_line};

fn settings(om: &Om) -> Result<NodeSettings, Failure> {
    Ok(in_force::load_node_as_it_speaks(&om.paths, om.nodename.clone())?)
}

fn tell(notes: Notes) {
    notes.iter().for_each(|line| note(line));
}

/// `elsewhere`: other nodes are asked, by their daemons.
pub(super) fn run(
    om: &Om,
    link: &Link,
    paths: &[ObjectPath],
    action: &CertificateAction,
    elsewhere: Option<&Target>,
) -> Done {
    for path in paths {
        if !matches!(path.kind(), Kind::Sec | Kind::Usr) {
            return Err(Failure::new(format!(
                "{path} has no certificate: only objects of kind sec and usr have"
            )));
        }
    }
    if let Some(target) = elsewhere {
        let name = match action {
            CertificateAction::Generate => "gen_cert",
            CertificateAction::Revoke => "revoke",
            CertificateAction::Fullpem | CertificateAction::Pkcs12 { .. } => {
                return Err(Failure::usage(
                    "a private key is not sent from node to node: run it on a node that has the object",
                ));
            }
        };
        return remote(om, link, paths, name, &Map::new(), target);
    }
    if let (CertificateAction::Pkcs12 { .. }, [_, _, ..]) = (action, paths) {
        return Err(Failure::usage("pkcs12 writes one file: name one object"));
    }
    let node = settings(om)?;
    let store = Store { paths: &om.paths, node: &node };
    for path in paths {
        if !is_here(om, path) {
            return Err(Failure::new(format!(
                "{path} is not on this node: name one that has it with --node"
            )));
        }
        one(store, path, action)?;
    }
    Ok(0)
}

fn one(store: Store<'_>, path: &ObjectPath, action: &CertificateAction) -> Result<(), Failure> {
    let now = clock::now();
    match action {
        CertificateAction::Generate => tell(store.generate(path, now).map_err(Failure::new)?),
        CertificateAction::Fullpem => {
            let (text, notes) = store.fullpem(path, now).map_err(Failure::new)?;
            tell(notes);
            out(text.as_bytes())?;
        }
        CertificateAction::Pkcs12 { password } => {
            // Bytes would upset a terminal.
            if std::io::stdout().is_terminal() {
                return Err(Failure::usage(format!(
                    "PKCS#12 is no text: om {path} pkcs12 > {}.p12",
                    path.name()
                )));
            }
            let (text, notes) = store.fullpem(path, now).map_err(Failure::new)?;
            tell(notes);
            let said = |error: &dyn std::fmt::Display| Failure::new(format!("{path}: {error}"));
            let chain = certs::certificates(&text).map_err(|error| said(&error))?;
            let key = PrivateKey::from_pem(&text).map_err(|error| said(&error))?;
            let password = read_password(password)?;
            let file = pkcs12(&key, &chain, &password, &SystemRandom::new());
            out(&file.map_err(|error| said(&error))?)?;
        }
        CertificateAction::Revoke => {
            let is_new = certificates::revoke(store, path, now).map_err(Failure::new)?;
            match is_new {
                true => note(&format!("{path}: its certificate is revoked")),
                false => note(&format!("{path}: its certificate was revoked before")),
            }
        }
    }
    Ok(())
}

/// `om cluster tls`.
pub(super) fn cluster(om: &Om, link: &Link, elsewhere: Option<&Target>) -> Done {
    if let Some(target) = elsewhere {
        return remote(om, link, &[ObjectPath::cluster()], "tls", &Map::new(), target);
    }
    let node = settings(om)?;
    let store = Store { paths: &om.paths, node: &node };
    let made = certificates::ensure_cluster(store, clock::now()).map_err(Failure::new)?;
    made.iter().for_each(|path| print(&format!("create {path}\n")));
    if made.is_empty() {
        note("the cluster has its authority and its certificate: nothing to do");
    }
    Ok(0)
}

/// Gives a new user his common name and his authority.
pub(super) fn prepare_user(
    om: &Om,
    node: &NodeSettings,
    conf: &mut ObjectConf,
) -> Result<(), Failure> {
    let store = Store { paths: &om.paths, node };
    tell(certificates::prepare_user(store, conf, clock::now()).map_err(Failure::new)?);
    Ok(())
}

/// Gives a new sec or usr its certificate, where its keywords ask for one.
pub(super) fn add_to_new(
    om: &Om,
    node: &NodeSettings,
    conf: &mut ObjectConf,
) -> Result<(), Failure> {
    let store = Store { paths: &om.paths, node };
    tell(certificates::add_to_new(store, conf, clock::now()).map_err(Failure::new)?);
    Ok(())
}

/// As it is: it may go to a file. A reader that went away has read enough.
fn out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn read_password(source: &PasswordSource) -> Result<Zeroizing<String>, Failure> {
    match source {
        PasswordSource::Text(text) => Ok(Zeroizing::new(text.clone())),
        PasswordSource::Stdin => first_line("standard input"),
        PasswordSource::Terminal if std::io::stdin().is_terminal() => {
            let first = ask("Password of the file: ")?;
            if *first != *ask("The same again: ")? {
                return Err(Failure::new("the two passwords differ"));
            }
            Ok(first)
        }
        PasswordSource::Terminal => Err(Failure::usage(
            "pkcs12 needs a password, and there is no terminal to ask: --password -, from standard input",
        )),
    }
}
