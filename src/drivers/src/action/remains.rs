//! Which of what is left of an instance an action ends.

use crate::driver::Resource;

/// Which of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// That of resources which are not configured any more.
    Removed,
    /// That, and what a stop of the whole instance is to have ended, of whatever type its resources are now. A task that
    /// runs is none of it, nor what stays by itself.
    Stopped {
        /// Standby resources were stopped too.
        with_standby: bool,
    },
    /// That of the resources that the command line names, disabled or not.
    Named,
    /// All of it, but what the tag `noaction` keeps from us, and what is in a guest.
    All,
}

impl Left {
    pub(crate) fn is_of(self, resource: &Resource) -> bool {
        match self {
            // Not for a resource alone to tell.
            Self::Removed | Self::Named => false,
            Self::Stopped { with_standby } => {
                !resource.is_untouchable()
                    && !resource.is_optional
                    && (with_standby || !resource.is_standby)
                    && resource.rid.group() != "task"
            }
            Self::All => !resource.is_encap && !resource.tags.contains("noaction"),
        }
    }
}
