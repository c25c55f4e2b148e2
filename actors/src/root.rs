//! The root supervisor: starts, watches, restarts and stops every other actor.
