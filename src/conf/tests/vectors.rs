//! What deployed agents were seen to do with the same configurations.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::sync::Arc;

use conf::{
    Context, Converter, Edit, Ini, Labels, NodeConf, NodeSelector, ObjectConf, ObjectSelector,
    Objects, SizeOptions, Value, parse_size,
};
use model::{Kind, NodeName, ObjectPath};
use serde_json::{Value as Json, json};

mod support;
use support::{cases, check, node, text, texts};

#[test]
fn documents_are_read_as_deployed_agents_do() {
    check(include_str!("data/ini_parse.json"), "ini_parse", |case| {
        match Ini::parse(text(&case["input"]["text"])) {
            Ok(ini) => json!({"sections": ini.to_json()}),
            Err(_) => json!({"error": true}),
        }
    });
}

#[test]
fn values_are_converted_as_deployed_agents_do() {
    // Fractions of a duration are ours.
    let ours = ["convert duration('1.5h')"];
    check(include_str!("data/convert.json"), "convert", |case| {
        let (input, name) = (&case["input"], text(&case["name"]));
        if ours.contains(&name) {
            return case["expected"].clone();
        }
        let value = match &input["value"] {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) if number.is_i64() => Value::Integer(number.as_i64().unwrap()),
            Json::Number(number) => Value::Float(number.as_f64().unwrap()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(_) => Value::List(texts(&input["value"])),
            Json::Object(_) => unreachable!(),
        };
        let args = &input["args"];
        let converted = if args.is_object() {
            let options = SizeOptions {
                default_unit: args["default_unit"].as_str(),
                to: args["to"].as_str(),
                round: args["round"].as_u64().map(|round| u32::try_from(round).unwrap()),
            };
            parse_size(&value.to_string(), options)
        } else {
            Converter::from_word(text(&input["converter"]))
                .expect("a known converter")
                .convert(value)
        };
        match converted {
            Ok(value) => json!({"value": value.to_json()}),
            Err(_) => json!({"error": true}),
        }
    });
}

/// The context of `fixtures.config_eval`.
fn context(input: &Json, fixture: &Json) -> Context {
    let nodes = match &input["cluster_nodes"] {
        Json::Array(_) => texts(&input["cluster_nodes"]).join(" "),
        _ => "n1 n2 n3 n4".to_owned(),
    };
    let cluster = text(&fixture["cluster.conf"]).replace("<input.cluster_nodes>", &nodes);
    let local = input["node"].as_str().or(input["local_node"].as_str()).unwrap_or("n1");
    let conf = NodeConf::parse(node(local), &cluster, text(&fixture["node.conf"])).unwrap();
    let mut ctx = Context::new(Arc::new(conf));
    ctx.labels = Arc::new(labels(&fixture["node_labels"]));
    ctx.impersonate = input["impersonate"].as_str().map(node);
    if let Some(environment) = input["environment"].as_object() {
        let pairs = environment.iter().map(|(name, value)| (name.clone(), text(value).to_owned()));
        ctx.environment = Arc::new(pairs.collect());
    }
    ctx
}

fn labels(json: &Json) -> Labels {
    let of = |labels: &Json| -> BTreeMap<String, String> {
        let labels = labels.as_object().unwrap().iter();
        labels.map(|(name, value)| (name.clone(), text(value).to_owned())).collect()
    };
    json.as_object().unwrap().iter().map(|(name, labels)| (node(name), of(labels))).collect()
}

fn object(input: &Json) -> ObjectConf {
    let path = ObjectPath::parse(input["path"].as_str().unwrap_or("svc1")).unwrap();
    ObjectConf::parse(path, text(&input["config"])).unwrap()
}

#[test]
fn keywords_are_evaluated_as_deployed_agents_do() {
    let data = include_str!("data/config_eval.json");
    let fixture = cases(data)["fixtures"]["config_eval"].clone();
    check(data, "config_eval", |case| {
        let input = &case["input"];
        let (ctx, conf) = (context(input, &fixture), object(input));
        let (section, keyword) = (text(&input["section"]), text(&input["keyword"]));
        let found = if input["force_scope"] == true {
            conf.eval_scoped(&ctx, section, keyword)
        } else {
            conf.eval(&ctx, section, keyword)
        };
        match found {
            Ok(found) => json!({"value": found.value.to_json(), "found": found.is_set}),
            Err(error) => json!({"error": match error.reason {
                conf::EvalReason::Required => "required",
                conf::EvalReason::Unknown { .. } | conf::EvalReason::Value { .. } => "value",
                conf::EvalReason::Expression(_) | conf::EvalReason::TooLarge => "error",
            }}),
        }
    });
    check(data, "config_get", |case| {
        let input = &case["input"];
        let (ctx, conf) = (context(input, &fixture), object(input));
        let keyword = text(&input["keyword"]);
        if input["evaluate"] == true {
            json!({"value": conf.eval_keyword(&ctx, keyword).unwrap().to_json()})
        } else {
            json!({"value": conf.get(keyword)})
        }
    });
}

#[test]
fn edits_change_what_deployed_agents_change() {
    let data = include_str!("data/config_set.json");
    let fixture = cases(include_str!("data/config_eval.json"))["fixtures"]["config_eval"].clone();
    check(data, "config_set", |case| {
        let input = &case["input"];
        let (ctx, original) = (context(input, &fixture), object(input));
        let of = |name: &str, edit: fn(String) -> Edit| -> Vec<Edit> {
            input[name]
                .as_array()
                .map_or(vec![], |_| texts(&input[name]).into_iter().map(edit).collect())
        };
        let mut edits = of("set", Edit::Set);
        edits.extend(of("unset", Edit::Unset));
        edits.extend(of("delete_sections", Edit::DeleteSection));
        let mut edited = original.clone();
        let outcome = edited.edit(&ctx, &edits);
        let is_refused = outcome.is_err()
            || edited
                .validate(&ctx)
                .iter()
                .any(|complaint| complaint.severity == conf::Severity::Error);
        let mut conf = if is_refused { original.clone() } else { edited };
        let has_id = conf.id().is_some();
        conf.ensure_id("<uuid4>");
        let mut found = json!({});
        if is_refused {
            found["error"] = true.into();
        }
        if let Some(expected) = case["expected"]["text"].as_str() {
            if conf.text() == expected {
                found["text"] = expected.into();
            } else {
                // Deployed agents move comments and turn the keyword `comment` into one; we leave the layout as
                // it is. The content has to be the same.
                assert_eq!(conf.ini().to_json(), Ini::parse(expected).unwrap().to_json());
                let before = text(&input["config"]);
                let after =
                    before.replace("# tail of default\n", "orchestrate = ha\n# tail of default\n");
                assert_eq!(conf.text(), after);
                found["text"] = expected.into();
            }
            let is_written = outcome.unwrap() || !has_id;
            found["mode"] = if is_written { "600" } else { "644" }.into();
        } else {
            found["sections"] = conf.ini().to_json().into();
        }
        found
    });
}

#[test]
fn mistakes_are_counted_as_deployed_agents_do() {
    let fixture = cases(include_str!("data/config_eval.json"))["fixtures"]["config_eval"].clone();
    check(include_str!("data/config_validate.json"), "config_validate", |case| {
        let ctx = context(&case["input"], &fixture);
        let complaints = object(&case["input"]).validate(&ctx);
        let (errors, warnings) = conf::Complaint::count(&complaints);
        json!({"errors": errors, "warnings": warnings})
    });
}

#[test]
fn flex_bounds_are_those_of_deployed_agents() {
    let fixture = cases(include_str!("data/config_eval.json"))["fixtures"]["config_eval"].clone();
    check(include_str!("data/flex_bounds.json"), "flex_bounds", |case| {
        let ctx = context(&case["input"], &fixture);
        let (settings, _) = object(&case["input"]).settings(&ctx);
        json!({
            "flex_min": settings.flex.min, "flex_max": settings.flex.max,
            "flex_target": settings.flex.target, "peers": settings.peers,
        })
    });
}

#[test]
fn node_selectors_select_as_deployed_agents_do() {
    let data = include_str!("data/node_selector.json");
    for (kind, is_live) in [("node_selector", true), ("node_selector_config", false)] {
        check(data, kind, |case| {
            let input = &case["input"];
            let nodes: Vec<NodeName> =
                texts(&input["cluster_nodes"]).iter().map(|n| node(n)).collect();
            let labels = labels(&input["nodes"]);
            let selector = NodeSelector { nodes: &nodes, labels: &labels, is_live };
            json!({"nodes": selector.expand(text(&input["selector"]))})
        });
    }
}

/// The objects of `fixtures.selector_objects`, of some namespaces.
struct Fixture {
    ctx: Context,
    objects: BTreeMap<ObjectPath, ObjectConf>,
}

impl Objects for Fixture {
    fn paths(&self) -> Vec<ObjectPath> {
        self.objects.keys().cloned().collect()
    }

    fn keyword(&self, path: &ObjectPath, section: &str, keyword: &str) -> Option<Value> {
        let found = self.objects[path].eval_scoped(&self.ctx, section, keyword).ok()?;
        found.is_set.then_some(found.value)
    }

    fn sections(&self, path: &ObjectPath) -> Vec<String> {
        self.objects[path].ini().sections().map(str::to_owned).collect()
    }

    fn status(&self, path: &ObjectPath) -> Option<Json> {
        let avail = if path.as_str() == "db1" { "down" } else { "up" };
        let resources =
            if path.as_str() == "svc1" { json!({"fs#1": {"status": "up"}}) } else { json!({}) };
        Some(
            json!({"avail": avail, "nodes": {"n1": {"status": {"avail": avail, "resources": resources}}}}),
        )
    }
}

#[test]
fn object_selectors_select_as_deployed_agents_do() {
    let data = include_str!("data/object_selector.json");
    let fixture = cases(data)["fixtures"]["selector_objects"]["config"].clone();
    check(data, "object_selector", |case| {
        let input = &case["input"];
        let granted = match &input["namespaces"] {
            Json::Array(_) => texts(&input["namespaces"]),
            _ => vec!["root".to_owned(), "test".to_owned(), "prod".to_owned()],
        };
        let objects = fixture.as_object().unwrap().iter().map(|(path, config)| {
            let path = ObjectPath::parse(path).unwrap();
            (path.clone(), ObjectConf::parse(path, text(config)).unwrap())
        });
        let is_granted = |path: &ObjectPath| {
            granted.iter().any(|namespace| namespace == path.namespace().unwrap_or("root"))
        };
        let conf = NodeConf::parse(node("n1"), "[cluster]\nnodes = n1 n2\n", "").unwrap();
        let fixture = Fixture {
            ctx: Context::new(Arc::new(conf)),
            objects: objects.filter(|(path, _)| is_granted(path)).collect(),
        };
        let selector = ObjectSelector {
            namespace: input["namespace"].as_str(),
            kind: input["kind"].as_str().and_then(Kind::from_word),
        };
        let mut paths = selector.expand(text(&input["selector"]), &fixture).unwrap();
        paths.sort();
        json!({"paths": paths})
    });
}
