//! What is asked of the machine: paths, durable writes, limits, clocks, processes.
//!
//! At work on the machine, without actors.

pub mod background;
pub mod blocking;
pub mod cgroup;
pub mod clock;
pub mod crash;
pub mod daemon_lock;
pub mod descriptor;
pub mod durable;
pub mod environment;
pub mod kernel;
pub mod last_failure;
pub mod last_words;
pub mod limits;
pub mod netlink;
pub mod paths;
pub mod pidfd;
pub mod process;
pub mod random;
pub mod regular;
pub mod rooted;
pub mod stats;
pub mod sweep;
pub mod sysrq;
pub mod watching;
