//! The tables of the command line as what clap reads.

use clap::Command as Clap;

use crate::options::Opt;
use crate::tree::{
    API_OPTIONS, DEMO_OPTIONS, DOC_OPTIONS, DOCTOR, GROUPS, Group, LS_OPTIONS, MON_OPTIONS,
    SUPPORT, TOP, TOP_OPTIONS,
};

impl Group {
    /// The group without its actions.
    fn clap_alone(&self) -> Clap {
        Clap::new(self.name).about(self.about)
    }

    /// The group with the options of `wanted`; those of its other actions are left out, because a command line reads
    /// one action and building them all takes longer than everything else `om` does.
    fn clap(&self, wanted: Wanted<'_>) -> Clap {
        let group = Clap::new(self.name)
            .about(self.about)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .disable_help_subcommand(true)
            .subcommand_value_name("ACTION")
            .subcommand_help_heading("Actions");
        self.all().fold(group, |group, action| {
            let clap =
                Clap::new(action.words).about(action.about).visible_aliases(action.aliases.iter());
            let clap = clap.hide(!self.shows(action));
            if !wanted.is(action.words) {
                return group.subcommand(clap);
            }
            let mut clap = with_options(clap, self.names(action).iter());
            if let Some(examples) = crate::examples::of(self.name, action.words) {
                let lines: Vec<String> = examples.lines().map(|line| format!("  {line}")).collect();
                clap = clap.after_help(format!("Examples:\n{}", lines.join("\n")));
            }
            if let Some(operand) = action.operand {
                clap = clap.arg(
                    clap::Arg::new("operand")
                        .value_name(operand)
                        .num_args(0..)
                        .allow_hyphen_values(false),
                );
            }
            group.subcommand(clap)
        })
    }
}

fn with_options<'a>(clap: Clap, names: impl Iterator<Item = &'a &'static str>) -> Clap {
    names.fold(clap, |clap, name| {
        clap.arg(Opt::by_name(name).expect("the tree names options of the table").arg())
    })
}

/// Of which actions the options are built.
#[derive(Debug, Clone, Copy)]
enum Wanted<'a> {
    None,
    One(&'a str),
    All,
}

impl Wanted<'_> {
    fn is(self, words: &str) -> bool {
        match self {
            Self::None => false,
            Self::One(wanted) => wanted == words,
            Self::All => true,
        }
    }
}

/// The tree as far as `group` and `action` need it.
pub(crate) fn tree(group: Option<&str>, action: Option<&str>) -> Clap {
    let wanted = action.map_or(Wanted::None, Wanted::One);
    root(|each| if group == Some(each.name) { each.clap(wanted) } else { each.clap_alone() })
}

/// The tree with all options of all actions, for who writes pages of it.
#[must_use]
pub fn whole_tree() -> Clap {
    root(|group| group.clap(Wanted::All))
}

fn root(clap_of: impl Fn(&Group) -> Clap) -> Clap {
    let root = Clap::new("om")
        .about("OpenSVC compatible cluster node agent: services that stay up")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .override_usage("om <GROUP> <ACTION> [OPTIONS]\n       om <SELECTOR> <ACTION> [OPTIONS]\n       om mon | top | doctor | support | ls | doc | api | ctx | demo | completion [OPTIONS]")
        .subcommand_value_name("GROUP")
        .subcommand_help_heading("Groups")
        .after_help(
            "A selector names objects: web, prod/svc/web, 'web*', '**', 'app#1.type=simple', '!web1'. \
             `om web start` is `om svc -s web start`.\n\
             `om <GROUP> --help` lists actions, `om <GROUP> <ACTION> --help` options.\n\n\
             Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Those of `status`, `frozen` and `validate config` are \
             answers: there, 69 is a failure and 64 wrong usage.",
        );
    let root = GROUPS.iter().fold(root, |root, each| root.subcommand(clap_of(each)));
    root.subcommand(with_options(
        Clap::new("mon")
            .about("Show the cluster: threads, nodes, services")
            .after_help(crate::examples::MON)
            .arg(clap::Arg::new("operand").value_name("SELECTOR").num_args(0..=1)),
        MON_OPTIONS.iter(),
    ))
    .subcommand(with_options(
        Clap::new("top")
            .about(TOP)
            .arg(clap::Arg::new("operand").value_name("SELECTOR").num_args(0..=1))
            .after_help("Examples:\n  om top\n  om top 'web*'\n\n`?` lists the keys."),
        TOP_OPTIONS.iter(),
    ))
    .subcommand(Clap::new("doctor").about(DOCTOR))
    .subcommand(Clap::new("support").about(SUPPORT))
    .subcommand(with_options(
        Clap::new("ls")
            .about("List objects")
            .arg(clap::Arg::new("operand").value_name("SELECTOR").num_args(0..=1)),
        LS_OPTIONS.iter(),
    ))
    .subcommand(with_options(
        Clap::new("doc")
            .about("Tell what keywords are for: om doc app.restart")
            .arg(clap::Arg::new("operand").value_name("NAME").num_args(0..=1))
            .after_help(format!("Examples:\n{}", crate::examples::DOC)),
        DOC_OPTIONS.iter(),
    ))
    .subcommand(with_options(
        Clap::new("api")
            .about("Ask the daemon over HTTP: om api /api/cluster/status")
            .arg(clap::Arg::new("operand").value_name("PATH").num_args(0..=1))
            .after_help(format!("Examples:\n{}", crate::examples::API)),
        API_OPTIONS.iter(),
    ))
    .subcommand(with_options(
        Clap::new("ctx")
            .about("Choose the cluster that is asked from this machine: om ctx use prod")
            .arg(clap::Arg::new("operand").value_name("ls|use NAME|unset").num_args(0..=2))
            .after_help(format!("Examples:\n{}", crate::examples::CTX)),
        DOC_OPTIONS.iter(),
    ))
    .subcommand(
        Clap::new("completion")
            .about("Print a completion script: source <(om completion bash)")
            .arg(clap::Arg::new("operand").value_name("bash|zsh|fish").required(true).num_args(1)),
    )
    .subcommand(with_options(
        Clap::new("demo").about("Run a service on a throw-away node, break it, see it repaired"),
        DEMO_OPTIONS.iter(),
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_sound() {
        for group in crate::tree::GROUPS {
            for action in group.all() {
                super::tree(Some(group.name), Some(action.words)).debug_assert();
            }
        }
    }
}
