//! An evaluation that is written: the status of the instance, and what is remembered of each resource.

use std::collections::BTreeSet;
use std::sync::Arc;

use machine::clock;
use model::InstanceStatus;

use crate::driver::Instance;
use crate::evaluation::{Evaluation, Watch};
use crate::host::Host;
use crate::{evaluation, status_file};

/// Evaluates and writes.
pub(crate) fn refresh(
    host: &Host,
    instance: &Arc<Instance>,
    previous: Option<&InstanceStatus>,
    known: Option<&Watch>,
    rids: Option<&BTreeSet<String>>,
) -> Evaluation {
    let found = evaluation::evaluate(host, instance, clock::now(), previous, known, rids);
    let same = previous.is_some_and(|previous| previous.csum == found.status.csum);
    // The file of an unchanged instance is still renewed: deployed agents compare its time with that of the configuration.
    let written = status_file::write(&host.paths, &instance.path, &found.status);
    if let Err(error) = written
        && !same
    {
        instance.journal.warn(format_args!("{error}"));
    }
    found
}
