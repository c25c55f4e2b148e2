//! The head of a request, whichever HTTP carries it.

use std::cell::Cell;
use std::rc::Rc;

use metrics::counts::Handler;
use web::accept;

use crate::answer::Form;

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// With its query.
    pub(crate) target: Rc<str>,
    /// Values of the fields that are read, their names in small letters.
    pub(crate) fields: Vec<(String, String)>,
    /// The host that was asked.
    pub(crate) authority: Option<String>,
    /// Whether responses can be pushed.
    pub(crate) takes_pushes: bool,
    /// What it asks, once that is read, and whether that is done at once.
    pub(crate) asked: Cell<Option<(Handler, bool)>>,
}

impl Head {
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        web::http1::values(&self.fields, name).collect()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The query, with the id of the last item that the client knows: browsers send it as a header when they come back.
    pub(crate) fn query_with_last(&self) -> Option<String> {
        let query = self.query().map(str::to_owned);
        let is_told = query.as_ref().is_some_and(|query| query.contains("last_event_id="));
        let Some(last) = self.values("last-event-id").pop().filter(|_| !is_told) else {
            return query;
        };
        let is_id = |c: char| c.is_ascii_alphanumeric() || ".=,-_".contains(c);
        // What is none is told as such.
        let last = if !last.is_empty() && last.chars().all(is_id) { last } else { "none" };
        Some(format!("last_event_id={last}&{}", query.unwrap_or_default()))
    }

    /// The form in which a stream is answered.
    pub(crate) fn form(&self) -> Form {
        if accept::takes(&self.values("accept"), "text/event-stream") {
            Form::Events
        } else if self.takes_pushes {
            Form::Pushed
        } else {
            Form::Lines
        }
    }
}
