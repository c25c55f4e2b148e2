//! Reading, judging and editing the configuration files.
//!
//! At work on the machine, without actors.

pub mod certificates;
pub mod context;
pub mod deletions;
pub mod edit;
pub mod evaluate;
pub mod fetched;
pub mod first_start;
pub mod followed;
pub mod in_force;
mod judging;
pub mod known_id;
pub mod last_good;
pub mod load;
pub mod networks;
pub mod pool;
pub mod read;
pub mod rejected;
mod target;
pub mod versions;
