//! Writes the man pages of the commands into a folder: `om(1)`, a page for each group of actions, and `om-keywords(5)`.
//!
//! `cargo run -p client --example man -- FOLDER`

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Command as Clap;
use clap_mangen::Man;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: man FOLDER");
        return ExitCode::from(2);
    };
    match write_all(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write_all(folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut root = cli::whole_tree();
    root.build();
    let mut page = vec![];
    Man::new(root.clone()).render(&mut page)?;
    writeln!(page, ".SH \"SEE ALSO\"\nom\\-config(5), om\\-keywords(5), om\\-log(5)")?;
    std::fs::write(folder.join("om.1"), page)?;
    let keywords = cli::render::manual_page(env!("CARGO_PKG_VERSION"));
    std::fs::write(folder.join("om-keywords.5"), keywords)?;
    for group in root.get_subcommands() {
        let name = format!("om-{}", group.get_name());
        std::fs::write(folder.join(format!("{name}.1")), group_page(&name, group)?)?;
    }
    Ok(())
}

/// The page of a group: each of its actions with the options that it takes.
fn group_page(name: &str, group: &Clap) -> std::io::Result<Vec<u8>> {
    let mut page = vec![];
    let man = Man::new(group.clone().name(name.to_owned()));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    if group.get_subcommands().next().is_none() {
        man.render_options_section(&mut page)?;
    }
    for action in group.get_subcommands() {
        let about = action.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, ".SH \"{}\"\n{}", action.get_name().to_uppercase(), escaped(&about))?;
        let mut options = vec![];
        Man::new(action.clone()).render_options_section(&mut options)?;
        let options = String::from_utf8_lossy(&options);
        // Its title would be the section of each action.
        for line in options.lines().filter(|line| !line.starts_with(".SH")) {
            writeln!(page, "{line}")?;
        }
        if let Some(examples) = action.get_after_help() {
            writeln!(page, ".PP\n.nf\n{}\n.fi", escaped(&examples.to_string()))?;
        }
    }
    Ok(page)
}

/// Text that roff takes as it is.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace("\n.", "\n\\&.")
}
