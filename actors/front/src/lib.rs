//! The front: answers whoever speaks HTTP, in 2 and in 1.1, and carries nothing out by itself.
//!
//! A connection is told apart by its first bytes, each request is mapped onto the table of requests (`web`), handed to the
//! router that root gave, and answered as its client reads answers: a document, pushed responses, server-sent events, or
//! lines.

mod answer;
mod api;
mod body;
mod connection;
mod exchange;
mod guesses;
mod handshakes;
mod head;
mod identity;
mod page;
mod patience;
mod peer;
mod proved;
mod provider;
mod refusal;
mod revocations;
mod rooms;
mod scrape;
pub mod shared;
pub mod socket;
mod tenure;
pub mod tls;
mod work;
