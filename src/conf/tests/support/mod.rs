//! Running recorded cases.

use model::NodeName;
use serde_json::Value;

pub(crate) fn cases(data: &str) -> Value {
    serde_json::from_str(data).unwrap()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

pub(crate) fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| text(item).to_owned()).collect()
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

/// Runs all cases of a kind, then tells which differ.
pub(crate) fn check(data: &str, kind: &str, run: impl Fn(&Value) -> Value) {
    let data = cases(data);
    let mut failures = vec![];
    let mut count = 0;
    for case in data["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == kind) {
        count += 1;
        let found = run(case);
        if found != case["expected"] {
            failures.push(format!(
                "{}\n  input    {}\n  expected {}\n  found    {found}",
                case["name"], case["input"], case["expected"]
            ));
        }
    }
    assert!(count > 0, "no case of kind {kind}");
    assert!(failures.is_empty(), "{} of {count} differ:\n{}", failures.len(), failures.join("\n"));
}
