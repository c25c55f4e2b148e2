//! What a rotation of the secret writes into cluster.conf: the next one is handed out, it is used, the one before goes.

use std::fmt;

use crate::ini::error::IniError;
use crate::ini::{Change, Ini};
use crate::node::settings::{NodeSettings, Secret};

/// Why the secret of a cluster is not rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotateError {
    /// It is not where all nodes share it.
    Place(&'static str),
    /// The last rotation is not over.
    Running,
    /// There is nothing of the kind to go on with: another node did it, or somebody edited the file.
    Changed,
    /// Something can not be written.
    Ini(IniError),
}

impl fmt::Display for RotateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(reason) => f.write_str(reason),
            Self::Running => f.write_str("the last rotation of the secret is not over"),
            Self::Changed => f.write_str("cluster.conf changed meanwhile"),
            Self::Ini(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RotateError {}

impl From<IniError> for RotateError {
    fn from(error: IniError) -> Self {
        Self::Ini(error)
    }
}

impl NodeSettings {
    /// Whether the secret stands where all nodes share it: in cluster.conf, the same for all of them.
    ///
    /// # Errors
    ///
    /// [`RotateError::Place`], with what to do about it.
    pub fn check_secret_is_shared(&self) -> Result<(), RotateError> {
        let is_secret = |written: &str| {
            written == "secret" || written.starts_with("secret@") || written.starts_with("secret_")
        };
        if self.conf.node.keywords("cluster").any(|(written, _)| is_secret(written)) {
            return Err(RotateError::Place(
                "its node.conf sets cluster.secret: unset it there (`om node unset --kw cluster.secret`) once cluster.conf has \
                 the same",
            ));
        }
        let cluster = self.conf.cluster.ini();
        if cluster.keywords("cluster").any(|(written, _)| written.starts_with("secret@")) {
            return Err(RotateError::Place("its cluster.conf sets a secret for some nodes only"));
        }
        match cluster.get("cluster", "secret") {
            Some(written) if self.secret.as_ref().is_some_and(|it| it.expose() == written) => {
                Ok(())
            }
            Some(_) | None => Err(RotateError::Place(
                "its cluster.conf has no secret of its own, but a reference to one",
            )),
        }
    }
}

fn generation(cluster: &Ini) -> u32 {
    let written = cluster.get("cluster", "secret_generation");
    written.and_then(|written| written.trim().parse().ok()).unwrap_or(1)
}

fn is_set(cluster: &Ini, keyword: &str) -> bool {
    cluster.get("cluster", keyword).is_some_and(|value| !value.is_empty())
}

fn set(keyword: &str, value: &str) -> Change {
    Change::Set { section: "cluster".into(), keyword: keyword.into(), value: value.into() }
}

fn unset(keyword: &str) -> Change {
    Change::Unset { section: "cluster".into(), keyword: keyword.into() }
}

/// Adds the next secret, to be handed out to all nodes.
///
/// # Errors
///
/// [`RotateError::Running`] while there is one, or one before; [`RotateError::Ini`].
pub fn offer_secret(cluster: &mut Ini, next: &str) -> Result<(), RotateError> {
    if is_set(cluster, "secret_next") || is_set(cluster, "secret_previous") {
        return Err(RotateError::Running);
    }
    let generation = generation(cluster).to_string();
    cluster.apply(&[set("secret_generation", &generation), set("secret_next", next)])?;
    Ok(())
}

/// Makes the next secret the one in force, if it still is `next`; the one in force stays as the one before. The same on
/// whichever node: two that do it at once write the same file.
///
/// # Errors
///
/// [`RotateError::Changed`], [`RotateError::Ini`].
pub fn use_next_secret(cluster: &mut Ini, next: &Secret) -> Result<(), RotateError> {
    let old = cluster.get("cluster", "secret").map(str::to_owned).ok_or(RotateError::Changed)?;
    if cluster.get("cluster", "secret_next") != Some(next.expose()) {
        return Err(RotateError::Changed);
    }
    let generation = generation(cluster).checked_add(1).ok_or(RotateError::Changed)?;
    cluster.apply(&[
        set("secret", next.expose()),
        set("secret_generation", &generation.to_string()),
        set("secret_previous", &old),
        unset("secret_next"),
    ])?;
    Ok(())
}

/// Removes the secret before the one in force, if that still is `secret`.
///
/// # Errors
///
/// [`RotateError::Changed`], [`RotateError::Ini`].
pub fn drop_previous_secret(cluster: &mut Ini, secret: &Secret) -> Result<(), RotateError> {
    if cluster.get("cluster", "secret") != Some(secret.expose())
        || !is_set(cluster, "secret_previous")
    {
        return Err(RotateError::Changed);
    }
    cluster.apply(&[unset("secret_previous")])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::NodeName;

    use super::*;

    const S1: &str = "secret-of-the-first-gen";
    const S2: &str = "secret-of-the-second-gen";
    const START: &str = "[cluster]\nid = i\nsecret = secret-of-the-first-gen\nnodes = n1 n2\n";

    fn settings(cluster: &str, node: &str) -> NodeSettings {
        NodeSettings::parse(NodeName::new("n1").unwrap(), cluster, node).unwrap()
    }

    #[test]
    fn each_step_leads_to_the_next_and_every_node_follows_it() {
        let mut ini = Ini::parse(START).unwrap();
        let (s1, s2) = (Secret::new(S1), Secret::new(S2));
        let mut last = settings(START, "");
        let mut follow = |ini: &Ini| {
            let next = settings(ini.text(), "");
            assert_eq!(last.cut_off(&next), []);
            last = next.clone();
            (next.secret_generation, next.secret, next.secret_next, next.secret_previous)
        };
        assert_eq!(use_next_secret(&mut ini, &s2), Err(RotateError::Changed));
        offer_secret(&mut ini, S2).unwrap();
        assert_eq!(follow(&ini), (1, Some(s1.clone()), Some(s2.clone()), None));
        assert_eq!(offer_secret(&mut ini, "another-secret-altogether"), Err(RotateError::Running));
        assert_eq!(use_next_secret(&mut ini, &s1), Err(RotateError::Changed));
        assert_eq!(drop_previous_secret(&mut ini, &s1), Err(RotateError::Changed));
        use_next_secret(&mut ini, &s2).unwrap();
        assert_eq!(follow(&ini), (2, Some(s2.clone()), None, Some(s1.clone())));
        assert_eq!(offer_secret(&mut ini, "another-secret-altogether"), Err(RotateError::Running));
        assert_eq!(drop_previous_secret(&mut ini, &s1), Err(RotateError::Changed));
        drop_previous_secret(&mut ini, &s2).unwrap();
        assert_eq!(follow(&ini), (2, Some(s2), None, None));
        offer_secret(&mut ini, S1).unwrap();
        use_next_secret(&mut ini, &s1).unwrap();
        assert_eq!(follow(&ini).0, 3);
    }

    #[test]
    fn a_secret_that_not_all_nodes_share_is_not_rotated() {
        assert_eq!(settings(START, "").check_secret_is_shared(), Ok(()));
        for (cluster, node) in [
            (START.to_owned(), "[cluster]\nsecret = secret-of-the-first-gen\n"),
            (START.to_owned(), "[cluster]\nsecret@n1 = secret-of-the-first-gen\n"),
            (START.to_owned(), "[cluster]\nsecret_next = secret-of-the-first-gen\n"),
            (format!("{START}secret@n2 = secret-of-the-first-gen\n"), ""),
            (START.replace(S1, "{env.x}") + "[env]\nx = secret-of-the-first-gen\n", ""),
        ] {
            let error = settings(&cluster, node).check_secret_is_shared().unwrap_err();
            assert!(!error.to_string().contains(S1), "{error}");
        }
    }
}
