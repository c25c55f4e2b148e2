//! `edit config` of a file of this node.

use std::path::PathBuf;
use std::sync::Arc;

use cli::render::diff;
use conf::NodeSettings;
use files::context;
use files::edit::{Locked, Writer};
use machine::regular;

use crate::config_edit::document::{Document, Owner};
use crate::config_edit::editor::{self, Draft, Editing, Home, insists};
use crate::config_edit::mistakes::{
    judging, refuse_ejection, refuse_new_mistakes, settings, step_faults,
};
use crate::om::{Failure, Om, say};

pub(super) fn edit(om: &Om, owner: &Owner, how: Editing, editor: &str) -> Result<(), Failure> {
    editor::edit(&Here { om, owner, settings: settings(om)? }, how, editor)
}

/// A file of this node.
struct Here<'a> {
    om: &'a Om,
    owner: &'a Owner,
    settings: NodeSettings,
}

impl Here<'_> {
    fn file(&self) -> PathBuf {
        self.owner.file(&self.om.paths)
    }

    /// The file as it lies there; empty without one.
    fn text(&self) -> Result<String, Failure> {
        let file = self.file();
        match regular::read_text(&file) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(Failure::new(format!("{}: {error}", file.display()))),
        }
    }
}

impl Home for Here<'_> {
    fn draft(&self) -> Result<Draft, Failure> {
        Ok(Draft::of_file(&self.om.paths.tmp, self.owner.words(), self.file()))
    }

    fn read(&self) -> Result<String, Failure> {
        // Also refuses an object that is not here.
        match Document::read(self.om, self.owner, &self.settings) {
            Ok(document) => Ok(document.text().to_owned()),
            // A file that does not even parse is what an edit is for.
            Err(_) if self.file().exists() => self.text(),
            Err(failure) => Err(failure),
        }
    }

    fn put(
        &self,
        draft: &Draft,
        (original, text): (&str, &str),
        force: bool,
    ) -> Result<(), Failure> {
        let (om, owner, settings) = (self.om, self.owner, &self.settings);
        let locked = Locked::take(&om.paths, owner, Writer::Command).map_err(Failure::from)?;
        draft.check_base(&self.text()?)?;
        say(&diff(original, text).to_string());
        if let Err(refusal) = judge(om, owner, settings, (original, text), force) {
            // Who sits there may insist, as with --force; what is no configuration is not written for anybody.
            if force || !insists(&refusal)? {
                return Err(refusal);
            }
            judge(om, owner, settings, (original, text), true)?;
        }
        locked.write(text).map_err(Failure::from)
    }
}

/// Refuses what would add mistakes, or take members out of the cluster.
pub(super) fn judge(
    om: &Om,
    owner: &Owner,
    settings: &NodeSettings,
    (original, text): (&str, &str),
    force: bool,
) -> Result<(), Failure> {
    let document = Document::parse(owner, settings, text)?;
    let context = context::context(
        &om.paths,
        &NodeSettings::new(match &document {
            Document::Node(conf) => Arc::new(conf.clone()),
            Document::Object(_) => Arc::clone(&settings.conf),
        }),
    );
    let context = judging(om, context, [], text);
    // As with `set`: what was wrong before may stay.
    let before = Document::parse(owner, settings, original);
    let before = before.map(|before| before.validate(&context)).unwrap_or_default();
    let mut complaints = document.validate(&context);
    complaints.extend(step_faults(om, &document, &context));
    refuse_new_mistakes(&owner.words(), &before, &complaints, force)?;
    if !force {
        refuse_ejection(om, &document, &context)?;
    }
    Ok(())
}
