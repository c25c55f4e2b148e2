//! `edit config`: a copy, an editor, and the copy in place of the file.
//!
//! Beside the copy lies what it was made of: an edit that was interrupted does not overwrite what others wrote since.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use cli::render::diff;
use conf::NodeSettings;

use files::context;
use files::edit::{Locked, MODE, Writer};
use machine::{durable, regular};

use crate::config_edit::document::{Document, Owner};
use crate::config_edit::mistakes::{
    judging, refuse_ejection, refuse_new_mistakes, settings, step_faults,
};
use crate::om::{Failure, Om, complain, note, say};

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

/// The copy that somebody edits, and what it was made of.
struct Draft {
    copy: PathBuf,
    base: PathBuf,
    file: PathBuf,
    /// How commands name whose file it is.
    words: String,
}

impl Draft {
    fn of(om: &Om, owner: &Owner) -> Self {
        let words = owner.words();
        let name = words.replace('/', "_");
        Self {
            copy: om.paths.tmp.join(format!("{name}.conf.tmp")),
            base: om.paths.tmp.join(format!("{name}.conf.tmp.base")),
            file: owner.file(&om.paths),
            words,
        }
    }

    fn discard(&self) -> std::io::Result<()> {
        durable::remove(&self.copy).and_then(|()| durable::remove(&self.base))
    }

    /// Whether an earlier edit is as it is said to be: there to be gone on with, or not there.
    fn check_earlier(&self, recover: bool) -> Result<(), Failure> {
        match (self.copy.exists(), recover) {
            (true, false) => Err(Failure::new(format!(
                "an earlier edit left {}: go on with it with --recover, or drop it with --discard",
                self.copy.display()
            ))),
            (false, true) => {
                Err(Failure::new("there is no earlier edit to recover: edit without --recover"))
            }
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// The file as it lies there; empty without one.
    fn read_file(&self) -> Result<String, Failure> {
        match regular::read_text(&self.file) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(Failure::new(format!("{}: {error}", self.file.display()))),
        }
    }

    /// Whether the draft was made of this text. What others wrote is to be merged by who knows both.
    fn check_base(&self, now: &str) -> Result<(), Failure> {
        if regular::read_text(&self.base).is_ok_and(|base| base == now) {
            return Ok(());
        }
        let (copy, base, file) = (self.copy.display(), self.base.display(), self.file.display());
        Err(Failure {
            lines: vec![
                format!("{file} was changed by somebody else meanwhile"),
                format!("what changed: `diff -u {base} {file}`"),
                format!("take it over into {copy}, and say so: `cp {file} {base}`"),
            ],
            code: 1,
        })
    }

    /// A failure after which the edit is still there.
    fn kept(&self, failure: Failure) -> Failure {
        with_hint(
            failure,
            format!("the edit is kept: `om {} edit config --recover` or `--discard`", self.words),
        )
    }

    /// The text as it was edited.
    fn edited(&self, editor: &str, original: &str) -> Result<String, Failure> {
        if let Err(failure) = open_editor(editor, &self.copy) {
            // Nothing typed, nothing to keep.
            if regular::read_text(&self.copy).is_ok_and(|text| text == original) {
                self.discard()?;
                return Err(failure);
            }
            return Err(with_hint(failure, format!("the edit is kept in {}", self.copy.display())));
        }
        Ok(regular::read_text(&self.copy)?)
    }
}

fn with_hint(failure: Failure, hint: String) -> Failure {
    Failure { lines: failure.lines.into_iter().chain([hint]).collect(), ..failure }
}

pub(super) fn edit(om: &Om, owner: &Owner, how: Editing, editor: &str) -> Result<(), Failure> {
    let Editing { recover, discard, force } = how;
    let draft = Draft::of(om, owner);
    if discard {
        draft.discard()?;
    }
    draft.check_earlier(recover)?;
    let settings = settings(om)?;
    // Also refuses an object that is not here.
    let original = match Document::read(om, owner, &settings) {
        Ok(document) => document.text().to_owned(),
        // A file that does not even parse is what an edit is for.
        Err(_) if draft.file.exists() => draft.read_file()?,
        Err(failure) => return Err(failure),
    };
    if recover {
        draft.check_base(&original).map_err(|failure| draft.kept(failure))?;
    } else {
        durable::write(&draft.base, original.as_bytes(), MODE)?;
    }
    // As long as somebody edits, the copy is not swept, however old it gets. Editors rename over the copy, not over this.
    let _in_use = durable::FileLock::try_take(&draft.base)?;
    if !recover {
        durable::write(&draft.copy, original.as_bytes(), MODE)?;
    }
    let text = draft.edited(editor, &original)?;
    if text == original {
        draft.discard()?;
        note("unchanged");
        return Ok(());
    }
    put_in_place(om, owner, &settings, &draft, (&original, &text), force)
        .map_err(|failure| draft.kept(failure))?;
    draft.discard()?;
    Ok(())
}

/// Writes what was edited over the file, unless somebody else did meanwhile, or it would add mistakes.
fn put_in_place(
    om: &Om,
    owner: &Owner,
    settings: &NodeSettings,
    draft: &Draft,
    (original, text): (&str, &str),
    force: bool,
) -> Result<(), Failure> {
    let locked = Locked::take(&om.paths, owner, Writer::Command).map_err(Failure::from)?;
    draft.check_base(&draft.read_file()?)?;
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

/// Asks who sits at a terminal whether to install what is refused. Nobody there is no.
fn insists(refusal: &Failure) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    refusal.lines.iter().for_each(|line| complain(line));
    say("install it all the same, as with --force? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
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
