//! The command line: arguments to requests, replies to text.
