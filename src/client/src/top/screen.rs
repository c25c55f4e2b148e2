//! The terminal of `om top`, and the threads beside it: keys, changes of the cluster, and what is asked.

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use cli::TopCommand;
use link::link::Link;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use crate::om::{Done, Failure, Om};
use crate::streams::Changes;
use crate::top::state::{Answer, Key, State, Wish};
use crate::top::{ask, view};

/// What is shown where no selector is given: objects of all namespaces that have instances.
const SELECTOR: &str = "*/svc/*,*/vol/*";

/// Changes within this time are drawn once.
const MERGE: Duration = Duration::from_millis(100);

/// How long before a daemon that ended its stream is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What comes to the screen.
enum News {
    Key(Key),
    /// The terminal has another size.
    Resized,
    Answer(Answer),
    /// No key will come any more.
    Deaf(String),
}

/// Shows the cluster until somebody quits. The terminal is given back whatever happens.
pub(super) fn run(om: &Om, command: &TopCommand) -> Done {
    let link = om.link(command.server.as_deref())?;
    let selector = command.selector.clone().unwrap_or_else(|| SELECTOR.to_owned());
    // A daemon that does not answer is told before the screen is taken.
    if let Answer::Said(reason) = ask::cluster(&link, &selector) {
        return Err(Failure::new(reason));
    }
    let (sender, news) = mpsc::channel();
    let wishes = serve(om, &link, &sender);
    follow(&link, &selector, &sender);
    let mut terminal = ratatui::try_init()?;
    listen(sender);
    let shown = show(&mut terminal, &news, &wishes);
    ratatui::restore();
    shown.map(|()| 0)
}

fn show(
    terminal: &mut DefaultTerminal,
    news: &Receiver<News>,
    wishes: &Sender<Wish>,
) -> Result<(), Failure> {
    let mut state = State::new();
    loop {
        terminal.draw(|frame| view::draw(frame, &state))?;
        let Ok(first) = news.recv() else { return Ok(()) };
        for news in std::iter::once(first).chain(news.try_iter()) {
            let asked = match news {
                News::Key(key) => {
                    state.said.clear();
                    state.on_key(key)
                }
                News::Answer(answer) => state.on_answer(answer),
                News::Resized => vec![],
                News::Deaf(reason) => return Err(Failure::new(reason)),
            };
            for wish in asked {
                if wish == Wish::Quit {
                    return Ok(());
                }
                _ = wishes.send(wish);
            }
        }
    }
}

/// Asks the daemon, one thing after the other, without holding up the screen.
fn serve(om: &Om, link: &Link, sender: &Sender<News>) -> Sender<Wish> {
    let (wishes, asked) = mpsc::channel::<Wish>();
    let (om, link, sender) = (om.clone(), link.clone(), sender.clone());
    std::thread::spawn(move || {
        while let Ok(first) = asked.recv() {
            let mut all: Vec<Wish> = std::iter::once(first).chain(asked.try_iter()).collect();
            // Of what is only looked at, the last counts.
            let is_look = |wish: &Wish| matches!(wish, Wish::Load(..));
            let last = all.iter().rposition(is_look);
            let mut at = 0;
            all.retain(|wish| {
                at += 1;
                !is_look(wish) || last == Some(at - 1)
            });
            for wish in all {
                if let Some(answer) = ask::answer(&om, &link, wish)
                    && sender.send(News::Answer(answer)).is_err()
                {
                    return;
                }
            }
        }
    });
    wishes
}

/// Reads the cluster at each change, through restarts of the daemon.
fn follow(link: &Link, selector: &str, sender: &Sender<News>) {
    let (link, selector, sender) = (link.clone(), selector.to_owned(), sender.clone());
    std::thread::spawn(move || {
        loop {
            let changes = Changes::quietly(&link);
            loop {
                if sender.send(News::Answer(ask::cluster(&link, &selector))).is_err() {
                    return;
                }
                if !changes.wait(None) {
                    break;
                }
                std::thread::sleep(MERGE);
                changes.forget();
            }
            std::thread::sleep(AGAIN);
        }
    });
}

fn listen(sender: Sender<News>) {
    std::thread::spawn(move || {
        loop {
            let news = match event::read() {
                Ok(Event::Key(key)) if key.kind == KeyEventKind::Release => continue,
                Ok(Event::Key(key)) => match read(key.code, key.modifiers) {
                    Some(key) => News::Key(key),
                    None => continue,
                },
                Ok(Event::Resize(..)) => News::Resized,
                Ok(_) => continue,
                Err(error) => News::Deaf(format!("the terminal is gone: {error}")),
            };
            let is_deaf = matches!(news, News::Deaf(_));
            if sender.send(news).is_err() || is_deaf {
                return;
            }
        }
    });
}

fn read(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    Some(match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Key::Interrupt,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Tab => Key::Tab,
        _ => return None,
    })
}
