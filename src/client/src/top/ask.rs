//! Asks the daemon for what `om top` shows, and for what is to be done.

use cli::render;
use cli::render::{InstanceView, Text, log_line};
use link::link::Link;
use model::{Explanation, Forecast as Foretold, GlobalExpect, ObjectPath};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::reply::{Lines, status_of};
use wire::{NodeSpec, Request, Size};

use crate::history;
use crate::known::{known, status};
use crate::logs::entries::{collect, local_time, sort, time_of};
use crate::om::{ANSWER, Failure, Om};
use crate::top::state::{Answer, Forecast, Panel, Wish};

/// How much of a log is shown.
const BACKLOG: i64 = 32 << 10;

/// What follows for a wish; none for what only the screen can do.
pub(super) fn answer(om: &Om, link: &Link, wish: Wish) -> Option<Answer> {
    let answered = match wish {
        Wish::Quit => return None,
        Wish::Load(path, panel) => {
            load(om, link, &path, panel).map(|text| Answer::Panel(path.clone(), panel, text))
        }
        Wish::Foretell(path, expect) => foretell(link, &path, &expect)
            .map(|forecast| Answer::Forecast(path.clone(), expect, forecast)),
        Wish::Set(path, expect) => set(link, &path, &expect).map(Answer::Said),
    };
    Some(answered.unwrap_or_else(|failure| Answer::Said(failure.lines.join(", "))))
}

/// The cluster data of these objects.
pub(super) fn cluster(link: &Link, selector: &str) -> Answer {
    match status(link, Some(selector), None) {
        Ok(data) => Answer::Cluster(data),
        Err(failure) => Answer::Said(failure.lines.join(", ")),
    }
}

fn object(path: &str) -> Result<ObjectPath, Failure> {
    ObjectPath::parse(path).map_err(|error| Failure::new(error.to_string()))
}

fn load(om: &Om, link: &Link, path: &str, panel: Panel) -> Result<Text, Failure> {
    let now = machine::clock::now();
    Ok(match panel {
        Panel::Explanation => {
            render::explanation(&ask::<Explanation>(link, explain(path, None))?, now)
        }
        Panel::Status => {
            let known = known(link, &object(path)?)?;
            let mut text = Text::default();
            for node in known.instances.keys() {
                text.extend(render::instance(&InstanceView {
                    path,
                    local: node,
                    aggregate: known.aggregate.as_ref(),
                    instances: &known.instances,
                    frozen_nodes: &known.frozen_nodes,
                    hide_disabled: false,
                    now,
                }));
            }
            text
        }
        Panel::Logs => logs(link, path)?,
        Panel::History => history::newest_first(om, link, &object(path)?)?,
    })
}

/// The newest entries of all nodes, the newest first.
fn logs(link: &Link, path: &str) -> Result<Text, Failure> {
    let request = Request::new(wire::ObjectBacklogs {
        path: path.to_owned(),
        backlog: Size(BACKLOG),
        only: serde_json::Map::new(),
    });
    let reply = link.ask(&request.on(NodeSpec::Selector("*".to_owned())), Some(ANSWER))?;
    let mut entries = vec![];
    collect(reply, &mut entries, &mut vec![]);
    sort(&mut entries);
    let mut text = Text::default();
    for entry in entries.iter().rev() {
        if let Some(lines) = log_line(entry, &local_time(time_of(entry)), false) {
            text.extend(lines);
        }
    }
    Ok(text)
}

fn explain(path: &str, expect: Option<&GlobalExpect>) -> Request {
    let global_expect = expect.map(ToString::to_string);
    Request::new(wire::ObjectExplain { path: path.to_owned(), global_expect })
}

fn ask<T: DeserializeOwned>(link: &Link, request: Request) -> Result<T, Failure> {
    let mut reply = link.ask(&request, Some(ANSWER))?;
    refused(&reply)?;
    let data = reply.get_mut("data").map(Value::take).unwrap_or_default();
    serde_json::from_value(data)
        .map_err(|error| Failure::new(format!("the answer does not read: {error}")))
}

fn refused(reply: &Value) -> Result<(), Failure> {
    match status_of(reply) {
        0 => Ok(()),
        _ => Err(Failure { lines: Lines::of(reply).errors, code: 1 }),
    }
}

/// What a target would do: the same decisions, on a copy of the data.
fn foretell(link: &Link, path: &str, expect: &GlobalExpect) -> Result<Forecast, Failure> {
    let foretold = ask::<Foretold>(link, explain(path, Some(expect)))?;
    let is_refused = !foretold.error.is_empty();
    let mut text = render::forecast(&foretold);
    for line in &foretold.error {
        text.push(render::Cell::new(render::Tone::Bad, line));
    }
    Ok(Forecast { text, is_refused })
}

fn set(link: &Link, path: &str, expect: &GlobalExpect) -> Result<String, Failure> {
    let request = Request::new(wire::SetObjectMonitor {
        path: path.to_owned(),
        local_expect: None,
        global_expect: Some(expect.to_string()),
        status: None,
        reset_retries: false,
        stonith: None,
    });
    let reply = link.ask(&request, Some(ANSWER))?;
    refused(&reply)?;
    Ok(Lines::of(&reply).infos.join(", "))
}
