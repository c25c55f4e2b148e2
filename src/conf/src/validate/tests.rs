use std::sync::Arc;

use model::ObjectPath;

use crate::{Context, NodeConf, ObjectConf};

#[test]
fn an_object_does_not_depend_on_itself() {
    let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), "", "").unwrap();
    let context = Context::new(Arc::new(node));
    let text = "[DEFAULT]\nid = i\nnodes = n1\nparents = db web@n2\nchildren = db\n";
    let conf = ObjectConf::parse(ObjectPath::parse("prod/svc/web").unwrap(), text).unwrap();
    let complaints: Vec<String> = conf.validate(&context).iter().map(ToString::to_string).collect();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].ends_with("DEFAULT.parents: names the object itself: ignored"));
}

#[test]
fn what_does_not_mean_what_it_says_is_told_with_its_line() {
    let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), "", "").unwrap();
    let context = Context::new(Arc::new(node));
    let text = "[DEFAULT]\nid = i\nnodes = *{\nflex_min = few\n[app#1]\nstart = /bin/a\n\
                timeout = abc\nstop_timeout@n1 = 10x\nretcodes = 0-up\nrestart = 3\n\
                check_timeout = {env.unknown}\ncheck = /bin/c\n";
    let conf = ObjectConf::parse(ObjectPath::parse("web").unwrap(), text).unwrap();
    let complaints: Vec<String> =
        conf.validate(&context).iter().map(|c| format!("{:?} {c}", c.severity)).collect();
    let duration = "is not a duration, as 90, 1m30s, 0.5s or 250ms";
    assert_eq!(
        complaints,
        [
            "Error web.conf line 3: DEFAULT.nodes: \"*{\" is no node name, pattern or label"
                .to_owned(),
            "Mistake web.conf line 4: DEFAULT.flex_min: \"few\" is not a number".to_owned(),
            format!("Mistake web.conf line 7: app#1.timeout: \"abc\" {duration}"),
            format!("Mistake web.conf line 8: app#1.stop_timeout: \"10x\" {duration}"),
            "Mistake web.conf line 9: app#1.retcodes: \"0-up\" is not exit codes with their \
             states, as 0:up 1:down"
                .to_owned(),
            format!(
                "Mistake web.conf line 11: app#1.check_timeout: \"{{env.unknown}}\" {duration}"
            ),
            "Mistake web.conf line 11: app#1.check_timeout: {env.unknown} resolves to nothing, and stays as it is"
                .to_owned(),
        ]
    );
}

fn told(path: &str, text: &str) -> Vec<String> {
    let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), "", "").unwrap();
    let conf = ObjectConf::parse(ObjectPath::parse(path).unwrap(), text).unwrap();
    let complaints = conf.validate(&Context::new(Arc::new(node)));
    complaints.iter().map(|c| format!("{:?} {c}", c.severity)).collect()
}

#[test]
fn what_can_never_be_met_or_used_is_a_mistake() {
    let text = |line: &str| {
        format!("[DEFAULT]\nid = i\nnodes = n1\n[app#1]\nstart = /bin/a\n{line}\n[ip#1]\n")
    };
    for (line, reason) in [
        ("start_requires = app#1", "start_requires: app#1 would wait for itself"),
        (
            "start_requires = ip#1(stdby up, sideways)",
            "start_requires: \"sideways\" is no state of ip#1: expected one of up, down, warn, n/a, undef, stdby up, stdby down",
        ),
        (
            "start_requires = ip",
            "start_requires: \"ip\" is no resource: expected ids, as fs#1 or fs#1(up,stdby up)",
        ),
        (
            "environment = FOO",
            "environment: \"FOO\" is not variables with their values, as PORT=80 NAME=\"the web\"",
        ),
    ] {
        let told = told("web", &text(line));
        let line = format!("Mistake web.conf line 6: app#1.{reason}");
        assert!(told.contains(&line), "{line}: {told:?}");
    }
    let address =
        "[DEFAULT]\nid = i\nnodes = n1\n[ip#1]\nipname = 10.0.0.1\nipdev = lo\nnetmask = 99\n";
    let reason = "99 is no prefix length of 10.0.0.1: 32 at most";
    assert_eq!(told("web", address), [format!("Mistake web.conf line 7: ip#1.netmask: {reason}")]);
}

#[test]
fn a_driver_of_the_field_that_this_agent_lacks_is_a_warning() {
    let text = "[DEFAULT]\nid = i\nnodes = n1\n[share#1]\ntype = nfs\n[app#1]\ntype = smple\n";
    assert_eq!(
        told("web", text),
        [
            "Warning web.conf line 5: share#1.type: this agent has no driver share.nfs",
            "Error web.conf line 7: app#1.type: unknown driver app.smple: did you mean simple? The drivers of app \
                 are forking, simple, winservice",
        ]
    );
}

#[test]
fn a_forking_app_that_nobody_can_see_is_a_warning() {
    let app = |keywords: &str| {
        format!("[DEFAULT]\nid = i\nnodes = n1\n[app#1]\ntype = forking\n{keywords}")
    };
    let without = told("web", &app("stop = /bin/b\nstart = /bin/a\n"));
    assert_eq!(without.len(), 1, "{without:?}");
    let wanted = "Notice web.conf line 7: app#1.start: a forking app without check";
    assert!(without[0].starts_with(wanted), "{without:?}");
    assert_eq!(told("web", &app("start = /bin/a\ncheck = false\n")).len(), 1);
    assert_eq!(told("web", &app("start = /bin/a\ncheck = /bin/c\n")), [""; 0]);
    assert_eq!(told("web", &app("script = /bin/a\nstart = 10\ncheck = 10\n")), [""; 0]);
    assert_eq!(told("web", &app("stop = /bin/a\n")), [""; 0], "there is nothing to start");
}

#[test]
fn a_reference_that_resolves_to_nothing_is_a_mistake() {
    let text = "[DEFAULT]\nid = i\nnodes = n1\n[volume#data]\nname = v\nsize = 1m\n\
                [fs#1]\ntype = bind\ndev = {volume#data.mnt}/a\nmnt = {volume#data.mount_point}/b\n\
                [fs#3]\ntype = bind\ndev = /a\nmnt = {volume#data.mountpoint}/b\n\
                [app#1]\nstart = /bin/sh -c 'echo ${HOME} {x} {fs#1.mnt}'\nstop = /bin/a {fs#2.mnt}\ncheck = true\n";
    assert_eq!(
        told("web", text),
        [
            "Mistake web.conf line 14: fs#3.mnt: {volume#data.mountpoint} resolves to nothing, and stays \
             as it is: the mount point of a volume is `mount_point`",
            "Mistake web.conf line 17: app#1.stop: {fs#2.mnt} resolves to nothing, and stays as it is: did you mean \
             {fs#1.mnt}?",
        ]
    );
}

#[test]
fn a_reference_to_what_is_not_there_is_told_wherever_it_stands() {
    let text = "[DEFAULT]\nid = i\nnodes = n1\n[volume#data]\nname = v\nsize = 1m\n\
                [env]\nport = 80\nline = {env.prt} {env.nope} {rindex} {unknown} ${nodenam} {clustrname}\n\
                [fs#1]\ntype = ext4\ndev = {lv#1.exposed_devs[0]}\nmnt = /srv/{instance}\n\
                [fs#2]\ntype = ext4\ndev = {disk#9.exposed_devs[0]}\nmnt = {volumes#data.mnt}/{evn.port}/{x.y}\n\
                [app#1]\nstart = {volume#dta.mount_point}/run {evn.port} {nodenam} {print} ${nodenam} {a.b} {env.line}\n\
                stop = {volume#data.mount_point}/a\ncheck = true\n";
    let end = |text: &str| format!("{text} resolves to nothing, and stays as it is");
    let expected = [
        ("9: env.line: ", "{clustrname}", ": did you mean {clustername}?"),
        ("9: env.line: ", "{env.nope}", ""),
        ("9: env.line: ", "{env.prt}", ": did you mean {env.port}?"),
        ("12: fs#1.dev: ", "{lv#1.exposed_devs[0]}", ": there is no section lv#1"),
        ("13: fs#1.mnt: ", "{instance}", ""),
        ("16: fs#2.dev: ", "{disk#9.exposed_devs[0]}", ": there is no section disk#9"),
        ("17: fs#2.mnt: ", "{evn.port}", ": did you mean {env.port}?"),
        ("17: fs#2.mnt: ", "{volumes#data.mnt}", ": did you mean {volume#data.mnt}?"),
        ("17: fs#2.mnt: ", "{x.y}", ""),
        ("19: app#1.start: ", "{evn.port}", ": did you mean {env.port}?"),
        ("19: app#1.start: ", "{nodenam}", ": did you mean {nodename}?"),
        (
            "19: app#1.start: ",
            "{volume#dta.mount_point}",
            ": did you mean {volume#data.mount_point}?",
        ),
    ];
    let expected = expected.map(|(place, reference, advice)| {
        format!("Mistake web.conf line {place}{}{advice}", end(reference))
    });
    assert_eq!(told("web", text), expected);
}

#[test]
fn what_is_not_read_is_told_with_what_is_not_done() {
    let text = "[DEFAULT]\nid = i\nnodes = n1\nscsireserv = true\nmode = x\ncomment = c\n\
                [fs#1]\ntype = ext4\ndev = /a\nmnt = /b\npromote_rw = true\nno_preempt_abort = false\n\
                [sync#1]\ntype = rsync\nsrc = /a\ndst = /b\ntarget = nodes\nsnap = true\n\
                [sync#2]\ntype = rsync\nsrc = /a\ndst = /b\ntarget = nodes\nsnap = false\n";
    assert_eq!(
        told("web", text),
        [
            "Warning web.conf line 4: DEFAULT.scsireserv: not read: this agent takes no SCSI reservations: \
             nothing keeps another node from writing",
            "Warning web.conf line 11: fs#1.promote_rw: not read: this agent does not make disks writable",
            "Error web.conf line 18: sync#1.snap: not read: this agent makes no snapshots: nothing would be copied",
        ]
    );
}

#[test]
fn older_names_are_read_as_deployed_agents_do() {
    let text = "[DEFAULT]\nid = i\nnodes = n1\n[container#1]\ntype = docker\nrun_image = img:1\n\
                run_command@n1 = /bin/a b\nnet = host\n[container#2]\ntype = docker\nimage = new\nrun_image = old\n\
                [disk#1]\ntype = vg\nvgname = data\n";
    let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), "", "").unwrap();
    let context = Context::new(Arc::new(node));
    let conf = ObjectConf::parse(ObjectPath::parse("web").unwrap(), text).unwrap();
    let first = conf.section(&context, "container#1");
    assert_eq!(first.text("image").unwrap().as_deref(), Some("img:1"));
    assert_eq!(first.words("command").unwrap(), ["/bin/a", "b"]);
    assert_eq!(first.text("netns").unwrap().as_deref(), Some("host"));
    assert_eq!(
        conf.section(&context, "container#2").text("image").unwrap().as_deref(),
        Some("new")
    );
    assert_eq!(conf.section(&context, "disk#1").text("name").unwrap().as_deref(), Some("data"));
    let told = told("web", text);
    assert!(told.iter().all(|one| !one.starts_with("Error")), "{told:?}");
    assert!(told.contains(
        &"Notice web.conf line 6: container#1.run_image: the name is image now".to_owned()
    ));
}

#[test]
fn sections_of_the_node_that_nobody_reads_are_told_once() {
    let cluster =
        "[cluster]\nnodes = n1\ndns = 10.0.0.1 n1\nsecret = 0123456789abcdef0123456789abcdef\n";
    let node = "[node]\nhost_mode = PRD\nenvironment = x\n[hook#1]\nevents = all\ncommand = /bin/a\n\
                [syslog]\nhost = h\n[reboot]\nschedule = @1d\n[asset]\nschedule = @1d\n";
    let settings = crate::NodeSettings::parse(model::NodeName::new("n1").unwrap(), cluster, node);
    let settings = settings.unwrap();
    assert_eq!(settings.env, "PRD");
    let told: Vec<String> = settings.complaints.iter().map(ToString::to_string).collect();
    let told = |section: &str| told.iter().filter(|one| one.contains(section)).count();
    for (section, text) in [
        ("[hook#1]", "node.conf line 4: [hook#1]: not read: this agent runs no hooks"),
        ("[syslog]", "node.conf line 7: [syslog]: not read: this agent writes its own log files"),
        ("[reboot]", "node.conf line 9: [reboot]: not read: this agent does not reboot"),
        ("[asset]", "node.conf line 11: [asset]: not read: this agent pushes nothing"),
    ] {
        assert_eq!((told(section), told(text)), (1, 1), "{section}");
    }
    let text = "[DEFAULT]\nid = i\nnodes = {dnsnodes}\n";
    let conf = ObjectConf::parse(ObjectPath::parse("web").unwrap(), text).unwrap();
    let told = conf.validate(&Context::new(settings.conf.clone()));
    assert_eq!(
        told[0].to_string(),
        "web.conf line 3: DEFAULT.nodes: {dnsnodes} leaves out 10.0.0.1 of cluster.dns: no name of a cluster node"
    );
}

#[test]
fn what_the_cluster_reads_in_its_own_section_is_told_where_it_is_not_read() {
    assert_eq!(
        told("cluster", "[DEFAULT]\nid = i\nnodes = n1\n"),
        ["Warning cluster.conf line 3: DEFAULT.nodes: not read here: cluster.nodes is meant"]
    );
}

/// Each kind of mistake, with what is told of it.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_is_wrong_is_told_with_what_is_right() {
    const HEAD: &str = "[DEFAULT]\nid = i\nnodes = n1\n";
    for (text, expected) in [
        ("priority = abc\n", "Mistake web.conf line 4: DEFAULT.priority: \"abc\" is not a number"),
        (
            "flex_min = -1\n",
            "Mistake web.conf line 4: DEFAULT.flex_min: \"-1\" is not a number from 0",
        ),
        (
            "[app#1]\nrestart = -1\n",
            "Mistake web.conf line 5: app#1.restart: \"-1\" is not a number from 0",
        ),
        (
            "[app#1]\ntimeout = soon\n",
            "Mistake web.conf line 5: app#1.timeout: \"soon\" is not a duration, as 90, 1m30s, 0.5s or 250ms",
        ),
        (
            "[app#1]\nlimit_as = 1x\n",
            "Error web.conf line 5: app#1.limit_as: \"1x\" is not a size, as 10, 1.5g, 100MiB or 20%FREE",
        ),
        (
            "[app#1]\nlimit_as = -1m\n",
            "Mistake web.conf line 5: app#1.limit_as: \"-1m\" is not a size from 0",
        ),
        (
            "[app#1]\nmonitor = maybe\n",
            "Error web.conf line 5: app#1.monitor: \"maybe\" is not a boolean: true or false",
        ),
        (
            "[app#1]\ntype = simpel\n",
            "Error web.conf line 5: app#1.type: unknown driver app.simpel: did you mean simple? The drivers of app are \
             forking, simple, winservice",
        ),
        (
            "[task#1]\ntype = x\ncommand = /bin/a\n",
            "Error web.conf line 5: task#1.type: unknown driver task.x: the drivers of task are host, docker, podman, oci",
        ),
        (
            "[fs#1]\ntype = ext5\ndev = /a\nmnt = /b\n",
            "Mistake web.conf line 5: fs#1.type: ext5 is no file system type: did you mean ext4?",
        ),
        (
            "[fs#1]\ntype = clay\ndev = /a\nmnt = /b\n",
            "Mistake web.conf line 5: fs#1.type: clay is no file system type: expected one of the system, as ext4, xfs, btrfs, \
             nfs, tmpfs or bind, or directory or flag",
        ),
        (
            "[app#1]\ncwd = {env.dir}\n",
            "Mistake web.conf line 5: app#1.cwd: {env.dir} resolves to nothing, and stays as it is",
        ),
        (
            "[app#1]\ncwd = /a/{nodenam}\n",
            "Mistake web.conf line 5: app#1.cwd: {nodenam} resolves to nothing, and stays as it is: did you mean {nodename}?",
        ),
        (
            "[app#1]\nstart = /bin/sh -c 'a\ncheck = true\n",
            "Mistake web.conf line 5: app#1.start: \"/bin/sh -c 'a\" is not a command line: a quote is not closed",
        ),
        (
            "[app#1]\nenvironment = A='b\n",
            "Error web.conf line 5: app#1.environment: \"A='b\" is not a command line: a quote is not closed",
        ),
        (
            "[app#1]\nstart@nodex = /bin/a\ncheck = true\n",
            "Mistake web.conf line 5: app#1.start@nodex: nodex is no node of the cluster: did you mean nodes?",
        ),
        (
            "[app#1]\nstart@paris = /bin/a\ncheck = true\n",
            "Mistake web.conf line 5: app#1.start@paris: paris is no node of the cluster: its nodes are n1",
        ),
        (
            "flex_min@n1 = 1\n",
            "Notice web.conf line 4: DEFAULT.flex_min@n1: not read: flex_min has no scopes",
        ),
        (
            "[app#1]\ntimeout = 1\ntimeout@drpnodes = abc\n",
            "Mistake web.conf line 6: app#1.timeout@drpnodes: \"abc\" is not a duration, as 90, 1m30s, 0.5s or 250ms",
        ),
        (
            "[app#1]\nstart = /bin/a\n[app#2]\n[app#1]\ncheck = /bin/b\n",
            "Mistake web.conf line 7: [app#1]: it stands twice: both are read as one",
        ),
        (
            "[app#1]\nstart = /bin/a\nstart = /bin/b\ncheck = true\n",
            "Mistake web.conf line 6: app#1.start: it stands twice: the last one counts",
        ),
        (
            "[app#1]\nstart =\n",
            "Mistake web.conf line 5: app#1.start: it is empty: expected a command, true to call the script, or no such line",
        ),
        (
            "[task#1]\ncommand =\n",
            "Mistake web.conf line 5: task#1.command: it is required, and empty",
        ),
        (
            "parents = bd\n",
            "Mistake web.conf line 4: DEFAULT.parents: no object bd: did you mean db?",
        ),
        (
            "children = billing@n1\n",
            "Mistake web.conf line 4: DEFAULT.children: no object billing: create it first",
        ),
        (
            "hard_affinity = bd\n",
            "Notice web.conf line 4: DEFAULT.hard_affinity: no object bd: did you mean db?",
        ),
        (
            "flex_min = 3\nflex_max = 2\n",
            "Mistake web.conf line 5: DEFAULT.flex_max: 2 is less than flex_min, 3",
        ),
        (
            "flex_max = 0\n",
            "Notice web.conf line 4: DEFAULT.flex_max: 0 is less than flex_min: 1 is meant",
        ),
        (
            "flex_max = 2\nflex_target = 3\n",
            "Notice web.conf line 5: DEFAULT.flex_target: 3 is more than flex_max, 2",
        ),
        (
            "flex_primary = n2\n",
            "Mistake web.conf line 4: DEFAULT.flex_primary: n2 is none of nodes",
        ),
        (
            "[task#1]\ncommand = /bin/a\nschedule = */5 * * * *\n",
            "Mistake web.conf line 6: task#1.schedule: \"*/5 * * * *\" is a line of a crontab, expected a schedule: @5",
        ),
        (
            "[app#1]\nrestrat = 3\n",
            "Warning web.conf line 5: app#1.restrat: did you mean restart? (integer, default 0: how often a resource that went \
             down is restarted before its monitor action, or before it is left down)",
        ),
        (
            "orchestrat = ha\n",
            "Warning web.conf line 4: DEFAULT.orchestrat: did you mean orchestrate? (ha|start|no, default no: what the daemon \
             does by itself: start and take over (ha), start on the natural leader alone, or nothing)",
        ),
        (
            "[ip#1]\nipname = 192.0.2.3/24\nipdev = eth0\n",
            "Mistake web.conf line 5: ip#1.ipname: \"192.0.2.3/24\" is not an address or a name: netmask is a keyword of its own",
        ),
        ("[app#1]\ncolour = red\n", "Warning web.conf line 5: app#1.colour: unknown keyword"),
        (
            "[ap#1]\nstart = /bin/a\n",
            "Warning web.conf line 4: [ap#1]: unknown section: did you mean [app#1]?",
        ),
        (
            "[APP#2]\nstart = /bin/a\n",
            "Warning web.conf line 4: [APP#2]: unknown section: did you mean [app#2]?",
        ),
        (
            "[app]\nstart = /bin/a\n",
            "Warning web.conf line 4: [app]: unknown section: did you mean [app#1]?",
        ),
        (
            "[default]\nnodes = n1\n",
            "Warning web.conf line 4: [default]: unknown section: did you mean [DEFAULT]?",
        ),
        ("[kitchen#1]\na = b\n", "Warning web.conf line 4: [kitchen#1]: unknown section"),
        (
            "timeout = abc\n[app#1]\n",
            "Mistake web.conf line 4: DEFAULT.timeout: \"abc\" is not a duration, as 90, 1m30s, 0.5s or 250ms",
        ),
        (
            "[app#1]\nstart_requires = fs#1(up)\n[fs#2]\ntype = flag\n",
            "Mistake web.conf line 5: app#1.start_requires: no resource fs#1: did you mean fs#2?",
        ),
        (
            "[container#1]\ntype = docker\nimage = i\nnetns = container#0\n",
            "Mistake web.conf line 7: container#1.netns: no resource container#0: did you mean container#1?",
        ),
        (
            "[sync#1]\nsrc = /a\ndst = /b\ntarget = everywhere\n",
            "Mistake web.conf line 7: sync#1.target: \"everywhere\" is not one of nodes, drpnodes",
        ),
    ] {
        assert_eq!(told_among("web", &format!("{HEAD}{text}")), [expected], "{text}");
    }
}

/// As `told`, in a cluster that has the object `db`.
fn told_among(path: &str, text: &str) -> Vec<String> {
    let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), "", "").unwrap();
    let conf = ObjectConf::parse(ObjectPath::parse(path).unwrap(), text).unwrap();
    let objects = std::collections::BTreeSet::from([ObjectPath::parse("db").unwrap()]);
    let context = Context { objects: Some(Arc::new(objects)), ..Context::new(Arc::new(node)) };
    conf.validate(&context).iter().map(|c| format!("{:?} {c}", c.severity)).collect()
}

#[test]
fn nodes_that_are_no_members_are_told() {
    let cluster = "[cluster]\nnodes = n1 n2\n";
    let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), cluster, "").unwrap();
    let context = Context::new(Arc::new(node));
    let told = |nodes: &str| -> Vec<String> {
        let text = format!("[DEFAULT]\nid = i\nnodes = {nodes}\n");
        let conf = ObjectConf::parse(ObjectPath::parse("web").unwrap(), &text).unwrap();
        conf.validate(&context).iter().map(|c| format!("{:?} {}", c.severity, c.reason)).collect()
    };
    assert_eq!(told("n1 n3"), ["Mistake n3 is no node of the cluster: did you mean n1?"]);
    assert_eq!(told("n1 paris"), ["Mistake paris is no node of the cluster: its nodes are n1, n2"]);
    assert_eq!(told("n2 n1"), [""; 0]);
    assert_eq!(told("*"), [""; 0]);
    assert_eq!(told("N1 n2"), [""; 0]);
}

#[test]
fn a_name_that_is_not_created_is_told_of_a_file_that_has_it() {
    let told = told("we_b", "[DEFAULT]\nid = i\nnodes = n1\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("Mistake we_b.conf: ") && told[0].contains("digits"), "{told:?}");
}

/// What deployed agents run goes on without a word.
#[test]
fn what_is_right_is_not_doubted() {
    let text = "[DEFAULT]\nid = i\nnodes = n1\npriority = -1\nflex_min = 0\nflex_max = 1\n\
                [app#1]\nstart = /bin/sh -c \"echo it's {print} $HOME | awk '{print $1}'\"\nstart@nodes = true\n\
                stop@n1 =\nstop = /bin/b\ncheck = true\nrestart = 1.9\n\
                [fs#1]\ntype = fuse.sshfs\ndev = /a\nmnt = /b\n[fs#2]\ntype = directory\npath = /c/{name}/{env.l}\n\
                start_requires = fs#1(up) impossible\n[task#1]\ncommand = a\nschedule = 09:00-18:00@30 mon-fri\n\
                [env]\nl = x\nuser@somewhere = y\n";
    assert_eq!(told("web", text), [""; 0]);
}

#[test]
fn an_empty_command_is_judged_alike_on_all_nodes() {
    let text = "[DEFAULT]\nid = i\nnodes = n1 n2\n[app#1]\nstart = /bin/a\nstart@n1 =\ncheck = /bin/c\n\
                [app#2]\nstart =\ncheck = /bin/c\n[app#3]\nstart = ''\ncheck = \"\"\n";
    let told_on = |name: &str| -> Vec<String> {
        let node =
            NodeConf::parse(model::NodeName::new(name).unwrap(), "", "[cluster]\nnodes = n1 n2\n");
        let context = Context::new(Arc::new(node.unwrap()));
        let conf = ObjectConf::parse(ObjectPath::parse("web").unwrap(), text).unwrap();
        let complaints = conf.validate(&context);
        complaints.iter().map(|each| format!("{:?} {each}", each.severity)).collect()
    };
    let told = told_on("n1");
    assert_eq!(told, told_on("n2"));
    assert_eq!(
        told,
        [
            "Mistake web.conf line 9: app#2.start: it is empty: expected a command, true to call the script, or no \
             such line",
            "Mistake web.conf line 12: app#3.start: \"''\" names no program: expected a command, or no such line",
            "Mistake web.conf line 13: app#3.check: \"\\\"\\\"\" names no program: expected a command, or no such line",
        ]
    );
}

#[test]
fn older_names_inherited_keywords_and_drivers_without_a_table_are_judged_as_well() {
    let text = "[DEFAULT]\nid = i\nnodes = n1\nflex_max_nodes = abc\nstart@paris = /bin/a\npg_cpu_quota = abc\n\
                [app#1]\ncheck = /bin/c\n[container#1]\ntype = docker\nrun_image@paris = img\nrun_image = img\n\
                [volume#1]\ntype = directry\nname = v\n[fs#1]\ntype = none\noptonal = true\nwhatever = 1\n";
    let told = told("web", text);
    for expected in [
        "Mistake web.conf line 4: DEFAULT.flex_max_nodes: \"abc\" is not a number",
        "Mistake web.conf line 5: DEFAULT.start@paris: paris is no node of the cluster",
        "Mistake web.conf line 6: DEFAULT.pg_cpu_quota: \"abc\" is not a share of the processors, as 50%",
        "Mistake web.conf line 11: container#1.run_image@paris: paris is no node of the cluster",
        "Mistake web.conf line 14: volume#1.type: \"directry\" is no type of pool: did you mean directory?",
        "Warning web.conf line 18: fs#1.optonal: did you mean optional? (boolean: keep its state out of that of the instance, and \
         let actions go on when it fails; unset, tasks and syncs are)",
    ] {
        assert!(told.iter().any(|line| line.starts_with(expected)), "{expected}: {told:#?}");
    }
    assert!(!told.iter().any(|line| line.contains("whatever")), "{told:#?}");
}

#[test]
fn keywords_of_pools_are_judged() {
    let text = "[cluster]\nname = c\n[pool#a]\ntype = directry\n[pool#b]\ntype = vg\nname = data\n\
                mkblk_opt = -x\n[pool#c]\nfs_typ = ext4\n";
    let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), "", text).unwrap();
    let context = Context::new(Arc::new(node));
    let conf = ObjectConf::parse(ObjectPath::parse("cluster").unwrap(), text).unwrap();
    let told: Vec<String> =
        conf.validate(&context).iter().map(|each| format!("{:?} {each}", each.severity)).collect();
    for expected in [
        "Error cluster.conf line 4: pool#a.type: \"directry\" is not one of directory, loop, shm",
        "Warning cluster.conf line 8: pool#b.mkblk_opt: not read: this agent makes no volumes of such a pool",
        "Warning cluster.conf line 10: pool#c.fs_typ: did you mean fs_type? (text, default xfs: file system that is made on volumes \
         that are formatted)",
    ] {
        assert!(told.iter().any(|line| line.starts_with(expected)), "{expected}: {told:#?}");
    }
}

#[test]
fn a_volume_that_stays_behind_when_its_service_moves_is_told() {
    let node = "[pool#near]\ntype = loop\n[pool#far]\ntype = ceph\n";
    let told = |node: &str, default: &str, volume: &str| -> Vec<String> {
        let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), node, "").unwrap();
        let text =
            format!("[DEFAULT]\nid = i\n{default}\n[volume#1]\nname = v\nsize = 1m\n{volume}\n");
        let conf = ObjectConf::parse(ObjectPath::parse("web").unwrap(), &text).unwrap();
        let told = conf.validate(&Context::new(Arc::new(node)));
        let lines = told.iter().map(|each| format!("{:?} {each}", each.severity));
        lines.filter(|line| line.contains("not shared")).collect()
    };
    let two = "nodes = n1 n2";
    let near = told(node, two, "pool = near");
    assert_eq!(near.len(), 1, "{near:?}");
    let wanted = "Notice web.conf line 7: volume#1.pool: pool near is not shared: what the service";
    assert!(near[0].starts_with(wanted), "{near:?}");
    assert_eq!(told(node, two, "pool = default").len(), 1);
    assert_eq!(told(node, two, "type = directory").len(), 1);
    assert_eq!(told("", two, "").len(), 1, "there is no pool but those of each node");
    assert_eq!(told(node, two, "pool = far"), [""; 0]);
    assert_eq!(told(node, two, "type = ceph"), [""; 0]);
    assert_eq!(told(node, two, ""), [""; 0], "it may be made of the one that all reach");
    assert_eq!(told(node, "nodes = n1", "pool = near"), [""; 0], "it moves nowhere");
    assert_eq!(told(node, "nodes = n1 n2\ntopology = flex", "pool = near"), [""; 0]);
    assert_eq!(told(node, two, "pool = near\n[sync#1]\ntype = rsync\nsrc = /a\ndst = /a"), [""; 0]);
}
