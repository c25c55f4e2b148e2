//! Keywords of DEFAULT of the kinds without resources.

use crate::convert::Converter::{Boolean, Duration, DurationDays, List, ListLower, Nodes, Size};
use crate::keywords::drivers::common::GROUP_CAPS;
use crate::keywords::keyword::{ENVIRONMENTS, Keyword, table};

const NO_BITS: &str = "keys are of the curve P-256 here; authorities with an RSA key sign on";
const NO_NAMESPACE_GROUP: &str = "a namespace has no control group of its own";

/// DEFAULT of the kinds without instances.
pub(super) const DATA: &[Keyword] = table! {
    "id".head():
        "identity of the object, drawn when it is made";
    "disable".to(Boolean).leaf().at():
        "leave the whole object out of actions";
    "env".one_of(ENVIRONMENTS).head():
        "environment of the object; unset, that of the node";
    "app".or("default"):
        "application that the object belongs to, for who groups or bills by it";
    "lock_timeout".to(Duration).or("60"):
        "how long an action waits for another one on the object to end, in seconds";
    "nodes".to(Nodes).or("{clusternodes}").head().at():
        "nodes that have the object, by names or a node selector";
    "drpnodes".to(ListLower).head().at():
        "nodes of another site that have the object too";
    "comment".or("").describes():
        "note for who reads the configuration";
};

/// What certificates made of a secret or user hold.
pub(super) const CERTIFICATE: &[Keyword] = table! {
    "cn".head().at():
        "common name of the certificate: of a user its name, by which the TLS listener knows him";
    "c".head().at():
        "country of the certificate, two letters";
    "st".head().at():
        "state or province of the certificate";
    "l".head().at():
        "locality of the certificate";
    "o".head().at():
        "organization of the certificate";
    "ou".head().at():
        "organizational unit of the certificate";
    "email".head().at():
        "mail address of the certificate";
    "alt_names".to(List).head().at():
        "more names of the certificate: hosts and addresses, or DNS: and IP: before them; unset, cn and the nodes of the cluster";
    "bits".to(Size).or("4096").head().at().unread(NO_BITS):
        "length of the RSA key of the certificate that a deployed agent makes, in bits";
    "validity".to(DurationDays).or("365d").head().at():
        "how long the certificate is valid, in days, one at least; it is made anew once a third of that is left";
    "ca".head().at():
        "sec object of the authority that signs the certificate; unset, it signs itself, and can sign others";
};

pub(super) const USER: &[Keyword] = table! {
    "grant":
        "roles: root, blacklistadmin, squatter, prioritizer, heartbeat; admin, operator or guest of namespaces, as guest:test";
};

/// Caps of a namespace.
pub(super) const NAMESPACE_CAPS: &[Keyword] = &{
    let mut caps = [GROUP_CAPS[0]; GROUP_CAPS.len()];
    let mut at = 0;
    while at < caps.len() {
        caps[at] = GROUP_CAPS[at].unread(NO_NAMESPACE_GROUP);
        at += 1;
    }
    caps
};

pub(super) const NAMESPACE: &[Keyword] = table! {
    "create_pg".to(Boolean).or("true").unread(NO_NAMESPACE_GROUP):
        "run what the services of the namespace launch in control groups of it";
};
