//! What a configuration of an object comes to, and whether it is worse than another.

use conf::{Complaint, Context, ObjectConf, Severity};
use model::{Kind, ObjectSettings};

/// What the monitors need of an object, and what is wrong with it: what cannot be read, what makes it no good configuration,
/// what it does not mean as it says, and what it asks for in vain.
pub fn evaluate(conf: &ObjectConf, context: &Context) -> (ObjectSettings, Vec<Complaint>) {
    let (settings, found) = conf.settings(context);
    if conf.path().kind() == Kind::Ccfg {
        return (settings, found);
    }
    // In the words of who judges files before they are written.
    let mut complaints = conf.validate(context);
    complaints.retain(|each| each.is_refused() || each.is_unread());
    Complaint::merge(&mut complaints, found);
    (settings, complaints)
}

/// Whether there is an error that was not there before.
pub fn adds_errors(old: &[Complaint], new: &[Complaint]) -> bool {
    new.iter().any(|each| each.severity == Severity::Error && !each.is_among(old))
}
