//! Keywords of how nodes reach each other: `cluster`, `listener`, `hb#` and `arbitrator#`.

use crate::convert::Converter::{Boolean, Duration, Integer, List, Size};
use crate::keywords::keyword::{Keyword, table};
use crate::keywords::reasons::NO_DNS;

pub(super) const LISTENER: &[Keyword] = table! {
    "addr".or("").at():
        "address that the daemon listens at; empty, all";
    "port".to(Integer).or("1214").at():
        "port that the daemon listens at";
    "tls_addr".or(""):
        "address of the TLS listener; empty, all";
    "tls_port".to(Integer).or("1215"):
        "port of the TLS listener; 0, there is none";
    "crl".or("{var}/certs/ca_crl"):
        "file of certificates that are revoked; by default the keys crl of the authorities tell";
    "ui".to(Boolean).or("true"):
        "serve the pages of the web interface";
    "dns_sock_uid".or("953").unread(NO_DNS):
        "owner of the socket that a DNS server asks at";
    "dns_sock_gid".or("953").unread(NO_DNS):
        "group of the socket that a DNS server asks at";
    "openid_well_known":
        "where an OpenID provider describes itself, as a URL: its tokens are taken";
    "openid_issuer":
        "the same by the URL of the provider, where openid_well_known is not set";
    "openid_client_id":
        "audience that the tokens of the OpenID provider are to name; unset, the name of the cluster";
    "metrics".or("auth").one_of(&["auth", "open", "off"]):
        "who is told metrics over TLS: users who may look at a namespace, everybody, or nobody";
    "metrics_objects".to(Integer).or("1000"):
        "how many objects have metrics of their own, in the order of their names";
    "allow_secret".to(Boolean).or("false"):
        "let clients over TLS prove by the secret of the cluster that they are root, as deployed agents do";
    "max_frame".to(Size).or("64m"):
        "longest frame that the daemon reads, in bytes";
    "max_message".to(Size).or("256m"):
        "longest message that the daemon reads once it is inflated, in bytes";
    "replay_window".to(Duration).or("30"):
        "how far the clock of who sent a sealed message may be off, in seconds";
    "idle_timeout".to(Duration).or("60"):
        "how long a connection may be silent before it is closed, in seconds";
    "max_connections".to(Integer).or("16384"):
        "how many connections the daemon serves at a time";
    "max_connections_per_address".to(Integer).or("1024"):
        "how many connections from one address the daemon serves at a time";
    "h2".to(Boolean).or("true"):
        "answer HTTP on the socket h2.sock of this node";
    "event_buffer".to(Size).or("512k"):
        "how much of the events is kept for subscribers that come back, in bytes";
    "max_body".to(Size).or("16m"):
        "longest body of an HTTP request, in bytes";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const CLUSTER: &[Keyword] = table! {
    "name".or("default").at():
        "name of the cluster";
    "id".at():
        "identity of the cluster, drawn when it is made";
    "secret".at():
        "secret that the nodes encrypt their messages with, drawn when the cluster is made";
    "secret_generation".to(Integer).or("1"):
        "which of the secrets that the cluster had this one is, as `om cluster rotate secret` counts";
    "secret_next":
        "secret that a rotation hands out before it is used";
    "secret_previous":
        "secret before the last rotation, until all nodes have the one after it";
    "nodes".to(List):
        "names of the nodes of the cluster; unset, this node alone";
    "drpnodes".to(List):
        "names of the nodes of another site, for disasters";
    "dns".to(List).at():
        "addresses of the DNS servers of the cluster, which containers are told of";
    "quorum".to(Boolean):
        "have nodes that are not with more than half of nodes and arbitrators do their split_action";
    "vip".at().unread("this agent does not hold the address of the cluster"):
        "address of the cluster that one of its nodes holds, as address/mask@device";
    "ca".to(List):
        "sec objects of the authorities whose certificates the TLS listener takes; unset, system/sec/ca-{cluster.name}";
    "cert":
        "sec object with the certificate of the TLS listener; unset, system/sec/cert-{cluster.name}";
    "default_mon_format".one_of(&["compact", "matrix"]).at().unread("`om mon` has one form here"):
        "form of `om mon`";
    "envelope".or("sealed").one_of(&["sealed", "any", "classic"]):
        "dialect of messages between nodes: sealed of this agent, classic of deployed ones, any takes both";
    "profile".one_of(&["", "fast"]):
        "defaults of heartbeats and delays: fast for failovers within a second or two on a good network";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const HB: &[Keyword] = table! {
    "type".required().one_of(&["unicast", "multicast", "disk", "relay"]):
        "what carries the heartbeat";
    "nodes".to(List).at():
        "nodes that take part in the heartbeat; unset, all of the cluster";
    "interval".to(Duration).or("5").at():
        "longest time between two messages, in seconds";
    "timeout".to(Duration).or("15").at():
        "silence after which a peer is stale, in seconds";
    "comment".or("").describes():
        "note for who reads the configuration";
};

pub(super) const HB_UNICAST: &[Keyword] = table! {
    "addr".at():
        "address that the node listens at and is reached at; unset, what its name resolves to";
    "intf".at():
        "network link that the messages go over";
    "port".to(Integer).or("10000").at():
        "port that the node listens at and is reached at";
};

pub(super) const HB_MULTICAST: &[Keyword] = table! {
    "addr".or("224.3.29.71").at():
        "multicast address that the messages go to";
    "intf".at():
        "network link that the messages go over";
    "port".to(Integer).or("10000").at():
        "port that the messages go to";
};

pub(super) const HB_DISK: &[Keyword] = table! {
    "dev".required().at():
        "shared disk whose blocks the nodes write to and read from, by a name that a boot does not change";
};

pub(super) const HB_RELAY: &[Keyword] = table! {
    "relay".required():
        "host that passes the messages on, as host or host:port, where an agent runs";
    "secret".required():
        "cluster secret of the relay";
    // Unset, cluster.envelope.
    "envelope".one_of(&["sealed", "any", "classic"]):
        "dialect of messages to the relay; unset, that of the cluster";
};

pub(super) const ARBITRATOR: &[Keyword] = table! {
    "name".required():
        "host that votes in a split, as host or host:port, where an agent of another cluster runs";
    "secret".required():
        "cluster secret of the arbitrator";
    "timeout".to(Duration).or("5").at():
        "how long the arbitrator may take to answer, in seconds";
    // Unset, cluster.envelope.
    "envelope".one_of(&["sealed", "any", "classic"]):
        "dialect of messages to the arbitrator; unset, that of the cluster";
    "comment".or("").describes():
        "note for who reads the configuration";
};
