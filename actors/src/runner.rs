//! The runner: child processes of instance actions, and evaluations of instances.
