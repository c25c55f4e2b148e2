//! Steps of a rotation, written into the configuration of the cluster under its lock.

use conf::{NodeSettings, RotateError, Secret};
use files::edit::{Target, edit_now};
use machine::crash;
use machine::paths::Paths;
use model::ObjectPath;
use monitor::RotationStep;

pub(super) fn write_step(
    paths: &Paths,
    node: &NodeSettings,
    step: RotationStep,
) -> Result<(), String> {
    let secret =
        |secret: &Option<Secret>| secret.clone().ok_or_else(|| "it has no secret".to_owned());
    let before = match step {
        RotationStep::Use => "rotate.use",
        RotationStep::Drop => "rotate.drop",
    };
    crash::point(before);
    let (next, current) = (node.secret_next.clone(), secret(&node.secret)?);
    edit_now(paths, &Target::Object(ObjectPath::cluster()), move |cluster| {
        match step {
            RotationStep::Use => conf::use_next_secret(cluster, &secret(&next)?),
            RotationStep::Drop => conf::drop_previous_secret(cluster, &current),
        }
        .map_err(|error| error.to_string())?;
        Ok((true, ()))
    })?;
    crash::point(match step {
        RotationStep::Use => "rotate.used",
        RotationStep::Drop => "rotate.dropped",
    });
    Ok(())
}

/// What an operator orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ordered {
    /// A next secret.
    Offer,
    /// To use it although some are away.
    Use,
}

pub(super) fn write_ordered(
    paths: &Paths,
    node: &NodeSettings,
    ordered: Ordered,
) -> Result<(), String> {
    match ordered {
        Ordered::Use => write_step(paths, node, RotationStep::Use),
        Ordered::Offer => {
            let next = machine::random::random_secret();
            edit_now(paths, &Target::Object(ObjectPath::cluster()), move |cluster| {
                match conf::offer_secret(cluster, &next) {
                    Ok(()) => Ok((true, ())),
                    // Somebody else was faster: that one is waited for.
                    Err(RotateError::Running) => Ok((false, ())),
                    Err(error) => Err(error.to_string()),
                }
            })?;
            crash::point("rotate.offered");
            Ok(())
        }
    }
}
