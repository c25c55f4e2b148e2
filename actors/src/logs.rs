//! Log lines: the fan-out to stderr, the journal and the files of the node and its objects.
