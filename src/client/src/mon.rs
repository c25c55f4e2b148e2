//! `om mon`: the cluster, once or as it changes.

use std::time::{Duration, Instant};

use cli::MonitorCommand;
use cli::render::{Room, Sections, Text, monitor};
use serde_json::Value;

use link::link::Link;

use machine::clock::now;

use crate::known::status;
use crate::om::{Done, Failure, Om, seconds};
use crate::screen::{draw, fitted, room};
use crate::select;
use crate::streams::Changes;

/// What is shown where no selector is given: services of all namespaces.
const SELECTOR: &str = "*/svc/*";

/// Changes within this time are drawn once.
const MERGE: Duration = Duration::from_millis(100);

/// Pause between two tries of a node that is lost.
const LOST: Duration = Duration::from_secs(1);

pub(super) fn run(om: &Om, command: &MonitorCommand) -> Done {
    let link = om.link(command.server.as_deref())?;
    let view = View::new(&link, command);
    if command.watch {
        return view.watch(om, command.interval.map(seconds));
    }
    let data = view.read()?;
    view.check(&data, command)?;
    om.show(&data, |data| fitted(view.render(data, room(0, 1))));
    Ok(0)
}

/// Follows the objects after an action, for `--watch`.
pub(super) fn watch(om: &Om, link: &Link, selector: &str, namespace: Option<String>) -> Done {
    let command = MonitorCommand {
        selector: Some(selector.to_owned()),
        namespace,
        watch: true,
        ..MonitorCommand::default()
    };
    View::new(link, &command).watch(om, None)
}

struct View {
    link: Link,
    selector: String,
    namespace: Option<String>,
    nodes: Option<Vec<String>>,
    sections: Sections,
}

impl View {
    fn new(link: &Link, command: &MonitorCommand) -> Self {
        Self {
            link: link.clone(),
            selector: command.selector.clone().unwrap_or_else(|| SELECTOR.to_owned()),
            namespace: select::namespace(command.namespace.clone()),
            nodes: command.node.as_deref().map(|node| crate::nodes::expand(link, node)),
            sections: Sections::named(&command.sections),
        }
    }

    fn read(&self) -> Result<Value, Failure> {
        status(&self.link, Some(&self.selector), self.namespace.as_deref())
    }

    /// Refuses to show nothing to who asked for something.
    fn check(&self, data: &Value, command: &MonitorCommand) -> Result<(), Failure> {
        let services = data.pointer("/monitor/services").and_then(Value::as_object);
        if command.selector.is_some() && services.is_none_or(serde_json::Map::is_empty) {
            return Err(select::nothing_selected(&self.selector));
        }
        let members = data.pointer("/cluster/nodes").and_then(Value::as_array);
        let is_member = |name: &String| {
            members.is_some_and(|members| members.iter().any(|member| *member == **name))
                || data.pointer("/monitor/nodes").is_some_and(|nodes| nodes.get(name).is_some())
        };
        match &self.nodes {
            Some(nodes) if !nodes.iter().any(is_member) => {
                Err(Failure::new("no node is selected: `om node ls` lists them"))
            }
            _ => Ok(()),
        }
    }

    fn render(&self, data: &Value, room: Room) -> Text {
        let title = match &self.namespace {
            Some(namespace) => format!("{} in {namespace}", self.selector),
            None => self.selector.clone(),
        };
        monitor(data, self.nodes.as_deref(), &self.sections, &title, room, now())
    }

    /// Draws at each change, at most once per `interval`. Ends with the command (ctrl-c) or the daemon.
    fn watch(&self, om: &Om, interval: Option<Duration>) -> Done {
        let changes = Changes::follow(&self.link);
        let mut shown = String::new();
        let mut is_shown = false;
        loop {
            let drawn = Instant::now();
            let data = match self.read() {
                // The node is lost for now: what was shown stays, and is drawn anew when it is back.
                Err(_) if self.link.is_remote() && is_shown => {
                    changes.wait(Some(LOST));
                    std::thread::sleep(MERGE);
                    continue;
                }
                read => read?,
            };
            is_shown = true;
            if om.is_machine_readable() {
                om.show(&data, cli::render::json);
            } else {
                draw(self.render(&data, room(1, 0)), &mut shown);
            }
            if !changes.wait(None) {
                return Err(Failure::new("the daemon ended the stream of events"));
            }
            let pause = interval.unwrap_or(MERGE);
            std::thread::sleep(pause.saturating_sub(drawn.elapsed()));
            changes.forget();
        }
    }
}
