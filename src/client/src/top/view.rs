//! Draws a state of `om top`: a title, the nodes, the objects or one of them, and a line of help.

use cli::render::{Text, Tone, printable};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState};
use serde_json::{Map, Value};

use crate::top::state::{ACTIONS, Panel, Place, State};

/// Nodes that are shown: of more, the first ones.
const MOST_NODES: usize = 6;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let nodes = nodes(&state.data).len().min(MOST_NODES);
    let rows = u16::try_from(nodes + 1).unwrap_or(1);
    let [title, top, middle, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(rows),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(state), title);
    frame.render_widget(nodes_table(state), top);
    match &state.place {
        Place::Object(panel) => draw_panel(frame, state, *panel, middle),
        _ => draw_objects(frame, state, middle),
    }
    frame.render_widget(foot_line(state), foot);
    match &state.place {
        Place::Help => draw_over(frame, " keys ", &help()),
        Place::Menu => draw_over(frame, &format!(" {} ", selected(state)), &menu()),
        Place::Confirm { word, forecast, .. } => {
            let lines = match forecast {
                None => vec![Line::from("asking what would happen ..")],
                Some(forecast) => {
                    let question = match forecast.is_refused {
                        true => "it would be refused: any key".to_owned(),
                        false => format!("{word} {}: y, or any other key", selected(state)),
                    };
                    let mut lines = lines_of(&forecast.text);
                    lines.extend([Line::default(), Line::styled(question, bold())]);
                    lines
                }
            };
            draw_over(frame, &format!(" {word} {}: what would happen ", selected(state)), &lines);
        }
        Place::Cluster | Place::Object(_) | Place::Search => {}
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Strong => bold(),
        Tone::Good => Style::new().fg(Color::Green),
        Tone::Bad => Style::new().fg(Color::Red),
        Tone::Warn => Style::new().fg(Color::Yellow),
        Tone::Note => Style::new().fg(Color::LightBlue),
    }
}

/// A text of the other commands, as lines of a screen.
fn lines_of(text: &Text) -> Vec<Line<'static>> {
    let span = |(tone, word): &(Tone, String)| Span::styled(word.clone(), style(*tone));
    text.lines().map(|line| line.iter().map(span).collect::<Line<'static>>()).collect()
}

fn selected(state: &State) -> String {
    printable(state.selected.as_deref().unwrap_or("nothing")).into_owned()
}

fn nodes(data: &Value) -> Vec<(&String, &Value)> {
    let nodes = data.pointer("/monitor/nodes").and_then(Value::as_object);
    nodes.into_iter().flat_map(Map::iter).collect()
}

/// The cluster, and how many objects are in which state.
fn title_line(state: &State) -> Line<'static> {
    let name = state.data.pointer("/cluster/name").and_then(Value::as_str).unwrap_or("..");
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for object in &state.objects {
        *counts.entry(avail(state, object)).or_default() += 1;
    }
    let mut spans = vec![
        Span::styled(format!("{} ", printable(name)), bold()),
        Span::raw(format!("{} nodes, {} objects", nodes(&state.data).len(), state.objects.len())),
    ];
    for (state, count) in counts {
        spans.push(Span::styled(format!("  {count} {}", printable(state)), style(Tone::of(state))));
    }
    Line::from(spans)
}

fn object<'a>(state: &'a State, name: &str) -> Option<&'a Value> {
    state.data.pointer("/monitor/services")?.get(name)
}

fn avail<'a>(state: &'a State, name: &str) -> &'a str {
    object(state, name).and_then(|it| it.get("avail")?.as_str()).unwrap_or("n/a")
}

fn nodes_table(state: &State) -> Table<'static> {
    let rows = nodes(&state.data).into_iter().take(MOST_NODES).map(|(name, node)| {
        let status = node.pointer("/monitor/status").and_then(Value::as_str);
        let is_frozen = node.get("frozen").and_then(Value::as_f64).is_some_and(|at| at > 0.0);
        let load = node.pointer("/stats/load_15m").and_then(Value::as_f64);
        let (word, tone) = match status {
            None => ("lost", Tone::Bad),
            Some("idle") => ("up", Tone::Good),
            Some(other) => (other, Tone::Warn),
        };
        Row::new(vec![
            Span::styled(printable(name).into_owned(), bold()),
            Span::styled(printable(word).into_owned(), style(tone)),
            Span::styled(if is_frozen { "frozen" } else { "" }, style(Tone::Note)),
            Span::raw(load.map_or(String::new(), |load| format!("load {load:.1}"))),
        ])
    });
    let widths =
        [Constraint::Length(24), Constraint::Length(14), Constraint::Length(8), Constraint::Min(8)];
    Table::new(rows, widths)
}

/// What the instances of an object are, by node: `n1 up, n2 down`.
fn instances(state: &State, name: &str) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = vec![];
    for (node, data) in nodes(&state.data) {
        let Some(instance) = data.pointer("/services/status").and_then(|it| it.get(name)) else {
            continue;
        };
        let word = |at: &str| instance.pointer(at).and_then(Value::as_str);
        let doing = word("/monitor/status").filter(|status| *status != "idle");
        let said = doing.or(word("/avail")).unwrap_or("?");
        let tone = Tone::of(word("/avail").unwrap_or_default());
        if !spans.is_empty() {
            spans.push(Span::raw("  "));
        }
        spans.push(Span::raw(format!("{} ", printable(node))));
        spans.push(Span::styled(printable(said).into_owned(), style(tone)));
    }
    Line::from(spans)
}

fn draw_objects(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let header = Row::new(["Object", "Avail", "", "Instances"]).style(bold());
    let rows = state.objects.iter().map(|name| {
        let avail = avail(state, name);
        let is_frozen = object(state, name).and_then(|it| it.get("frozen")?.as_str());
        let frozen = is_frozen.filter(|word| matches!(*word, "frozen" | "mixed")).unwrap_or("");
        Row::new(vec![
            Line::from(printable(name).into_owned()),
            Line::styled(printable(avail).into_owned(), style(Tone::of(avail))),
            Line::styled(frozen.to_owned(), style(Tone::Note)),
            instances(state, name),
        ])
    });
    let widths = [
        Constraint::Length(24),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Min(10),
    ];
    let table = Table::new(rows, widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut at = TableState::new().with_selected(state.at());
    frame.render_stateful_widget(table, area, &mut at);
}

fn draw_panel(frame: &mut Frame<'_>, state: &State, shown: Panel, area: Rect) {
    let mut title = vec![Span::styled(format!(" {} ", selected(state)), bold())];
    for panel in Panel::ALL {
        let look =
            if panel == shown { bold().add_modifier(Modifier::REVERSED) } else { Style::new() };
        title.extend([Span::styled(format!(" {} ", panel.title()), look), Span::raw(" ")]);
    }
    let lines = match &state.panel {
        None => vec![Line::from("..")],
        Some(text) if text.is_empty() => vec![Line::from("nothing yet")],
        Some(text) => lines_of(text),
    };
    let scroll = u16::try_from(state.scroll).unwrap_or(u16::MAX);
    let block = Block::bordered().title(Line::from(title));
    frame.render_widget(Paragraph::new(lines).scroll((scroll, 0)).block(block), area);
}

fn foot_line(state: &State) -> Line<'static> {
    let text = match state.place {
        Place::Search => format!("/{}_  enter: keep, esc: all", printable(&state.search)),
        _ if !state.said.is_empty() => printable(&state.said).into_owned(),
        Place::Object(_) => "tab next  j/k scroll  a action  esc back  ? help".to_owned(),
        _ => "j/k select  enter explain  l logs  h history  a action  / search  ? help  q quit"
            .to_owned(),
    };
    Line::styled(text, style(Tone::Note))
}

fn help() -> Vec<Line<'static>> {
    [
        "j, k, arrows    select an object, or scroll",
        "enter           why it is where it is",
        "tab             explain, status, logs, history",
        "l, h            logs, history",
        "a               an action: what would happen is shown, y does it",
        "/               only objects with these letters; esc: all",
        "esc             back",
        "q, ctrl-c       quit",
    ]
    .map(Line::from)
    .to_vec()
}

fn menu() -> Vec<Line<'static>> {
    let line = |(key, word, _): &(char, &'static str, _)| {
        Line::from(vec![Span::styled(format!("{key}  "), bold()), Span::raw(*word)])
    };
    ACTIONS.iter().map(line).collect()
}

/// A box over the middle of the screen, as large as its lines.
fn draw_over(frame: &mut Frame<'_>, title: &str, lines: &[Line<'static>]) {
    let area = frame.area();
    let widest = lines.iter().map(Line::width).chain([title.chars().count()]).max().unwrap_or(0);
    let width = u16::try_from(widest + 4).unwrap_or(u16::MAX).min(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    // The end asks the question: where there are too many lines, the first ones give way.
    let hidden = lines.len().saturating_sub(usize::from(height).saturating_sub(2));
    let block = Block::bordered().title(title.to_owned());
    let shown = lines[hidden..].to_vec();
    frame.render_widget(Paragraph::new(shown).block(block), place);
}

#[cfg(test)]
mod tests;
