//! Actions on the configuration: enable, disable, delete.

use std::path::Path;
use std::time::Duration;

use conf::Ini;

use super::super::driver::Failure;
use super::Act;
use crate::config::edit_lock;
use crate::durable::{self, FileLock};

/// How long another writer of the same configuration is waited for.
const EDIT_PATIENCE: Duration = Duration::from_secs(10);

impl Act<'_> {
    /// Changes the configuration file, keeping what others wrote meanwhile.
    fn edit(&self, change: impl Fn(&mut Ini) -> Result<(), Failure>) -> Result<(), Failure> {
        let paths = &self.host.paths;
        let path = &self.instance.path;
        let lock = FileLock::take(&edit_lock(paths, path), EDIT_PATIENCE)
            .map_err(Failure::io("configuration lock"))?;
        let file = paths.config_file(path);
        let text =
            std::fs::read_to_string(&file).map_err(Failure::io(file.display().to_string()))?;
        let mut ini = Ini::parse(&text).map_err(|error| Failure::refused(error.to_string()))?;
        change(&mut ini)?;
        if ini.text() != text && !self.options.dry_run {
            durable::write_newer(&file, ini.text().as_bytes(), 0o600)
                .map_err(Failure::io("configuration"))?;
        }
        drop(lock);
        Ok(())
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
        for word in self.selection.rids() {
            let sections = self.sections_of(ini, word);
            if sections.is_empty() {
                return Err(Failure::refused(format!("no such section: {word}")));
            }
            found.extend(sections);
        }
        Ok(found)
    }

    /// `enable`, `disable`: of the object, or of the named resources.
    pub(super) fn enable(&self, is_enabled: bool) -> Result<(), Failure> {
        self.edit(|ini| {
            let sections = if self.selection.rids().is_empty() {
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

    /// `delete`: the object with all that belongs to it, or the named sections.
    pub(super) fn delete(&self) -> Result<(), Failure> {
        if !self.selection.rids().is_empty() {
            let dry = if self.options.dry_run { "dry run: would " } else { "" };
            return self.edit(|ini| {
                for section in self.named_sections(ini)? {
                    self.instance.journal.info(format_args!("{dry}delete section {section}"));
                    ini.remove_section(&section);
                }
                Ok(())
            });
        }
        let paths = &self.host.paths;
        let path = &self.instance.path;
        if self.options.dry_run {
            self.instance.journal.info(format_args!("dry run: would delete the object"));
            return Ok(());
        }
        self.instance.journal.info(format_args!("delete"));
        let lock = FileLock::take(&edit_lock(paths, path), EDIT_PATIENCE)
            .map_err(Failure::io("configuration lock"))?;
        durable::remove(&paths.config_file(path)).map_err(Failure::io("delete"))?;
        drop(lock);
        let var = paths.var_dir(path);
        let log = paths.log_file(path);
        for folder in [paths.launchers(path), var] {
            remove_tree(&folder)?;
        }
        let older = log.with_extension("log.1");
        for file in [log, older] {
            durable::remove(&file).map_err(Failure::io("delete"))?;
        }
        Ok(())
    }
}

fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "y" | "t" | "1")
}

fn remove_tree(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(folder.display().to_string())(error))
        }
        _ => Ok(()),
    }
}
