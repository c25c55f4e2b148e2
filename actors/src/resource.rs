//! Instance actions, instance evaluation and resource drivers.
