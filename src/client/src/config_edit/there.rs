//! `edit config` of what another node has: read there, edited here, written there.
//!
//! The node judges what it is given, as it does for `set`. An object is written whole, if it is still what was read; node.conf and
//! cluster.conf are changed keyword by keyword, as by `set` and `unset`.

use std::cell::RefCell;

use cli::Target;
use cli::render::diff;
use conf::{Edit, Ini, edits_between};
use dataset::config::csum;
use link::link::Link;
use model::ObjectPath;
use serde_json::{Value, json};
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Options, Request};

use crate::config_edit::document::Owner;
use crate::config_edit::editor::{self, Draft, Editing, Home};
use crate::contexts;
use crate::om::{ANSWER, Failure, Om, addressed, nobody, node_spec, say};
use crate::remote;

/// Status of what was changed since it was read.
const CHANGED: i64 = 412;

/// Has the configuration edited that a node has.
pub(crate) fn edit(
    om: &Om,
    link: &Link,
    owner: &Owner,
    target: &Target,
    how: Editing,
) -> Result<(), Failure> {
    let place = match target {
        Target::Nodes(nodes) if !link.is_remote() => nodes.clone(),
        _ => link.server.to_string(),
    };
    let place = place.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let node = RefCell::new(node_spec(target, Some(NodeSpec::Any)));
    let editor = std::env::var("EDITOR").unwrap_or_default();
    editor::edit(&There { om, link, owner, place, node }, how, &editor)
}

/// A file of another node.
struct There<'a> {
    om: &'a Om,
    link: &'a Link,
    owner: &'a Owner,
    /// Where it is, as its draft is named.
    place: String,
    /// Which one: the one that was read from, once one was.
    node: RefCell<Option<NodeSpec>>,
}

impl There<'_> {
    /// The object that is written whole.
    fn whole(&self) -> Option<&ObjectPath> {
        match self.owner {
            Owner::Object(path) if *path != ObjectPath::cluster() => Some(path),
            Owner::Object(_) | Owner::Node => None,
        }
    }

    /// Asks one node, and returns what it answers.
    fn ask(&self, request: Request) -> Result<Value, Failure> {
        let mut reply =
            self.link.ask(&addressed(request, self.node.borrow().clone()), Some(ANSWER))?;
        if let Some(nobody) = nobody(&reply) {
            return Err(nobody);
        }
        let Some(nodes) = reply.get_mut("nodes").and_then(Value::as_object_mut) else {
            return Ok(reply);
        };
        let mut nodes = std::mem::take(nodes).into_iter();
        match (nodes.next(), nodes.next()) {
            (Some((name, reply)), None) => {
                *self.node.borrow_mut() = Some(NodeSpec::Names(vec![name]));
                Ok(reply)
            }
            _ => Err(Failure::usage("one node's configuration is edited: --node names several")),
        }
    }

    fn set(&self, edits: &[Edit], force: bool) -> Result<(), Failure> {
        let (mut set, mut unset) = (vec![], vec![]);
        for edit in edits {
            match edit {
                Edit::Set(text) => set.push(text),
                Edit::Unset(text) => unset.push(text),
                _ => {}
            }
        }
        for (action, words) in [("set", set), ("unset", unset)] {
            if words.is_empty() {
                continue;
            }
            let options = [("kw", json!(words)), ("force", json!(force))];
            let options =
                options.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
            let reply = self.ask(self.action(action, options))?;
            if remote::show_outputs(self.om, &reply)? != 0 {
                return Err(Failure::new(format!("{action} failed there")));
            }
        }
        Ok(())
    }

    fn action(&self, action: &str, options: Options) -> Request {
        let action = Some(action.to_owned());
        match self.owner {
            Owner::Node => {
                Request::new(wire::NodeAction { sync: true, action_mode: true, action, options })
            }
            Owner::Object(path) => Request::new(wire::ObjectAction {
                path: path.to_string(),
                sync: true,
                cmd: vec![],
                command: vec![],
                action,
                options,
            }),
        }
    }
}

impl Home for There<'_> {
    fn draft(&self) -> Result<Draft, Failure> {
        let folder = match self.link.is_remote() {
            false => self.om.paths.tmp.clone(),
            true => contexts::drafts()?,
        };
        Ok(Draft::elsewhere(&folder, &format!("{}_", self.place), self.owner.words()))
    }

    fn read(&self) -> Result<String, Failure> {
        let format = "ini".to_owned();
        let reply = self.ask(match self.owner {
            Owner::Node => Request::new(wire::NodeConfig { format }),
            Owner::Object(path) => Request::new(wire::ObjectConfig {
                path: path.to_string(),
                format,
                evaluate: false,
                impersonate: None,
            }),
        })?;
        let text = reply.get("data").and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| refusal(&reply))
    }

    fn put(
        &self,
        draft: &Draft,
        (before, after): (&str, &str),
        force: bool,
    ) -> Result<(), Failure> {
        let parsed = |text: &str| {
            Ini::parse(text)
                .map_err(|error| Failure::new(format!("{}: {error}", self.owner.words())))
        };
        let changed = parsed(after)?;
        let Some(path) = self.whole() else {
            draft.check_base(&self.read()?)?;
            let edits = edits_between(&parsed(before)?, &changed);
            if edits.is_empty() {
                let text = "only comments and the order of lines changed: they are edited on the node itself";
                return Err(Failure::new(text));
            }
            say(&diff(before, after).to_string());
            return self.set(&edits, force);
        };
        say(&diff(before, after).to_string());
        let reply = self.ask(Request::new(wire::SetObjectConfig {
            path: path.to_string(),
            data: after.to_owned(),
            etag: Some(csum(before.as_bytes())),
            only: Some("existing".to_owned()),
            force,
        }))?;
        match status_of(&reply) {
            0 => Ok(()),
            CHANGED => draft.check_base(&self.read()?).and(Err(refusal(&reply))),
            _ => Err(refusal(&reply)),
        }
    }
}

fn refusal(reply: &Value) -> Failure {
    match Lines::of(reply).errors {
        lines if lines.is_empty() => Failure::new("the node does not say what it has"),
        lines => Failure { lines, code: 1 },
    }
}
