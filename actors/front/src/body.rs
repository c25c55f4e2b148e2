//! The body of a request: read within limits of size, time, and memory of all together.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};
use web::deployed::Bad;

use crate::answer::Answer;
use crate::rooms::Part;

/// Longest pause between two pieces of a body.
const PIECE_PATIENCE: Duration = Duration::from_secs(30);

/// How long a body may take as a whole.
const WHOLE_PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no next piece.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The client is gone.
    Gone,
    /// What it sends is no body, or cannot be answered.
    Bad(Bad),
    /// It is answered this.
    Answered(Box<Answer>),
}

/// A client that sends a body, and may go away.
pub(crate) trait Client {
    /// Whether it is known that no piece comes any more.
    fn is_done(&self) -> bool {
        false
    }

    /// The next piece; none at the end.
    async fn piece(&mut self) -> Option<Result<Bytes, Broken>>;

    /// Returns when the client goes away.
    async fn gone(&mut self);
}

/// A body, and what it holds.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    held: Part,
}

/// Reads a body of at most `most` bytes, in this part of the room for all.
pub(crate) async fn read(
    client: &mut impl Client,
    part: Part,
    most: usize,
) -> Result<Body, Broken> {
    let mut body = Body { bytes: vec![], held: part };
    if client.is_done() {
        return Ok(body);
    }
    let end = Instant::now() + WHOLE_PATIENCE;
    let late = || Broken::Bad(Bad::of(408, "the body did not arrive in time"));
    loop {
        let piece = timeout(PIECE_PATIENCE, timeout_at(end, client.piece())).await;
        let Some(piece) = piece.map_err(|_| late())?.map_err(|_| late())? else {
            return Ok(body);
        };
        let piece = piece?;
        if body.bytes.len() + piece.len() > most {
            return Err(Broken::Bad(Bad::of(
                413,
                &format!("the body is longer than {most} bytes"),
            )));
        }
        if !body.held.take(piece.len()) {
            return Err(Broken::Bad(Bad::of(503, "too many bodies are on their way: try again")));
        }
        body.bytes.extend_from_slice(&piece);
    }
}
