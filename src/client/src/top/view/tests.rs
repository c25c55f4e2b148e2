use cli::render::Cell;
use model::GlobalExpect;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::*;
use crate::top::state::{Answer, Forecast, Key};

fn state() -> State {
    let node = |frozen: f64, avail: &str| {
        json!({
            "monitor": {"status": "idle"}, "frozen": frozen, "stats": {"load_15m": 0.3},
            "services": {"status": {"web": {"avail": avail, "monitor": {"status": "idle"}}}},
        })
    };
    let data = json!({
        "cluster": {"name": "demo"},
        "monitor": {
            "nodes": {"n1": node(0.0, "up"), "n2": node(5.0, "down"), "n3": {}},
            "services": {"cluster": {}, "db": {"avail": "down"}, "web": {"avail": "up", "frozen": "mixed"}},
        },
    });
    let mut state = State::new();
    state.on_answer(Answer::Cluster(data));
    state
}

/// The screen, line by line.
fn shown(state: &State, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
    (0..height).map(line).map(|line: String| line.trim_end().to_owned()).collect()
}

fn text(words: &str) -> Text {
    let mut text = Text::default();
    words.lines().for_each(|line| text.push(Cell::plain(line)));
    text
}

#[test]
fn nodes_and_objects_fit_eighty_columns() {
    let lines = shown(&state(), 80, 24);
    assert_eq!(lines[0], "demo 3 nodes, 2 objects  1 down  1 up");
    assert_eq!(lines[1], "n1                       up                      load 0.3");
    assert_eq!(lines[2], "n2                       up             frozen   load 0.3");
    assert_eq!(lines[3], "n3                       lost");
    assert_eq!(lines[5], "Object                   Avail               Instances");
    assert_eq!(lines[6], "db                       down");
    assert_eq!(lines[7], "web                      up         mixed    n1 up  n2 down");
    assert!(lines[23].contains("? help") && lines[23].len() <= 80, "{}", lines[23]);
}

#[test]
fn an_object_is_shown_with_its_panels() {
    let mut state = state();
    state.on_key(Key::Char('j'));
    state.on_key(Key::Enter);
    assert!(shown(&state, 80, 24).iter().any(|line| line.contains("..")), "it is awaited");
    state.on_answer(Answer::Panel("web".into(), Panel::Explanation, text("it is up\non n1")));
    let lines = shown(&state, 80, 24);
    assert!(lines[5].contains(" web ") && lines[5].contains(" history "), "{}", lines[5]);
    assert!(lines[6].contains("it is up") && lines[7].contains("on n1"), "{lines:?}");
    state.on_key(Key::Down);
    assert!(shown(&state, 80, 24)[6].contains("on n1"), "scrolled");
}

#[test]
fn what_would_happen_is_shown_before_the_question() {
    let mut state = state();
    for key in ['j', 'a', 'x'] {
        state.on_key(Key::Char(key));
    }
    assert!(shown(&state, 80, 24).iter().any(|line| line.contains("asking what would happen")));
    let told = |is_refused| Forecast { text: text("n1: stopping"), is_refused };
    state.on_answer(Answer::Forecast("web".into(), GlobalExpect::Stopped, told(false)));
    let lines = shown(&state, 80, 24).join("\n");
    assert!(
        lines.contains("n1: stopping") && lines.contains("stop web: y, or any other key"),
        "{lines}"
    );
    state.on_answer(Answer::Forecast("web".into(), GlobalExpect::Stopped, told(true)));
    assert!(shown(&state, 80, 24).join("\n").contains("it would be refused"));
}

#[test]
fn help_lists_the_keys_and_small_screens_do_not_panic() {
    let mut state = state();
    state.on_key(Key::Char('?'));
    assert!(shown(&state, 80, 24).join("\n").contains("what would happen is shown, y does it"));
    for (width, height) in [(1, 1), (10, 3), (20, 5), (300, 80)] {
        for key in ['?', 'a', 'x', 'n', '\n', '/'] {
            state.on_key(if key == '\n' { Key::Enter } else { Key::Char(key) });
            _ = shown(&state, width, height);
        }
    }
}

#[test]
fn what_a_peer_names_moves_no_cursor() {
    let mut state = State::new();
    let data = json!({"cluster": {"name": "x\u{1b}[2J"}, "monitor": {"nodes": {}, "services": {"w\u{1b}c": {}}}});
    state.on_answer(Answer::Cluster(data));
    assert!(!shown(&state, 80, 24).join("\n").contains('\u{1b}'));
}
