//! The control socket: plain requests of the local root user.
