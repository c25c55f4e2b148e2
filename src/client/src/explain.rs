//! `om <selector> explain`, and what a target would do: `om <selector> start --dry-run`.

use cli::render;
use model::{Explanation, Forecast, GlobalExpect, ObjectPath};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::Request;
use wire::reply::{Lines, status_of};

use link::link::Link;
use machine::clock;

use crate::om::{ANSWER, Done, Failure, Om, complain, print};

/// Prints why the objects are where they are.
pub(super) fn run(om: &Om, link: &Link, paths: &[ObjectPath]) -> Done {
    let explained = ask_all::<Explanation>(link, paths, None)?;
    show(om, &explained, |explanation| render::explanation(explanation, clock::now()).to_string());
    Ok(0)
}

/// Prints what would happen if a target were set, and sets none. The exit code is 1 when it would be refused.
pub(super) fn dry_run(om: &Om, link: &Link, paths: &[ObjectPath], expect: &GlobalExpect) -> Done {
    let foretold = ask_all::<Forecast>(link, paths, Some(expect))?;
    let mut code = 0;
    for (_, forecast) in &foretold {
        forecast.error.iter().for_each(|line| complain(line));
        code |= u8::from(!forecast.error.is_empty());
    }
    if om.is_machine_readable() {
        show(om, &foretold, |forecast| render::forecast(forecast).to_string());
        return Ok(code);
    }
    let texts: Vec<String> = foretold
        .iter()
        .filter(|(_, forecast)| forecast.error.is_empty())
        .map(|(_, forecast)| render::forecast(forecast).to_string())
        .collect();
    print(&texts.join("\n"));
    Ok(code)
}

/// Why an object is where it is; none from a daemon that does not tell.
pub(super) fn explained(link: &Link, path: &ObjectPath) -> Option<Explanation> {
    let mut all = ask_all::<Explanation>(link, std::slice::from_ref(path), None).ok()?;
    all.pop().map(|(_, explanation)| explanation)
}

/// Why an object is where it is.
pub(super) fn explain(link: &Link, path: &ObjectPath) -> Result<Explanation, Failure> {
    one(ask_all(link, std::slice::from_ref(path), None)?)
}

/// What a target would do.
pub(super) fn foretold(
    link: &Link,
    path: &ObjectPath,
    expect: &GlobalExpect,
) -> Result<Forecast, Failure> {
    one(ask_all(link, std::slice::from_ref(path), Some(expect))?)
}

fn one<T>(mut found: Vec<(Value, T)>) -> Result<T, Failure> {
    found.pop().map(|(_, read)| read).ok_or_else(|| Failure::new("no answer"))
}

/// Asks for each object: the data as they came, and as read.
fn ask_all<T: DeserializeOwned>(
    link: &Link,
    paths: &[ObjectPath],
    expect: Option<&GlobalExpect>,
) -> Result<Vec<(Value, T)>, Failure> {
    let ask = |path: &ObjectPath| {
        let request = Request::new(wire::ObjectExplain {
            path: path.to_string(),
            global_expect: expect.map(ToString::to_string),
        });
        let reply = link.ask(&request, Some(ANSWER))?;
        if status_of(&reply) != 0 {
            let lines = Lines::of(&reply);
            let refusal = format!("{path}: refused with status {}", lines.status);
            let lines = if lines.errors.is_empty() { vec![refusal] } else { lines.errors };
            return Err(Failure { lines, code: 1 });
        }
        let data = reply.get("data").cloned().unwrap_or_default();
        let read = serde_json::from_value(data.clone())
            .map_err(|error| Failure::new(format!("{path}: answer not understood: {error}")))?;
        Ok((data, read))
    };
    paths.iter().map(ask).collect()
}

/// One document for one object, a list for several; for a reader, one after the other.
fn show<T>(om: &Om, found: &[(Value, T)], human: impl Fn(&T) -> String) {
    if om.is_machine_readable() {
        let value = match found {
            [(only, _)] => only.clone(),
            several => several.iter().map(|(value, _)| value.clone()).collect(),
        };
        om.show(&value, render::json);
        return;
    }
    let texts: Vec<String> = found.iter().map(|(_, read)| human(read)).collect();
    print(&texts.join("\n"));
}
