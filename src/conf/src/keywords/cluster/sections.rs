//! Keywords of sections of node.conf and cluster.conf of which this agent reads little or nothing.

use crate::convert::Converter::{Boolean, Integer, List, Words};
use crate::keywords::keyword::{Keyword, table};

pub(super) const STONITH: &[Keyword] = table! {
    "cmd".to(Words).required().at():
        "command that fences the node";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const HOOK: &[Keyword] = table! {
    "events".to(List):
        "events that the command is for, or all";
    "command".to(Words):
        "command that gets the event on its standard input";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const SYSLOG: &[Keyword] = table! {
    "facility".or("daemon"):
        "facility of the lines";
    "level".or("info").one_of(&["critical", "error", "warning", "info", "debug"]):
        "least important lines that are sent";
    "host":
        "host that the lines are sent to; unset, this one";
    "port".to(Integer).or("514"):
        "port that the lines are sent to";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const SCHEDULE: &[Keyword] = table! {
    "schedule":
        "when it is done, as @10, 04:00-06:00 or a list of such";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const REBOOT: &[Keyword] = table! {
    "once".to(Boolean).or("true"):
        "reboot once for each time that a reboot is asked for";
    "pre":
        "command before the reboot, whose failure is ignored";
    "blocking_pre":
        "command before the reboot, whose failure keeps the node up";
};

pub(super) const COMPLIANCE: &[Keyword] = table! {
    "auto_update".to(Boolean):
        "update the compliance modules before they run";
};

pub(super) const STATS: &[Keyword] = table! {
    "disable".to(List):
        "groups of figures that are not sent";
};

pub(super) const CNI: &[Keyword] = table! {
    "plugins".or("/opt/cni/bin"):
        "folder of the CNI plugins";
    "config".or("/opt/cni/net.d"):
        "folder of the CNI configurations";
};
