//! The scheduler: periodic evaluations, tasks and syncs.
