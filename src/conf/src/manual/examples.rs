//! A value of each keyword that is done, as one would set it.

use crate::convert::Converter;
use crate::keywords::keyword::Keyword;

/// A value that is not the usual one; none where only the daemon writes it.
pub(super) fn value(group: &str, keyword: &Keyword) -> Option<&'static str> {
    let name = keyword.name;
    if let Some(value) = listed(group, name) {
        return Some(value).filter(|value| !value.is_empty());
    }
    let is_unusual = |value: &&&str| !value.is_empty() && Some(**value) != keyword.usual();
    if let Some(value) = keyword.candidates.iter().find(is_unusual) {
        return Some(value);
    }
    let is_trigger = ["pre_", "post_", "blocking_"].iter().any(|start| name.starts_with(start));
    if is_trigger {
        return Some("/usr/local/bin/notify");
    }
    if name.ends_with("_requires") {
        return Some("fs#1(up)");
    }
    Some(match keyword.converter {
        Converter::Boolean | Converter::Tristate if keyword.usual() == Some("true") => "false",
        Converter::Boolean | Converter::Tristate => "true",
        Converter::Integer => "3",
        Converter::Size => "2g",
        Converter::Speed => "20m",
        Converter::Duration | Converter::DurationMinutes | Converter::DurationDays => "30s",
        _ => return None,
    })
}

/// Whether nobody sets it by hand.
#[cfg(test)]
pub(super) fn is_left_to_the_daemon(group: &str, name: &str) -> bool {
    listed(group, name) == Some("")
}

fn listed(group: &str, name: &str) -> Option<&'static str> {
    let is_meant = |(groups, known, _): &&(&[&str], &str, &str)| {
        *known == name && (groups.is_empty() || groups.contains(&group))
    };
    VALUES.iter().find(is_meant).map(|(_, _, value)| *value)
}

/// Groups (all when empty), keyword, value; an empty one where nobody sets it by hand.
const VALUES: &[(&[&str], &str, &str)] = &[
    // of the object
    (&[], "id", ""),
    (&["DEFAULT"], "nodes", "n1 n2"),
    (&["hb"], "nodes", "n1 n2"),
    (&["volume"], "nodes", "n1 n2"),
    (&["cluster"], "nodes", "n1 n2 n3"),
    (&[], "drpnodes", "dr1 dr2"),
    (&[], "drpnode", "dr1"),
    (&[], "encapnodes", "guest1"),
    (&[], "flex_primary", "n1"),
    (&[], "drp_flex_primary", "dr1"),
    (&[], "flex_min", "2"),
    (&[], "priority", "10"),
    (&[], "constraints", "$(\"{nodename}\" != \"n3\")"),
    (&[], "hard_affinity", "db"),
    (&[], "hard_anti_affinity", "web2"),
    (&[], "soft_affinity", "db"),
    (&[], "soft_anti_affinity", "web2"),
    (&[], "parents", "db"),
    (&[], "children", "batch"),
    (&[], "slaves", "web1 web2"),
    (&[], "scaler_slave", ""),
    (&[], "app", "shop"),
    (&["DEFAULT"], "env", "PRD"),
    (&["node"], "env", "PRD"),
    (&["DEFAULT"], "pool", ""),
    (&["DEFAULT"], "size", ""),
    (&["DEFAULT"], "access", ""),
    (&[], "mode", ""),
    (&[], "monitor_schedule", "@1"),
    (&["pool"], "status_schedule", "@5"),
    (&[], "status_schedule", "@5"),
    (&[], "sync_schedule", "@60"),
    (&[], "run_schedule", "02:00-04:00"),
    (&["sync"], "schedule", "@60"),
    (&["task"], "schedule", "02:00-04:00"),
    (&[], "sync_max_delay", "2h"),
    (&[], "docker_exe", "/usr/bin/docker"),
    (&[], "registry_creds", "registry"),
    (&[], "comment", "asked for by the shop team"),
    (&["DEFAULT"], "cn", "alice"),
    (&["DEFAULT"], "c", "FR"),
    (&["DEFAULT"], "st", "Picardie"),
    (&["DEFAULT"], "l", "Gouvieux"),
    (&["DEFAULT"], "o", "example"),
    (&["DEFAULT"], "ou", "operations"),
    (&["DEFAULT"], "email", "alice@example.org"),
    (&["DEFAULT"], "alt_names", "n1.example.org 10.0.0.1"),
    (&["DEFAULT"], "validity", "90d"),
    (&["DEFAULT"], "ca", "system/sec/ca-prod"),
    (&["DEFAULT"], "grant", "guest:* operator:test"),
    (&["cluster"], "ca", "system/sec/ca-prod"),
    (&["cluster"], "cert", "system/sec/cert-prod"),
    // of resources
    (&["app"], "type", "simple"),
    (&["container"], "type", "docker"),
    (&["disk"], "type", "loop"),
    (&["fs"], "type", "xfs"),
    (&["ip"], "type", "host"),
    (&["share"], "type", "nfs"),
    (&["sync"], "type", "rsync"),
    (&["task"], "type", "host"),
    (&["volume"], "type", "directory"),
    (&["certificate"], "type", "tls"),
    (&["expose", "hashpolicy", "route", "vhost"], "type", "envoy"),
    (&[], "always_on", "drpnodes"),
    (&[], "subset", "first"),
    (&[], "tags", "noaction"),
    (&[], "pg_cpus", "0-2"),
    (&[], "pg_mems", "0"),
    (&[], "pg_cpu_shares", "512"),
    (&[], "pg_cpu_quota", "50%@all"),
    (&[], "pg_mem_oom_control", "1"),
    (&[], "pg_mem_swappiness", "40"),
    (&[], "pg_blkio_weight", "50"),
    // of programs
    (&[], "script", "/opt/web/launcher"),
    (&["app"], "start", "/opt/web/bin/web --daemon"),
    (&["app"], "stop", "/opt/web/bin/web --stop"),
    (&["app"], "check", "/opt/web/bin/web --check"),
    (&["app"], "info", "/opt/web/bin/web --info"),
    (&[], "retcodes", "0:up 1:down 3:n/a"),
    (&["container"], "user", "1000:1000"),
    (&[], "user", "web"),
    (&[], "group", "web"),
    (&[], "cwd", "/opt/web"),
    (&[], "umask", "022"),
    (&[], "environment", "PORT=8080"),
    (&[], "configs_environment", "PORT=web/port"),
    (&[], "secrets_environment", "PASSWORD=db/password"),
    (&[], "limit_nofile", "65536"),
    (&[], "limit_nproc", "500"),
    (&["container"], "command", "nginx -g \"daemon off;\""),
    (&[], "command", "/opt/web/bin/backup"),
    (&[], "on_error", "/usr/local/bin/alert"),
    (&["container"], "name", "web"),
    (&[], "image", "docker.io/library/nginx:1.27"),
    (&[], "entrypoint", "/bin/sh"),
    (&[], "run_args", "--memory 512m"),
    (&["container"], "netns", "host"),
    (&["ip"], "netns", "container#1"),
    (&[], "ipcns", "host"),
    (&[], "pidns", "host"),
    (&[], "utsns", "host"),
    (&[], "userns", "host"),
    (&[], "hostname", "web"),
    (&[], "volume_mounts", "/srv/web:/data:ro"),
    (&[], "devices", "/dev/fuse"),
    // of data
    (&["fs"], "path", "/srv/web"),
    (&["pool"], "path", "/srv/pool"),
    (&[], "perm", "0750"),
    (&[], "dirperm", "0750"),
    (&["fs"], "dev", "/dev/vg1/web"),
    (&[], "mnt", "/srv/web"),
    (&[], "mnt_opt", "noatime"),
    (&[], "mkfs_opt", "-L web"),
    (&[], "file", "/srv/web.img"),
    (&["volume"], "name", "data"),
    (&["volume"], "pool", "default"),
    (&[], "configs", "web/nginx.conf:/conf/"),
    (&[], "secrets", "web/key.pem:/tls/"),
    (&[], "directories", "uploads cache"),
    (&[], "src", "/srv/web/"),
    (&[], "dst", "/srv/web"),
    (&[], "target", "nodes drpnodes"),
    (&["sync"], "options", "--exclude cache"),
    (&[], "dstfs", "/srv"),
    (&["pool"], "type", "loop"),
    (&["pool"], "name", "/srv/pool"),
    (&[], "fs_type", "ext4"),
    // of addresses
    (&[], "ipname", "192.0.2.10"),
    (&[], "ipdev", "eth0"),
    (&[], "netmask", "24"),
    (&[], "gateway", "192.0.2.1"),
    (&[], "nsdev", "eth1"),
    (&[], "macaddr", "02:00:00:00:00:0a"),
    (&[], "vlan_tag", "10"),
    (&[], "vlan_mode", "access"),
    // of the node
    (&[], "min_avail_mem", "5%"),
    (&[], "min_avail_swap", "5%"),
    (&[], "split_action", "reboot"),
    (&[], "loglevel", "debug"),
    (&[], "allowed_networks", "10.0.0.0/8"),
    (&[], "dbopensvc", "https://collector.example.com"),
    (&[], "uuid", ""),
    (&[], "ruser", "opensvc"),
    (&[], "oci", "docker"),
    (&[], "mem_bytes", "64g"),
    (&["listener"], "addr", "192.0.2.1"),
    (&["listener"], "port", "1314"),
    (&[], "max_connections", "4096"),
    (&[], "max_connections_per_address", "256"),
    (&["listener"], "h2", "false"),
    (&["listener"], "tls_addr", "192.0.2.1"),
    (&[], "tls_port", "1315"),
    (&[], "crl", "/etc/ssl/revoked.pem"),
    (&[], "openid_well_known", "https://idp.example.com/.well-known/openid-configuration"),
    (&[], "openid_issuer", "https://idp.example.com"),
    (&[], "openid_client_id", "shop"),
    (&[], "allow_secret", "true"),
    (&["listener"], "metrics", "open"),
    (&[], "metrics_objects", "5000"),
    (&["node"], "secure_fetch", "false"),
    (&[], "max_body", "64m"),
    (&[], "event_buffer", "4m"),
    // of the cluster
    (&["cluster"], "name", "shop"),
    (&["cluster"], "secret", ""),
    (&[], "secret_generation", ""),
    (&[], "secret_next", ""),
    (&[], "secret_previous", ""),
    (&[], "dns", "192.0.2.53"),
    (&["cluster", "hb", "arbitrator"], "envelope", "any"),
    (&["hb"], "type", "unicast"),
    (&["hb"], "addr", "192.0.2.1"),
    (&["hb"], "intf", "eth1"),
    (&["hb"], "port", "10001"),
    (&["hb"], "dev", "/dev/disk/by-id/scsi-3600a0b80"),
    (&[], "relay", "relay.example.com"),
    (&["hb", "arbitrator"], "secret", "SECRET"),
    (&["arbitrator"], "name", "arbitrator.example.com"),
];
