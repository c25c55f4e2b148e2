//! The options of an action that a user without root asks for: a closed list, by one name each.

use mail::requests::Refused;
use serde_json::Value;
use wire::Options;

/// What may be given. What names files, programs, variables, nodes or other objects is not among them.
const ALLOWED: [&str; 36] = [
    "add",
    "color",
    "confirm",
    "debug",
    "disable-rollback",
    "downto",
    "dry-run",
    "eval",
    "filter",
    "force",
    "format",
    "hide-disabled",
    "impersonate",
    "index",
    "key",
    "kw",
    "leader",
    "match",
    "parallel",
    "param",
    "purge-collector",
    "reason",
    "refresh",
    "remove",
    "rid",
    "show-disabled",
    "subsets",
    "tags",
    "time",
    "to",
    "unprovision",
    "unset",
    "upto",
    "value",
    "verbose",
    "wait",
];

/// The options under their long names; keywords as a list of trimmed texts. What is not given, as clients send all they know,
/// and what the command line does not know, which is of no effect, is left out.
pub(super) fn named(options: &Options) -> Result<Options, Refused> {
    let mut named = Options::new();
    for (written, value) in options {
        let Some(name) = cli::option_name(written).filter(|_| !is_not_given(value)) else {
            continue;
        };
        if !ALLOWED.contains(&name) {
            let text = format!("Forbidden: option {written} requires the root role");
            return Err(Refused::new(403, text));
        }
        let value = if matches!(name, "kw" | "unset") { texts(value) } else { value.clone() };
        if named.insert(name.to_owned(), value).is_some() {
            return Err(Refused::new(400, format!("option {name} is given twice")));
        }
    }
    Ok(named)
}

fn is_not_given(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty() || text == "auto" || text == "-1",
        Value::Array(values) => values.is_empty(),
        Value::Object(_) => true,
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn texts(value: &Value) -> Value {
    let trimmed = |value: &Value| conf::Ini::text_of(value).map(|text| text.trim().into());
    match value {
        Value::Array(values) => values.iter().filter_map(trimmed).collect::<Vec<Value>>().into(),
        value => trimmed(value).into_iter().collect::<Vec<Value>>().into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(options: Value) -> Result<Value, u16> {
        let Value::Object(options) = options else { panic!("options") };
        named(&options).map(Value::Object).map_err(|refused| refused.status)
    }

    #[test]
    fn an_option_has_one_name() {
        let plain = json!({"rid": "app#1", "kw": ["a=1"], "force": true});
        let spelled = json!({"parm_rids": "app#1", "parm-kw": " a=1 ", "force": true, "node": null, "env": [], "cron": false});
        assert_eq!(read(spelled), Ok(plain));
        assert_eq!(read(json!({"rid": "a", "parm_rid": "b"})), Err(400));
    }

    #[test]
    fn what_leads_elsewhere_needs_root() {
        for name in [
            "service",
            "parm_service",
            "selector",
            "svcs",
            "namespace",
            "server",
            "node",
            "env",
            "from",
            "config",
            "template",
            "status",
            "slaves",
            "slave",
            "local",
            "waitlock",
            "parm_env",
            "parm-server",
        ] {
            assert_eq!(read(json!({name: "x"})), Err(403), "{name}");
        }
    }
}
