//! Small keepers: of the blacklist, the secrets of the cluster, its certificates, the relay, the logs and the histories.

pub mod blacklist;
pub mod certificates;
pub mod history;
pub mod log;
pub mod relay;
pub mod secrets;
