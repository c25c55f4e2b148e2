//! The router of requests: what root hands to the listener.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use wire::Request;

use crate::mail::Mail;
use crate::requests::{Caller, Outcome};

/// Has a request carried out, and answers it: what root hands to the listener.
pub type Router = fn(Arc<Mail>, Caller, Request) -> LocalBoxFuture<'static, Outcome>;
