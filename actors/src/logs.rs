//! Log lines in the field's format: to files, rotated, and to stderr.
