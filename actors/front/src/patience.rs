//! How long a client may take.

use std::time::Duration;

/// The head of a request, or what a connection of HTTP/2 begins with, may take so long to arrive.
pub(crate) const HEAD: Duration = Duration::from_secs(10);

/// A client may not read its answer for so long.
pub(crate) const READER: Duration = Duration::from_secs(30);

/// The greeting of TLS may take so long to arrive, and as long again to be answered.
pub(crate) const GREETING: Duration = Duration::from_secs(5);

/// A greeting that comes in pieces is looked at so often.
pub(crate) const PIECE: Duration = Duration::from_millis(50);
