//! A user, and what it proved: what the answer to "who asks?" is made of.

use std::sync::Arc;

use web::user::User;

use crate::tenure::Basis;

/// A user, and what it proved.
#[derive(Debug, Clone)]
pub(crate) struct Proved {
    pub(crate) user: Arc<User>,
    pub(crate) basis: Arc<Basis>,
}

impl Proved {
    /// A user that nothing undoes.
    pub(crate) fn lasting(user: Arc<User>) -> Self {
        Self { user, basis: Arc::default() }
    }

    /// A user that proved that.
    pub(crate) fn new(user: User, basis: Basis) -> Self {
        Self { user: Arc::new(user), basis: Arc::new(basis) }
    }
}
