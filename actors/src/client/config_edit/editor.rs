//! `edit config`: a copy, an editor, and the copy in place of the file.
//!
//! Beside the copy lies what it was made of: an edit that was interrupted does not overwrite what others wrote since.

use std::process::Command;
use std::sync::Arc;

use conf::NodeSettings;

use super::super::{Failure, Om, note};
use super::{
    Document, MODE, Owner, PATIENCE, judging, refuse_ejection, refuse_new_mistakes, settings,
    step_faults,
};
use crate::{config, durable, regular};

/// How a file is edited.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Editing {
    /// Go on with an earlier edit.
    pub(super) recover: bool,
    /// Drop an earlier edit.
    pub(super) discard: bool,
    /// Members may be taken out of the cluster, and mistakes written.
    pub(super) force: bool,
}

pub(super) fn edit(om: &Om, owner: &Owner, how: Editing, editor: &str) -> Result<(), Failure> {
    let Editing { recover, discard, force } = how;
    let name = owner.words().replace('/', "_");
    let copy = om.paths.tmp.join(format!("{name}.conf.tmp"));
    let base = om.paths.tmp.join(format!("{name}.conf.tmp.base"));
    let drop_copy = || durable::remove(&copy).and_then(|()| durable::remove(&base));
    if discard {
        drop_copy()?;
    }
    if copy.exists() && !recover {
        return Err(Failure::new(format!(
            "an earlier edit left {}: go on with it with --recover, or drop it with --discard",
            copy.display()
        )));
    }
    if recover && !copy.exists() {
        return Err(Failure::new("there is no earlier edit to recover: edit without --recover"));
    }
    let file = owner.file(om);
    let read = || match regular::read_text(&file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::new(format!("{}: {error}", file.display()))),
    };
    let settings = settings(om)?;
    // Also refuses an object that is not here.
    let original = match Document::read(om, owner, &settings) {
        Ok(document) => document.text().to_owned(),
        // A file that does not even parse is what an edit is for.
        Err(_) if file.exists() => read()?,
        Err(failure) => return Err(failure),
    };
    let kept = |failure: Failure| {
        let hint = format!(
            "the edit is kept: `om {} edit config --recover` or `--discard`",
            owner.words()
        );
        Failure { lines: failure.lines.into_iter().chain([hint]).collect(), ..failure }
    };
    // What others wrote is to be merged by who knows both.
    let check_base = |now: &str| match regular::read_text(&base) {
        Ok(base) if base == now => Ok(()),
        _ => Err(Failure {
            lines: vec![
                format!("{} was changed by somebody else meanwhile", file.display()),
                format!("what changed: `diff -u {} {}`", base.display(), file.display()),
                format!(
                    "take it over into {}, and say so: `cp {} {}`",
                    copy.display(),
                    file.display(),
                    base.display()
                ),
            ],
            code: 1,
        }),
    };
    if recover {
        check_base(&original).map_err(kept)?;
    } else {
        durable::write(&base, original.as_bytes(), MODE)?;
    }
    // As long as somebody edits, the copy is not swept, however old it gets. Editors rename over the copy, not over this.
    let _in_use = durable::FileLock::try_take(&base)?;
    if !recover {
        durable::write(&copy, original.as_bytes(), MODE)?;
    }
    if let Err(failure) = open_editor(editor, &copy) {
        // Nothing typed, nothing to keep.
        let is_untouched = regular::read_text(&copy).is_ok_and(|text| text == original);
        if is_untouched {
            drop_copy()?;
            return Err(failure);
        }
        let hint = format!("the edit is kept in {}", copy.display());
        return Err(Failure {
            lines: failure.lines.into_iter().chain([hint]).collect(),
            ..failure
        });
    }
    let text = regular::read_text(&copy)?;
    if text == original {
        drop_copy()?;
        note("unchanged");
        return Ok(());
    }
    let _lock =
        durable::FileLock::take(&owner.lock(om), PATIENCE).map_err(Failure::from).map_err(kept)?;
    check_base(&read().map_err(kept)?).map_err(kept)?;
    let document = Document::parse(owner, &settings, &text).map_err(kept)?;
    let context = config::context(
        &om.paths,
        &NodeSettings::new(match &document {
            Document::Node(conf) => Arc::new(conf.clone()),
            Document::Object(_) => Arc::clone(&settings.conf),
        }),
    );
    let context = judging(om, context, [], &text);
    // As with `set`: what was wrong before may stay.
    let before = Document::parse(owner, &settings, &original);
    let before = before.map(|before| before.validate(&context)).unwrap_or_default();
    let mut complaints = document.validate(&context);
    complaints.extend(step_faults(om, &document, &context));
    refuse_new_mistakes(&owner.words(), &before, &complaints, force).map_err(kept)?;
    if !force {
        refuse_ejection(om, &document, &context).map_err(kept)?;
    }
    durable::write_newer(&file, text.as_bytes(), MODE).map_err(Failure::from).map_err(kept)?;
    drop_copy()?;
    Ok(())
}

fn open_editor(editor: &str, file: &std::path::Path) -> Result<(), Failure> {
    let editor = if editor.trim().is_empty() { "vi" } else { editor };
    let mut words = shlex::split(editor)
        .ok_or_else(|| Failure::new(format!("EDITOR={editor:?} is not a command")))?
        .into_iter();
    let program = words.next().ok_or_else(|| Failure::new("EDITOR is empty"))?;
    let status = Command::new(&program).args(words).arg(file).status().map_err(|error| {
        Failure::new(format!("{program}: {error}: set EDITOR to an editor that is installed"))
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("{program} failed ({status})")))
}
