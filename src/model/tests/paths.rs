//! Paths as deployed agents read, resolve and accept them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use model::{ObjectPath, resolve_path, validate_object_name};
use serde_json::Value;

fn cases(kind: &str) -> Vec<Value> {
    let data: Value = serde_json::from_str(include_str!("data/paths.json")).unwrap();
    let all = data["cases"].as_array().unwrap().iter();
    let cases: Vec<Value> = all.filter(|case| case["kind"] == kind).cloned().collect();
    assert!(!cases.is_empty());
    cases
}

#[test]
fn paths_are_read_as_deployed_agents_do() {
    for case in cases("object_path") {
        let (input, expected) = (&case["input"], &case["expected"]);
        let path = ObjectPath::parse(input["path"].as_str().unwrap());
        if expected["error"] == true {
            assert!(path.is_err(), "{case}");
            continue;
        }
        let path = path.unwrap();
        let cluster = input["cluster"].as_str().unwrap();
        let found = serde_json::json!({
            "name": path.name(), "namespace": path.namespace(), "kind": path.kind(), "path": path,
            "config_file": path.config_file(), "var_dir": path.var_dir(), "fullname": path.fullname(cluster),
        });
        assert_eq!(found, *expected, "{case}");
    }
}

#[test]
fn relative_paths_are_resolved_as_deployed_agents_do() {
    for case in cases("resolve_path") {
        let input = &case["input"];
        let found = resolve_path(input["path"].as_str().unwrap(), input["namespace"].as_str());
        assert_eq!(found, case["expected"]["path"], "{case}");
    }
}

#[test]
fn new_names_are_accepted_as_deployed_agents_do() {
    for case in cases("validate_path") {
        let is_valid = validate_object_name(case["input"]["path"].as_str().unwrap()).is_ok();
        assert_eq!(is_valid, case["expected"]["valid"].as_bool().unwrap(), "{case}");
    }
}
