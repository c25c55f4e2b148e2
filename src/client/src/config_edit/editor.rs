//! `edit config`: a copy, an editor, and the copy in place of what was there.
//!
//! Beside the copy lies what it was made of: an edit that was interrupted does not overwrite what others wrote since.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use files::edit::MODE;
use machine::{durable, regular};

use crate::om::{Failure, complain, note, say};

/// How a file is edited.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Editing {
    /// Go on with an earlier edit.
    pub(crate) recover: bool,
    /// Drop an earlier edit.
    pub(crate) discard: bool,
    /// Members may be taken out of the cluster, and mistakes written.
    pub(crate) force: bool,
}

/// Where a configuration lies that is edited.
pub(super) trait Home {
    /// The copy for whoever edits it.
    fn draft(&self) -> Result<Draft, Failure>;

    /// What lies there now.
    fn read(&self) -> Result<String, Failure>;

    /// Puts the second text where the first one was, unless somebody else wrote meanwhile, or it would add mistakes.
    fn put(&self, draft: &Draft, texts: (&str, &str), force: bool) -> Result<(), Failure>;
}

/// The copy that somebody edits, and what it was made of.
pub(super) struct Draft {
    copy: PathBuf,
    base: PathBuf,
    /// What others wrote since: the file itself, or a copy of what lies elsewhere.
    theirs: PathBuf,
    is_elsewhere: bool,
    /// How commands name whose file it is.
    words: String,
}

impl Draft {
    /// The copy of a file.
    pub(super) fn of_file(folder: &Path, words: String, file: PathBuf) -> Self {
        Self { theirs: file, is_elsewhere: false, ..Self::elsewhere(folder, "", words) }
    }

    /// The copy of what lies at that place.
    pub(super) fn elsewhere(folder: &Path, place: &str, words: String) -> Self {
        let name = format!("{place}{}", words.replace('/', "_"));
        let file = |end: &str| folder.join(format!("{name}.conf.tmp{end}"));
        let (copy, base, theirs) = (file(""), file(".base"), file(".theirs"));
        Self { copy, base, theirs, is_elsewhere: true, words }
    }

    fn discard(&self) -> std::io::Result<()> {
        if self.is_elsewhere {
            durable::remove(&self.theirs)?;
        }
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

    /// Whether the draft was made of this text. What others wrote is to be merged by who knows both.
    pub(super) fn check_base(&self, now: &str) -> Result<(), Failure> {
        if regular::read_text(&self.base).is_ok_and(|base| base == now) {
            return Ok(());
        }
        let (copy, base, theirs) =
            (self.copy.display(), self.base.display(), self.theirs.display());
        let changed = match self.is_elsewhere {
            true => format!("the configuration of {}", self.words),
            false => theirs.to_string(),
        };
        if self.is_elsewhere {
            durable::write(&self.theirs, now.as_bytes(), MODE)?;
        }
        Err(Failure {
            lines: vec![
                format!("{changed} was changed by somebody else meanwhile"),
                format!("what changed: `diff -u {base} {theirs}`"),
                format!("take it over into {copy}, and say so: `cp {theirs} {base}`"),
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

/// Has a configuration edited, and puts it where it was.
pub(super) fn edit(home: &impl Home, how: Editing, editor: &str) -> Result<(), Failure> {
    let Editing { recover, discard, force } = how;
    let draft = home.draft()?;
    if discard {
        draft.discard()?;
    }
    draft.check_earlier(recover)?;
    let original = home.read()?;
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
    home.put(&draft, (&original, &text), force).map_err(|failure| draft.kept(failure))?;
    draft.discard()?;
    Ok(())
}

/// Asks who sits at a terminal whether to install what is refused. Nobody there is no.
pub(super) fn insists(refusal: &Failure) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    refusal.lines.iter().for_each(|line| complain(line));
    say("install it all the same, as with --force? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
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
