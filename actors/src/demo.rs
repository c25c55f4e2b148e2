//! The demo: the main job on an embedded default, told as it happens.
