//! The command line at work: what `om` does once its arguments are read.
