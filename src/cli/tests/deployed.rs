//! Each command and each option of deployed agents is understood, or refused in one line that says what does it instead.
//!
//! `deployed_commands.tsv` was written by a run of a deployed 2.1 agent: group, action, options; `=` after those that take a
//! value.

use cli::parse;

const RECORDED: &str = include_str!("deployed_commands.tsv");

/// Whether a line is understood, as far as its words go: what is wrong with their values is another matter.
fn check(line: &[&str]) -> Result<(), String> {
    let Err(usage) = parse(line.iter().copied()) else { return Ok(()) };
    let text = usage.to_string();
    let is_refused = ["is not offered: ", " takes no "].iter().any(|sign| text.contains(sign));
    let is_one_line = !text.contains('\n');
    let is_strange = ["unexpected argument", "unrecognized subcommand", "needs one more word"]
        .iter()
        .any(|sign| text.contains(sign));
    match (is_refused, is_strange) {
        (true, _) if is_one_line => Ok(()),
        (false, false) => Ok(()),
        _ => Err(format!("om {}: {text}", line.join(" "))),
    }
}

#[test]
fn each_command_of_deployed_agents_works_or_is_refused_with_the_word_that_does_it() {
    let mut wrong = vec![];
    for line in RECORDED.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().expect("three fields");
        let (group, action, options) = (next(), next(), next());
        let words: Vec<&str> = std::iter::once(group).chain(action.split(' ')).collect();
        wrong.extend(check(&words).err());
        let is_offered = parse(words.iter().copied())
            .err()
            .is_none_or(|usage| !usage.to_string().contains("is not offered"));
        for spelled in options.split(' ').filter(|_| is_offered) {
            let (names, takes_value) = match spelled.strip_suffix('=') {
                Some(names) => (names, true),
                None => (spelled, false),
            };
            for name in names.split('/') {
                let value = takes_value.then_some("1");
                let line: Vec<&str> = words.iter().copied().chain([name]).chain(value).collect();
                wrong.extend(check(&line).err());
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "{} lines", wrong.len());
}

#[test]
fn what_people_type_is_understood() {
    for line in [
        "web print status -r",
        "web logs -f",
        "node logs -f",
        "web print pid",
        "web pg pids",
        "web set provisioned --wait",
        "web run --rid task#1 --wait --time 10s",
        "node print capabilities",
        "node scan capabilities",
        "pool ls",
        "pool status --name default --verbose",
        "net ls",
        "network show --name lo",
        "net status",
        "node wait --duration 10s --filter a=1",
        "test/cfg/c keys --match a*",
    ] {
        assert!(parse(line.split(' ')).is_ok(), "{line}: {:?}", parse(line.split(' ')));
    }
    let refusal = |line: &str| parse(line.split(' ')).unwrap_err().to_string();
    for (line, told) in [
        (
            "web print resinfo",
            "error: `svc print resinfo` is not offered: `print status` shows the resources, `print config` their keywords",
        ),
        (
            "web snooze --duration 10m",
            "error: `svc snooze` is not offered: alerts are those of the collector, which is not told to be silent",
        ),
        (
            "node pushasset",
            "error: `node pushasset` is not offered: nothing is sent to a collector",
        ),
        ("array ls", "error: `om array` is not offered: storage arrays are not managed"),
        (
            "web create -i",
            "error: `om web create` takes no -i: `om web create --help` lists its options",
        ),
        (
            "web get --rid app#1 --kw env",
            "error: `om web get` takes no --rid: `om web get --help` lists its options",
        ),
    ] {
        assert_eq!(refusal(line), told);
    }
}
