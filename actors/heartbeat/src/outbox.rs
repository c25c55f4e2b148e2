//! What a transmitter works with.

use std::sync::Arc;

use crate::beat::Beats;
use crate::note::Notes;
use dataset::heartbeats::section::Section;

/// What a transmitter works with.
pub(crate) struct Outbox {
    pub(crate) section: Arc<Section>,
    pub(crate) beats: Beats,
    pub(crate) notes: Notes,
}
