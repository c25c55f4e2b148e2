//! Certificates: who is trusted, who is revoked, what ends.
//!
//! Values in, values out: [`Certificate`] and [`PrivateKey`] are read from PEM, [`Trust`] judges the certificates of
//! clients, [`tls`] makes of them what rustls asks for, [`Order::make`] makes new ones. The time is an argument. Randomness is
//! that of ring, where a key is made or signs.

mod certificate;
mod expiry;
mod index;
mod key;
mod make;
mod pem;
mod pkcs12;
mod revocations;
mod time;
pub mod tls;
mod trust;
mod user;

pub use certificate::Certificate;
pub use expiry::{
    Expiry, RENEW_AT_LEAST, Standing, WARN_AUTHORITY, WARN_LEAF, expiry, told_before,
};
pub use index::{Index, Revoked};
pub use key::PrivateKey;
pub use make::{Issuer, LIST_DAYS, Made, MakeError, Order, Purpose, Subject, next_number};
pub use pem::{PemError, certificates};
pub use pkcs12::pkcs12;
pub use revocations::{RENEW_LIST, RevocationList};
pub use trust::{LONGEST_CHAIN, Refusal, Trust};
pub use user::{UserError, user_of};
