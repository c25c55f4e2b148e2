//! What a stream is made of.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

/// One item: a document as JSON text; an empty one keeps the connection alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its text.
    pub text: Arc<str>,
    /// Its number among all items of this daemon, where those are counted: see [`life`].
    pub number: Option<u64>,
    /// Where it ends in what is followed, where that has places: see [`Since::place`].
    pub place: Option<Arc<str>>,
}

impl<T: Into<Arc<str>>> From<T> for Item {
    fn from(text: T) -> Self {
        Self { text: text.into(), number: None, place: None }
    }
}

impl Item {
    /// One that counts among all items of this daemon.
    #[must_use]
    pub fn numbered(text: Arc<str>, number: u64) -> Self {
        Self { text, number: Some(number), place: None }
    }

    /// One that ends at this place.
    #[must_use]
    pub fn placed(text: Arc<str>, place: &str) -> Self {
        Self { text, number: None, place: Some(place.into()) }
    }

    /// What its reader comes back with: `<life>.<number>`, or `<life>.<place>`.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match (&self.place, self.number) {
            (Some(place), _) => Some(format!("{}.{place}", life())),
            (None, Some(number)) => Some(format!("{}.{number}", life())),
            (None, None) => None,
        }
    }
}

impl Deref for Item {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

/// Tells this run of the daemon from all others: the numbers of items are those of one run. 16 hex digits, drawn at start.
#[must_use]
pub fn life() -> &'static str {
    static LIFE: LazyLock<String> = LazyLock::new(|| format!("{:016x}", machine::process::draw()));
    &LIFE
}

/// Where somebody who was told items before goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// The id as it was given.
    pub id: String,
    /// The number of the last item that was told; none where the id is that of no item of this run.
    pub number: Option<u64>,
    /// Why there is none: `boot` for another run, `unknown` for what is no id.
    pub reason: &'static str,
}

impl Since {
    /// The place that an id names: a place outlives the daemon that told it.
    #[must_use]
    pub fn place(id: &str) -> Option<&str> {
        let (life, place) = id.split_once('.')?;
        let is_life = life.len() == 16 && life.bytes().all(|it| it.is_ascii_hexdigit());
        (is_life && !place.is_empty()).then_some(place)
    }

    /// Reads an id: `<life>.<number>`.
    #[must_use]
    pub fn read(id: &str) -> Self {
        let id: String = id.chars().take(100).collect();
        let (number, reason) = match id.split_once('.') {
            Some((own, number)) if own == life() => (number.parse().ok(), "unknown"),
            Some((other, number)) => {
                let is_life = other.len() == 16 && other.bytes().all(|it| it.is_ascii_hexdigit());
                let is_id = is_life && number.parse::<u64>().is_ok();
                (None, if is_id { "boot" } else { "unknown" })
            }
            None => (None, "unknown"),
        };
        Self { id, number, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_this_run_is_told_from_those_of_others() {
        let read = |id: &str| {
            let since = Since::read(id);
            (since.number, since.reason)
        };
        assert_eq!(read(&format!("{}.12", life())), (Some(12), "unknown"));
        assert_eq!(read("0123456789abcdef.12"), (None, "boot"));
        for id in ["", "12", "x.y", "0123456789abcdef.", &"9".repeat(10_000)] {
            assert_eq!(read(id), (None, "unknown"), "{id:.20}");
        }
        assert_eq!(life().len(), 16);
    }
}
