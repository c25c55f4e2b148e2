//! The blacklist keeper: senders whose messages do not open.
