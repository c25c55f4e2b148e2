//! What an HTTP request means, who may send it, and what its answer shows.
//!
//! Pure: the connections are the front's (`actors/front`), the requests themselves are those of `wire`.

pub mod accept;
pub mod creation;
pub mod credentials;
pub mod deployed;
pub mod failures;
pub mod filter;
pub mod frames;
pub mod grants;
pub mod http1;
mod huffman;
pub mod page;
pub mod query;
pub mod rest;
pub mod rules;
pub mod site;
pub mod status;
pub mod token;
pub mod user;
