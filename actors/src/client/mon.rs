//! `om mon`: the cluster, once or as it changes.

use std::io::{IsTerminal as _, Write as _};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use om::MonitorCommand;
use om::render::{Room, Sections, Text, monitor};
use serde_json::Value;
use wire::Request;
use wire::reply::status_of;

use super::{ANSWER, Done, Failure, Link, Om, complain, print, seconds, select};

/// What is shown where no selector is given: services of all namespaces.
const SELECTOR: &str = "*/svc/*";

/// Changes within this time are drawn once.
const MERGE: Duration = Duration::from_millis(100);

/// Clears the terminal, the cursor at the first line.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// The cluster data, reduced to the selected objects.
pub(super) fn status(
    link: &Link,
    selector: Option<&str>,
    namespace: Option<&str>,
) -> Result<Value, Failure> {
    let request = Request::new(wire::DaemonStatus {
        selector: selector.map(str::to_owned),
        namespace: namespace.map(str::to_owned),
        relatives: false,
    });
    let data = link.ask(&request, Some(ANSWER))?;
    if status_of(&data) != 0 {
        return Err(Failure { lines: wire::reply::Lines::of(&data).errors, code: 1 });
    }
    Ok(data)
}

/// Whether the data has an object.
pub(super) fn has_object(data: &Value, path: &str) -> bool {
    data.pointer("/monitor/services").is_some_and(|all| all.get(path).is_some())
}

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
            nodes: command.node.as_deref().map(|node| super::node::expand(link, node)),
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
        monitor(data, self.nodes.as_deref(), &self.sections, &title, room)
    }

    /// Draws at each change, at most once per `interval`. Ends with the command (ctrl-c) or the daemon.
    fn watch(&self, om: &Om, interval: Option<Duration>) -> Done {
        let changes = Changes::follow(&self.link);
        let mut shown = String::new();
        loop {
            let drawn = Instant::now();
            let data = self.read()?;
            if om.is_machine_readable() {
                om.show(&data, om::render::json);
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

/// A text as wide as the terminal, if it is written to one.
pub(super) fn fitted(text: Text) -> String {
    match screen() {
        Some(screen) => text.cropped(screen.width).to_string(),
        None => text.to_string(),
    }
}

/// The room on the terminal, if it is one, less the columns and lines that are kept free.
pub(super) fn room(columns: usize, lines: usize) -> Room {
    screen().map_or(Room::ENDLESS, |screen| Room {
        width: screen.width.saturating_sub(columns),
        height: screen.height.saturating_sub(lines),
    })
}

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Screen {
    width: usize,
    height: usize,
}

/// The terminal that is written to; none when it is none, or does not tell its size: a pipe gets whole lines.
fn screen() -> Option<Screen> {
    let output = std::io::stdout();
    if !output.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&output).ok();
    let told = |name: &str| std::env::var(name).ok()?.trim().parse::<usize>().ok();
    let side = |name: &str, cells: Option<u16>| {
        told(name).or(cells.map(usize::from)).filter(|cells| *cells > 0).unwrap_or(usize::MAX)
    };
    Some(Screen {
        width: side("COLUMNS", size.map(|size| size.ws_col)),
        height: side("LINES", size.map(|size| size.ws_row)),
    })
}

/// Draws over what the terminal shows; what is equal to it is not drawn again. To a pipe, a text after the other.
fn draw(text: Text, shown: &mut String) {
    let mut output = std::io::stdout();
    let Some(screen) = screen() else {
        let text = text.to_string();
        if *shown != text {
            print(&text);
            *shown = text;
        }
        return;
    };
    // Not through the stream that leaves colours out, and the moves of the cursor with them.
    let is_styled = anstream::AutoStream::choice(&output) != anstream::ColorChoice::Never;
    // Clearing the rest of a line that ends in the last column would take its last sign, too.
    let frame = text.cropped(screen.width.saturating_sub(1)).frame(screen.height, is_styled);
    if *shown == frame {
        return;
    }
    let clear = if shown.is_empty() { CLEAR } else { "" };
    if output.write_all(format!("{clear}{frame}").as_bytes()).and_then(|()| output.flush()).is_err()
    {
        std::process::exit(0);
    }
    *shown = frame;
}

/// Tells when the cluster data changed.
pub(super) struct Changes(mpsc::Receiver<()>);

impl Changes {
    /// Follows the events of a daemon, in a thread that ends with them or with this value.
    pub(super) fn follow(link: &Link) -> Self {
        let (changed, changes) = mpsc::sync_channel::<()>(1);
        let link = link.clone();
        std::thread::spawn(move || {
            let request = Request::new(wire::Events { selector: None, full: false });
            let ended = link.follow(&request, &mut |_| match changed.try_send(()) {
                // One mark is enough: who waits reads everything.
                Ok(()) | Err(mpsc::TrySendError::Full(())) => ControlFlow::Continue(()),
                Err(mpsc::TrySendError::Disconnected(())) => ControlFlow::Break(()),
            });
            if let Err(error) = ended {
                complain(&error.to_string());
            }
        });
        Self(changes)
    }

    /// Waits for a change, or until `within` is over. False when there will be none any more.
    pub(super) fn wait(&self, within: Option<Duration>) -> bool {
        match within {
            None => self.0.recv().is_ok(),
            Some(within) => {
                !matches!(self.0.recv_timeout(within), Err(mpsc::RecvTimeoutError::Disconnected))
            }
        }
    }

    /// Forgets a change that what is read next will show.
    fn forget(&self) {
        _ = self.0.try_recv();
    }
}
