//! What `om top` shows, and what a key or an answer makes of it.

use cli::render::Text;
use model::GlobalExpect;
use serde_json::Value;

/// A key, as far as it means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Enter,
    Escape,
    Backspace,
    Tab,
    /// Ctrl-C.
    Interrupt,
}

/// What is shown of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Panel {
    Explanation,
    Status,
    Logs,
    History,
}

impl Panel {
    pub(super) const ALL: [Self; 4] = [Self::Explanation, Self::Status, Self::Logs, Self::History];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Explanation => "explain",
            Self::Status => "status",
            Self::Logs => "logs",
            Self::History => "history",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|panel| *panel == self).unwrap_or_default();
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

/// What may be asked for an object: the key of its menu, its word, the target.
pub(super) const ACTIONS: [(char, &str, GlobalExpect); 7] = [
    ('s', "start", GlobalExpect::Started),
    ('x', "stop", GlobalExpect::Stopped),
    ('r', "restart", GlobalExpect::Restarted(None)),
    ('f', "freeze", GlobalExpect::Frozen),
    ('t', "thaw", GlobalExpect::Thawed),
    ('g', "giveback", GlobalExpect::Placed),
    ('b', "abort", GlobalExpect::Aborted),
];

/// Where the eyes are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// Nodes and objects.
    Cluster,
    /// One object.
    Object(Panel),
    /// What may be done with the selected object.
    Menu,
    /// An action is to be confirmed; none: its forecast is awaited.
    Confirm { word: &'static str, expect: GlobalExpect, forecast: Option<Forecast> },
    /// The keys.
    Help,
    /// A part of a name is typed.
    Search,
}

/// What an action would do.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forecast {
    pub(super) text: Text,
    /// It would be refused: there is nothing to confirm.
    pub(super) is_refused: bool,
}

/// What is to be asked of the daemon.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    Quit,
    Load(String, Panel),
    Foretell(String, GlobalExpect),
    Set(String, GlobalExpect),
}

/// An answer of the daemon.
#[derive(Debug)]
pub(super) enum Answer {
    /// The cluster data.
    Cluster(Value),
    /// Of an object.
    Panel(String, Panel, Text),
    Forecast(String, GlobalExpect, Forecast),
    /// What became of an action, or why nothing is known.
    Said(String),
}

/// All that is shown.
#[derive(Debug)]
pub(super) struct State {
    pub(super) data: Value,
    /// Names of the objects, those that fit the search.
    pub(super) objects: Vec<String>,
    /// The object that is selected, by its name: the others come and go.
    pub(super) selected: Option<String>,
    pub(super) place: Place,
    pub(super) search: String,
    /// What is shown of the object, none while it is awaited.
    pub(super) panel: Option<Text>,
    /// Lines above what is shown.
    pub(super) scroll: usize,
    /// The last thing that was said.
    pub(super) said: String,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            data: Value::Null,
            objects: vec![],
            selected: None,
            place: Place::Cluster,
            search: String::new(),
            panel: None,
            scroll: 0,
            said: String::new(),
        }
    }

    /// Where the selected object is in the list.
    pub(super) fn at(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.objects.iter().position(|object| object == selected)
    }

    /// Takes an answer, and tells what follows.
    pub(super) fn on_answer(&mut self, answer: Answer) -> Vec<Wish> {
        match answer {
            Answer::Cluster(data) => {
                self.data = data;
                self.list();
                // What is shown of the object may have changed with it.
                return self.load();
            }
            Answer::Panel(path, panel, text) => {
                if self.selected.as_ref() == Some(&path) && self.panel_shown() == Some(panel) {
                    self.scroll = self.scroll.min(text.height().saturating_sub(1));
                    self.panel = Some(text);
                }
            }
            Answer::Forecast(path, told, text) => {
                if let Place::Confirm { expect, forecast, .. } = &mut self.place
                    && *expect == told
                    && self.selected.as_ref() == Some(&path)
                {
                    *forecast = Some(text);
                }
            }
            Answer::Said(said) => self.said = said,
        }
        vec![]
    }

    /// Takes a key, and tells what follows.
    pub(super) fn on_key(&mut self, key: Key) -> Vec<Wish> {
        if key == Key::Interrupt {
            return vec![Wish::Quit];
        }
        match self.place.clone() {
            Place::Search => self.on_search(key),
            Place::Help => {
                self.place = Place::Cluster;
                vec![]
            }
            Place::Menu => self.on_menu(key),
            Place::Confirm { expect, forecast, .. } => self.on_confirm(key, expect, forecast),
            Place::Cluster => self.on_cluster(key),
            Place::Object(panel) => self.on_object(key, panel),
        }
    }

    fn on_cluster(&mut self, key: Key) -> Vec<Wish> {
        match key {
            Key::Char('q') => return vec![Wish::Quit],
            Key::Char('?') => self.place = Place::Help,
            Key::Char('/') => self.place = Place::Search,
            Key::Escape => {
                self.search.clear();
                self.list();
            }
            Key::Up | Key::Char('k') => self.select(-1),
            Key::Down | Key::Char('j') => self.select(1),
            Key::PageUp => self.select(-10),
            Key::PageDown => self.select(10),
            Key::Enter if self.selected.is_some() => return self.show(Panel::Explanation),
            Key::Char('l') if self.selected.is_some() => return self.show(Panel::Logs),
            Key::Char('h') if self.selected.is_some() => return self.show(Panel::History),
            Key::Char('a') if self.selected.is_some() => self.place = Place::Menu,
            _ => {}
        }
        vec![]
    }

    fn on_object(&mut self, key: Key, panel: Panel) -> Vec<Wish> {
        let last = self.panel.as_ref().map_or(0, Text::height).saturating_sub(1);
        match key {
            Key::Char('q') | Key::Escape | Key::Backspace => self.place = Place::Cluster,
            Key::Char('?') => self.place = Place::Help,
            Key::Char('a') => self.place = Place::Menu,
            Key::Tab => return self.show(panel.next()),
            Key::Char('l') => return self.show(Panel::Logs),
            Key::Char('h') => return self.show(Panel::History),
            Key::Enter => return self.show(Panel::Explanation),
            Key::Up | Key::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            Key::Down | Key::Char('j') => self.scroll = (self.scroll + 1).min(last),
            Key::PageUp => self.scroll = self.scroll.saturating_sub(10),
            Key::PageDown => self.scroll = (self.scroll + 10).min(last),
            _ => {}
        }
        vec![]
    }

    fn on_menu(&mut self, key: Key) -> Vec<Wish> {
        self.place = Place::Cluster;
        let (Key::Char(c), Some(path)) = (key, self.selected.clone()) else { return vec![] };
        let Some((_, word, expect)) = ACTIONS.iter().find(|(key, ..)| *key == c) else {
            return vec![];
        };
        self.place = Place::Confirm { word, expect: expect.clone(), forecast: None };
        vec![Wish::Foretell(path, expect.clone())]
    }

    /// Only what was foretold is asked for, and only by `y`.
    fn on_confirm(
        &mut self,
        key: Key,
        expect: GlobalExpect,
        forecast: Option<Forecast>,
    ) -> Vec<Wish> {
        let is_open = forecast.as_ref().is_some_and(|forecast| !forecast.is_refused);
        match (key, self.selected.clone()) {
            (Key::Char('y'), Some(path)) if is_open => {
                self.place = Place::Cluster;
                vec![Wish::Set(path, expect)]
            }
            // Not read yet: a hasty key is no answer.
            (Key::Char('y') | Key::Enter, _) => vec![],
            _ => {
                self.place = Place::Cluster;
                vec![]
            }
        }
    }

    fn on_search(&mut self, key: Key) -> Vec<Wish> {
        match key {
            Key::Char(c) => self.search.push(c),
            Key::Backspace => _ = self.search.pop(),
            Key::Enter => self.place = Place::Cluster,
            Key::Escape => {
                self.search.clear();
                self.place = Place::Cluster;
            }
            _ => {}
        }
        self.list();
        vec![]
    }

    fn panel_shown(&self) -> Option<Panel> {
        match self.place {
            Place::Object(panel) => Some(panel),
            _ => None,
        }
    }

    fn show(&mut self, panel: Panel) -> Vec<Wish> {
        self.place = Place::Object(panel);
        self.panel = None;
        self.scroll = 0;
        self.load()
    }

    fn load(&self) -> Vec<Wish> {
        let wish = self.selected.clone().zip(self.panel_shown());
        wish.map(|(path, panel)| Wish::Load(path, panel)).into_iter().collect()
    }

    /// The objects of the data that fit the search; what was selected stays selected while it is there.
    fn list(&mut self) {
        let services = self.data.pointer("/monitor/services").and_then(Value::as_object);
        let names = services.into_iter().flat_map(serde_json::Map::keys);
        let before = self.at();
        self.objects = names
            .filter(|name| *name != "cluster" && name.contains(&self.search))
            .cloned()
            .collect();
        if self.at().is_none() {
            let last = self.objects.len().saturating_sub(1);
            self.selected = self.objects.get(before.unwrap_or_default().min(last)).cloned();
            if matches!(self.place, Place::Object(_) | Place::Menu | Place::Confirm { .. }) {
                // It is gone: what was about to be done was not meant for another one.
                self.place = Place::Cluster;
            }
        }
    }

    fn select(&mut self, by: isize) {
        let last = self.objects.len().saturating_sub(1);
        let at = self.at().unwrap_or_default().saturating_add_signed(by).min(last);
        self.selected = self.objects.get(at).cloned();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(names: &[&str]) -> Value {
        let services: serde_json::Map<String, Value> =
            names.iter().map(|name| ((*name).to_owned(), json!({"avail": "up"}))).collect();
        json!({"monitor": {"services": services}})
    }

    fn state(names: &[&str]) -> State {
        let mut state = State::new();
        assert_eq!(state.on_answer(Answer::Cluster(data(names))), []);
        state
    }

    fn keys(state: &mut State, keys: &str) -> Vec<Wish> {
        keys.chars()
            .flat_map(|c| state.on_key(if c == '\n' { Key::Enter } else { Key::Char(c) }))
            .collect()
    }

    fn forecast(is_refused: bool) -> Answer {
        let forecast = Forecast { text: Text::default(), is_refused };
        Answer::Forecast("b".into(), GlobalExpect::Stopped, forecast)
    }

    #[test]
    fn an_action_is_foretold_then_confirmed() {
        let mut state = state(&["a", "b", "cluster"]);
        assert_eq!(state.objects, ["a", "b"]);
        let stop = || ("b".to_owned(), GlobalExpect::Stopped);
        assert_eq!(keys(&mut state, "jax"), [Wish::Foretell(stop().0, stop().1)]);
        assert_eq!(keys(&mut state, "y\n"), [], "nothing was foretold yet");
        state.on_answer(forecast(false));
        assert_eq!(keys(&mut state, "y"), [Wish::Set(stop().0, stop().1)]);
        assert_eq!(state.place, Place::Cluster);
        keys(&mut state, "ax");
        state.on_answer(forecast(false));
        assert_eq!(keys(&mut state, "n"), [], "anything else is no");
        keys(&mut state, "ax");
        state.on_answer(forecast(true));
        assert_eq!(keys(&mut state, "y"), [], "what would be refused is not asked for");
    }

    #[test]
    fn an_action_is_for_the_object_it_was_asked_for() {
        let mut state = state(&["a", "b"]);
        keys(&mut state, "jax");
        state.on_answer(Answer::Cluster(data(&["a"])));
        state.on_answer(forecast(false));
        assert_eq!((keys(&mut state, "y"), state.place), (vec![], Place::Cluster));
    }

    #[test]
    fn panels_are_loaded_anew_when_the_cluster_changes() {
        let mut state = state(&["a"]);
        let load = |panel| vec![Wish::Load("a".to_owned(), panel)];
        assert_eq!(keys(&mut state, "\n"), load(Panel::Explanation));
        assert_eq!(state.on_key(Key::Tab), load(Panel::Status));
        assert_eq!(state.on_answer(Answer::Cluster(data(&["a"]))), load(Panel::Status));
        state.on_answer(Answer::Panel("a".into(), Panel::Logs, Text::default()));
        assert_eq!(state.panel, None, "an answer to what is not shown any more");
        assert_eq!((keys(&mut state, "q"), &state.place), (vec![], &Place::Cluster));
        assert_eq!(keys(&mut state, "q"), [Wish::Quit]);
    }

    #[test]
    fn a_search_narrows_the_list_and_keeps_the_selection() {
        let mut state = state(&["api", "db", "web1", "web2"]);
        keys(&mut state, "jjj/web");
        assert_eq!((state.objects.len(), state.selected.as_deref()), (2, Some("web2")));
        keys(&mut state, "\nk");
        assert_eq!(state.selected.as_deref(), Some("web1"));
        state.on_key(Key::Escape);
        assert_eq!((state.objects.len(), state.at()), (4, Some(2)));
        keys(&mut state, "/none\n\nax");
        assert_eq!((state.selected, state.place), (None, Place::Cluster));
    }

    #[test]
    fn ctrl_c_ends_it_everywhere() {
        for typed in ["", "?", "/x", "a", "ax", "\n"] {
            let mut state = state(&["a"]);
            keys(&mut state, typed);
            assert_eq!(state.on_key(Key::Interrupt), [Wish::Quit], "{typed:?}");
        }
    }
}
