//! Actions on the configuration: enable, disable, delete.
//!
//! Part of the `impl` of [`Act`], in a file of its own for its length.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use conf::{Complaint, Ini, ObjectConf, Severity};
use model::NodeName;
use serde_json::Value;

use files::deletions::note_without_daemon;
use files::edit::{Locked, Target, Writer};
use files::last_good::copy_of;
use machine::durable;
use machine::durable::FileLock;
use machine::regular::modified;

use crate::action::Act;
use crate::announce;
use crate::failure::Failure;

/// How long an evaluation under way is waited for before what it writes is removed.
const EVALUATION_PATIENCE: Duration = Duration::from_secs(2);

/// How often a folder is removed again that somebody writes in.
const REMOVE_TRIES: u32 = 50;

/// Between two tries.
const REMOVE_PAUSE: Duration = Duration::from_millis(20);

/// How long peers may take to learn that this node is none of the object's any more.
const PEERS_PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at what they know.
const PEERS_PAUSE: Duration = Duration::from_millis(100);

impl Act<'_> {
    /// Changes the configuration file, keeping what others wrote meanwhile.
    fn edit(&self, change: impl Fn(&mut Ini) -> Result<(), Failure>) -> Result<(), Failure> {
        let locked = self.locked()?;
        let file = locked.file();
        let text =
            machine::regular::read_text(file).map_err(Failure::io(file.display().to_string()))?;
        let mut ini = Ini::parse(&text).map_err(|error| Failure::refused(error.to_string()))?;
        change(&mut ini)?;
        if ini.text() != text && !self.options.dry_run {
            locked.write(ini.text()).map_err(Failure::io("configuration"))?;
        }
        Ok(())
    }

    /// The configuration of the object, which nobody else writes now.
    fn locked(&self) -> Result<Locked, Failure> {
        let target = Target::Object(self.instance.path.clone());
        Locked::take(&self.host.paths, &target, Writer::Command)
            .map_err(Failure::io("configuration lock"))
    }

    /// Sections that a word of `--rid` names: an id, or all of a group.
    fn sections_of(&self, ini: &Ini, word: &str) -> Vec<String> {
        let is_named = |section: &&str| {
            *section == word || section.split_once('#').is_some_and(|(group, _)| group == word)
        };
        ini.sections().filter(is_named).map(str::to_owned).collect()
    }

    /// Sections that `--rid` names; that a word names none is an error.
    fn named_sections(&self, ini: &Ini) -> Result<Vec<String>, Failure> {
        let mut found = vec![];
        // What resources are chosen by, sections without a driver have not.
        if self.selection.is_by_trait() {
            let chosen = self.instance.resources.iter().filter(|one| self.selection.has(one));
            found.extend(chosen.map(|one| one.rid.to_string()));
            return match found.is_empty() {
                true => Err(Failure::refused("no resource matches --rid, --tags and --subsets")),
                false => Ok(found),
            };
        }
        for word in self.selection.rids() {
            let sections = self.sections_of(ini, word);
            if sections.is_empty() {
                let near = model::nearest(word, ini.sections());
                let near = near.map(|near| format!(": did you mean {near}?")).unwrap_or_default();
                return Err(Failure::refused(format!("no such section: {word}{near}")));
            }
            found.extend(sections);
        }
        Ok(found)
    }

    /// `enable`, `disable`: of the object, or of the named resources.
    pub(super) fn enable(&self, is_enabled: bool) -> Result<(), Failure> {
        if !is_enabled && self.instance.path.kind().has_instances() {
            self.tell_what_goes_on();
        }
        self.edit(|ini| {
            let sections = if self.selection.is_all() {
                vec!["DEFAULT".to_owned()]
            } else {
                self.named_sections(ini)?
            };
            let dry = if self.options.dry_run { "dry run: would " } else { "" };
            let journal = &self.instance.journal;
            for section in sections {
                // A scoped value that says otherwise would win.
                let contradicting: Vec<String> = ini
                    .keywords(&section)
                    .filter(|(keyword, value)| {
                        keyword.starts_with("disable@") && is_true(value) == is_enabled
                    })
                    .map(|(keyword, _)| keyword.to_owned())
                    .collect();
                let has_contradicting = !contradicting.is_empty();
                for keyword in contradicting {
                    journal.info(format_args!("{dry}remove {section}.{keyword}"));
                    ini.unset(&section, &keyword);
                }
                if is_enabled {
                    if ini.unset(&section, "disable") {
                        journal.info(format_args!("{dry}remove {section}.disable"));
                    } else if self.options.dry_run && !has_contradicting {
                        journal.info(format_args!("dry run: {section} is not disabled"));
                    }
                } else {
                    journal.info(format_args!("{dry}set {section}.disable = true"));
                    ini.set(&section, "disable", "true")
                        .map_err(|error| Failure::refused(error.to_string()))?;
                }
            }
            Ok(())
        })
    }

    /// What is wrong with a configuration of the object.
    fn mistakes(&self, ini: &Ini) -> Result<Vec<Complaint>, Failure> {
        let (path, context) = (self.instance.path.clone(), &self.instance.context);
        let conf = ObjectConf::parse(path, ini.text())
            .map_err(|error| Failure::refused(error.to_string()))?;
        let mut complaints = conf.validate(context);
        Complaint::merge(&mut complaints, conf.settings(context).1);
        Ok(complaints)
    }

    /// As any other edit, one that takes sections out adds no mistake, such as a reference to what is gone.
    fn refuse_new_mistakes(
        &self,
        before: &[Complaint],
        after: &[Complaint],
    ) -> Result<(), Failure> {
        let is_refused = |complaint: &&Complaint| match self.options.force {
            true => complaint.severity == Severity::Error,
            false => complaint.is_refused(),
        };
        let fresh = after.iter().filter(|complaint| !complaint.is_among(before));
        let refused: Vec<String> = fresh.filter(is_refused).map(ToString::to_string).collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(Failure::refused(format!("nothing is deleted: {}", refused.join("; "))))
    }

    /// `delete`: the object with all that belongs to it, or the named sections.
    pub(super) fn delete(&self) -> Result<(), Failure> {
        if !self.selection.is_all() {
            let dry = if self.options.dry_run { "dry run: would " } else { "" };
            if !self.options.dry_run && self.instance.path.kind().has_instances() {
                // A mistyped name is told before what others run.
                self.named_sections(self.instance.conf.ini())?;
                self.stop_before_edit()?;
            }
            return self.edit(|ini| {
                let before = self.mistakes(ini)?;
                for section in self.named_sections(ini)? {
                    self.instance.journal.info(format_args!("{dry}delete section {section}"));
                    ini.remove_section(&section);
                }
                self.refuse_new_mistakes(&before, &self.mistakes(ini)?)
            });
        }
        let paths = &self.host.paths;
        let path = &self.instance.path;
        if self.options.dry_run {
            self.instance.journal.info(format_args!("dry run: would delete the object"));
            return Ok(());
        }
        if self.is_left_to_daemon()? {
            return Ok(());
        }
        self.leave_peers()?;
        self.instance.journal.info(format_args!("delete"));
        let locked = self.locked()?;
        // The copy of a last good content, too: an object of the same name is another one.
        for file in [paths.config_file(path), copy_of(paths, &path.config_file())] {
            durable::remove(&file).map_err(Failure::io("delete"))?;
        }
        drop(locked);
        let var = paths.var_dir(path);
        let log = paths.log_file(path);
        remove_tree(&paths.launchers(path))?;
        // An evaluation that is under way goes on writing there; the next one finds no configuration, and writes nothing.
        let evaluation = FileLock::take(&var.join("lock.status"), EVALUATION_PATIENCE);
        remove_tree(&var)?;
        drop(evaluation);
        let older = log.with_extension("log.1");
        for file in [log, older] {
            durable::remove(&file).map_err(Failure::io("delete"))?;
        }
        Ok(())
    }
}

impl Act<'_> {
    /// Of what has no instances, all nodes have the same: an operator who deletes it on one node deletes it, and the daemon
    /// sees to that. Without a daemon, the next one is told.
    fn is_left_to_daemon(&self) -> Result<bool, Failure> {
        let path = &self.instance.path;
        if self.is_from_daemon || path.kind().has_instances() {
            return Ok(false);
        }
        let paths = &self.host.paths;
        if announce::delete(paths, path)
            .map_err(|reason| Failure::refused(format!("delete: {reason}")))?
        {
            return Ok(true);
        }
        let file = paths.config_file(path);
        let updated = std::fs::metadata(&file).map(|metadata| modified(&metadata)).ok();
        let ini = machine::regular::read_text(&file).ok().and_then(|text| Ini::parse(&text).ok());
        let id = ini.as_ref().and_then(|ini| ini.get("DEFAULT", "id")).map(str::to_owned);
        note_without_daemon(paths, path, id, updated).map_err(Failure::io("deletion"))?;
        Ok(false)
    }

    /// Before a deletion that an operator asked for on this node alone: the peers keep the object, and are told that this
    /// node is none of its nodes any more. Else they would bring it back.
    fn leave_peers(&self) -> Result<(), Failure> {
        let (here, settings) = (&self.host.nodename, &self.instance.settings);
        let without = |nodes: &[NodeName]| -> Option<Vec<String>> {
            let rest = nodes.iter().filter(|node| *node != here).map(NodeName::to_string);
            nodes.contains(here).then(|| rest.collect())
        };
        let is_shared = settings.nodes.iter().chain(&settings.drpnodes).any(|node| node != here);
        if self.is_from_daemon || !self.instance.path.kind().has_instances() || !is_shared {
            return Ok(());
        }
        let lists =
            [("nodes", without(&settings.nodes)), ("drpnodes", without(&settings.drpnodes))];
        self.edit(|ini| {
            for (keyword, rest) in &lists {
                match rest.as_deref() {
                    None => {}
                    Some([]) => _ = ini.unset("DEFAULT", keyword),
                    Some(rest) => {
                        ini.set("DEFAULT", keyword, &rest.join(" "))
                            .map_err(|error| Failure::refused(error.to_string()))?;
                    }
                }
            }
            Ok(())
        })?;
        let journal = &self.instance.journal;
        journal.info(format_args!("{here} is none of its nodes any more"));
        let start = Instant::now();
        while self.is_on_peers() {
            if start.elapsed() > PEERS_PATIENCE {
                journal.warn(format_args!("not all peers know that: they may bring it back"));
                break;
            }
            std::thread::sleep(PEERS_PAUSE);
        }
        Ok(())
    }

    /// Whether a peer that lives still takes this node for one of the object's.
    fn is_on_peers(&self) -> bool {
        let (here, path) = (self.host.nodename.as_str(), self.instance.path.as_str());
        let Some(known) = announce::known(&self.host.paths, &self.instance.path) else {
            return false;
        };
        let known = known.get("data").unwrap_or(&known);
        let nodes = known.pointer("/monitor/nodes").and_then(Value::as_object);
        nodes.into_iter().flatten().filter(|(node, _)| *node != here).any(|(_, data)| {
            let scope = data["services"]["config"][path]["scope"].as_array();
            scope.is_some_and(|scope| scope.iter().any(|node| node == here))
        })
    }
}

fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "y" | "t" | "1")
}

/// Removes a folder with all that is in it, also what is written meanwhile.
fn remove_tree(folder: &Path) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && tries < REMOVE_TRIES => {
                tries += 1;
                std::thread::sleep(REMOVE_PAUSE);
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::io(folder.display().to_string())(error));
            }
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_folder_is_removed_while_others_write_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let is_done = Arc::new(AtomicBool::new(false));
        let (target, stop) = (folder.path().join("svc1"), is_done.clone());
        std::fs::create_dir_all(&target).unwrap();
        let writer = {
            let target = target.clone();
            std::thread::spawn(move || {
                let mut number = 0_u64;
                // As an evaluation: it ends some time.
                while !stop.load(Ordering::Relaxed) && number < 20_000 {
                    number += 1;
                    _ = std::fs::write(target.join(format!("status.{number}")), "");
                }
            })
        };
        for _ in 0..50 {
            remove_tree(&target).unwrap();
            std::fs::create_dir_all(&target).unwrap();
        }
        is_done.store(true, Ordering::Relaxed);
        writer.join().unwrap();
    }
}
