//! Which role a request needs.

use std::collections::BTreeSet;

use model::{Kind, ObjectPath};
use wire::{Action, Request, SetObjectMonitor};

use crate::grants::{ClusterRole, Grants, ROOT_NAMESPACE, Role};
use crate::user::User;

/// What a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Open,
    /// A role of the cluster.
    Cluster(ClusterRole),
    /// A role on any namespace that there is.
    Anywhere(Role),
    /// A role on this namespace.
    On(Role, String),
}

impl Need {
    const ROOT: Self = Self::Cluster(ClusterRole::Root);

    /// The role, as errors name it.
    #[must_use]
    pub fn role(&self) -> &'static str {
        match self {
            Self::Open => "",
            Self::Cluster(role) => role.as_str(),
            Self::Anywhere(role) | Self::On(role, _) => role.as_str(),
        }
    }

    /// Whether grants suffice, where these namespaces are.
    #[must_use]
    pub fn is_met(&self, grants: &Grants, namespaces: &BTreeSet<String>) -> bool {
        match self {
            Self::Open => true,
            Self::Cluster(role) => grants.has(*role),
            Self::Anywhere(role) => grants.anywhere(*role, namespaces.iter().map(String::as_str)),
            Self::On(role, namespace) => grants.on(*role, namespace),
        }
    }
}

/// Object actions by the role that they need; any other needs root.
const ACTIONS: [(Role, &[&str]); 3] = [
    (Role::Guest, &["eval", "get", "keys", "print_config_mtime"]),
    (
        Role::Operator,
        &[
            "clear",
            "disable",
            "enable",
            "freeze",
            "push_status",
            "push_resinfo",
            "push_config",
            "push_encap_config",
            "presync",
            "prstatus",
            "resource_monitor",
            "restart",
            "resync",
            "run",
            "scale",
            "snooze",
            "start",
            "startstandby",
            "status",
            "stop",
            "stopstandby",
            "thaw",
            "unsnooze",
        ],
    ),
    (
        Role::Admin,
        &[
            "add",
            "boot",
            "decode",
            "delete",
            "gen_cert",
            "install",
            "pg_kill",
            "pg_freeze",
            "pg_thaw",
            "provision",
            "set_provisioned",
            "set_unprovisioned",
            "set",
            "shutdown",
            "unprovision",
            "unset",
        ],
    ),
];

/// Targets that an operator may set.
const TARGETS: [&str; 7] =
    ["thawed", "frozen", "started", "stopped", "aborted", "placed", "shutdown"];

/// The namespace of an object, and what is needed where it is none, or one of the cluster itself.
fn on(role: Role, path: &str) -> Need {
    match ObjectPath::parse(path) {
        // What the cluster is made of, its secret for one.
        Ok(path) if path.kind() == Kind::Ccfg => Need::ROOT,
        Ok(path) => Need::On(role, path.namespace().unwrap_or(ROOT_NAMESPACE).to_owned()),
        Err(_) => Need::ROOT,
    }
}

/// An object action in one word, as it is run: `print_status` and `print status` are the same.
#[must_use]
pub fn action_word(action: &str) -> String {
    let words = action.split(|c: char| c == '_' || c.is_whitespace());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_")
}

fn object_action(path: &str, action: Option<&str>, has_command: bool) -> Need {
    if has_command {
        return Need::ROOT;
    }
    let word = action_word(action.unwrap_or_default());
    let found = ACTIONS.iter().find(|(_, words)| words.contains(&word.as_str()));
    found.map_or(Need::ROOT, |(role, _)| on(*role, path))
}

fn object_monitor(options: &SetObjectMonitor) -> Need {
    let SetObjectMonitor { path, local_expect, global_expect, status, reset_retries, stonith } =
        options;
    let has_more = local_expect.is_some() || status.is_some() || stonith.is_some();
    let is_target = |target: &str| {
        TARGETS.contains(&target) || target.strip_prefix("placed@").is_some_and(|to| !to.is_empty())
    };
    let role = match global_expect.as_deref() {
        _ if has_more => Role::Admin,
        Some(target) if is_target(target) && !reset_retries => Role::Operator,
        None if *reset_retries => Role::Operator,
        _ => Role::Admin,
    };
    on(role, path)
}

/// What an action needs. Of those who create objects each namespace counts.
#[must_use]
pub fn needs(action: &Action) -> Vec<Need> {
    let need = match action {
        Action::ObjectAction(options) => {
            let has_command = !options.cmd.is_empty() || !options.command.is_empty();
            object_action(&options.path, options.action.as_deref(), has_command)
        }
        Action::SetObjectMonitor(options) => object_monitor(options),
        Action::GetKey(options) => match ObjectPath::parse(&options.path) {
            Ok(path) if path.kind() == Kind::Cfg => on(Role::Guest, &options.path),
            _ => on(Role::Admin, &options.path),
        },
        Action::WakeMonitor(options) => match &options.path {
            Some(path) => on(Role::Operator, path),
            None => Need::Anywhere(Role::Operator),
        },
        // They name objects whatever their namespace, as the log of the node does.
        Action::NodeHistory(_) | Action::ClusterWhatIf(_) => Need::ROOT,
        Action::ObjectCreate(options) => return created(options),
        action => by_row(action),
    };
    vec![need]
}

/// The namespaces of what is to be created.
fn created(options: &wire::ObjectCreate) -> Vec<Need> {
    let namespace = options.namespace.as_deref();
    // A template may be any file of the node, and what it says is seen by nobody before it is there.
    if options.template.is_some() {
        return vec![Need::ROOT];
    }
    if options.data.is_empty() {
        let namespace = namespace.unwrap_or(ROOT_NAMESPACE);
        return vec![Need::On(Role::Admin, namespace.to_owned())];
    }
    let path = |key: &String| match namespace {
        Some(_) if !options.restore => model::resolve_path(key, namespace),
        _ => key.clone(),
    };
    options.data.keys().map(|key| on(Role::Admin, &path(key))).collect()
}

/// What the row of a request says, on the namespace of its object if it has one.
fn by_row(action: &Action) -> Need {
    let route = action.route();
    let role = match route.role {
        "" => return Need::Open,
        "guest" => Role::Guest,
        "operator" => Role::Operator,
        "admin" => Role::Admin,
        "blacklistadmin" => return Need::Cluster(ClusterRole::BlacklistAdmin),
        "heartbeat" => return Need::Cluster(ClusterRole::Heartbeat),
        _ => return Need::ROOT,
    };
    let has_path = route.options.iter().any(|option| option.name == "path");
    if !has_path {
        return Need::Anywhere(role);
    }
    let options = action.to_options();
    match options.get("path").and_then(|path| path.as_str()) {
        Some(path) => on(role, path),
        None => Need::ROOT,
    }
}

/// Whether a user may make a request, where these namespaces are.
///
/// # Errors
///
/// What is answered with 403.
pub fn check(user: &User, request: &Request, namespaces: &BTreeSet<String>) -> Result<(), String> {
    if user.grants.is_root() {
        return Ok(());
    }
    let is_met = |need: &Need| {
        // A new namespace is that of who may make one; what is created in it is looked at later.
        let is_new = matches!(need, Need::On(_, namespace) if !namespaces.contains(namespace))
            && matches!(request.action, Action::ObjectCreate(_))
            && user.grants.has(ClusterRole::Squatter);
        is_new || need.is_met(&user.grants, namespaces)
    };
    match needs(&request.action).iter().find(|need| !is_met(need)) {
        None => Ok(()),
        Some(need) => Err(format!(
            "Forbidden: handler '{}' requested by user '{}' with grants '{}' requires role '{}'",
            request.name,
            user.name,
            user.grants.shown(namespaces),
            need.role(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn need(name: &str, method: &str, options: serde_json::Value) -> Need {
        let message = json!({"action": name, "method": method, "options": options});
        needs(&Request::from_value(message).unwrap().action).remove(0)
    }

    fn role(name: &str, method: &str, options: serde_json::Value) -> &'static str {
        need(name, method, options).role()
    }

    #[test]
    fn what_an_operator_may_target_is_a_closed_list() {
        let monitor = |options: serde_json::Value| {
            let mut options = options;
            options["path"] = "test/svc/web".into();
            role("object_monitor", "POST", options)
        };
        for target in
            ["thawed", "frozen", "started", "stopped", "aborted", "placed", "placed@n1", "shutdown"]
        {
            assert_eq!(monitor(json!({"global_expect": target})), "operator", "{target}");
        }
        assert_eq!(monitor(json!({"reset_retries": true})), "operator");
        for options in [
            json!({}),
            json!({"global_expect": "restarted"}),
            json!({"global_expect": "purged"}),
            json!({"global_expect": "placed@"}),
            json!({"global_expect": "frozen", "local_expect": "unset"}),
            json!({"global_expect": "frozen", "reset_retries": true}),
            json!({"global_expect": "frozen", "status": "idle"}),
            json!({"global_expect": "frozen", "stonith": "n1"}),
        ] {
            assert_eq!(monitor(options.clone()), "admin", "{options}");
        }
    }

    #[test]
    fn an_action_is_judged_as_it_is_run() {
        let action = |action: &str| {
            role("object_action", "POST", json!({"path": "test/svc/web", "action": action}))
        };
        assert_eq!(action("print_config_mtime"), "guest");
        assert_eq!(action("start"), "operator");
        for word in ["set", " set ", "_set", "set_", "se\u{a0}t"] {
            assert_ne!(action(word), "guest", "{word}");
            assert_ne!(action(word), "operator", "{word}");
        }
        assert_eq!(action("sync_all"), "root");
        assert_eq!(action("print_status"), "root");
        let command = json!({"path": "test/svc/web", "action": "start", "cmd": ["start"]});
        assert_eq!(role("object_action", "POST", command), "root");
    }

    #[test]
    fn the_cluster_itself_is_of_root_alone() {
        for (name, method) in [
            ("object_config", "GET"),
            ("object_keys", "GET"),
            ("object_status", "GET"),
            ("object_clear", "POST"),
        ] {
            assert_eq!(role(name, method, json!({"path": "cluster"})), "root", "{name}");
        }
        let get =
            json!({"path": "cluster", "action": "get", "options": {"kw": ["cluster.secret"]}});
        assert_eq!(role("object_action", "POST", get), "root");
        assert_eq!(role("object_status", "GET", json!({"path": "../etc"})), "root");
    }

    #[test]
    fn keys_of_a_cfg_are_read_by_guests_and_those_of_secrets_by_admins() {
        let get = |path: &str| need("key", "GET", json!({"path": path, "key": "k"}));
        assert_eq!(get("test/cfg/c1"), Need::On(Role::Guest, "test".into()));
        assert_eq!(get("test/sec/s1"), Need::On(Role::Admin, "test".into()));
        assert_eq!(get("usr/u1"), Need::On(Role::Admin, "root".into()));
    }

    #[test]
    fn a_refusal_names_the_user_its_grants_and_the_role() {
        let (grants, _) = Grants::parse("admin:test squatter");
        let user = User { name: "adtest".into(), grants, ..User::nobody() };
        let namespaces: BTreeSet<String> = ["prod", "root", "test"].map(str::to_owned).into();
        let create = |path: &str| {
            let data = json!({path: {}});
            let message =
                json!({"action": "object_create", "method": "POST", "options": {"data": data}});
            check(&user, &Request::from_value(message).unwrap(), &namespaces)
        };
        assert_eq!(create("test/cfg/c1"), Ok(()));
        assert_eq!(create("new/cfg/c1"), Ok(()));
        assert_eq!(
            create("prod/cfg/cc"),
            Err("Forbidden: handler 'object_create' requested by user 'adtest' with grants \
                 'admin:test operator:test guest:test squatter' requires role 'admin'"
                .into())
        );
    }
}
