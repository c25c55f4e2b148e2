//! Certificates of sec and usr objects: made, made anew, revoked. What is in one is decided by `certs`; here are the files.

mod cluster;
mod created;
mod revoked;
mod store;

pub use cluster::{add_authority_of_users, ensure_at_first_start, ensure_cluster};
pub use created::{add_to_new, prepare_user};
pub use revoked::{list_again, revoke};
pub use store::{
    CERTIFICATE, CHAIN, INDEX, LIST, NUMBER, Notes, PRIVATE_KEY, Store, missing_names,
};
