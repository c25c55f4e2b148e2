//! The mistakes of a whole document (config.md §10, validation).

use std::cell::Cell;
use std::collections::BTreeSet;

use model::{Kind, NodeName, resolve_path};

use crate::complaint::UNREAD;
use crate::convert::doubt_of;
use crate::eval::{self, Doc, Evaluation, MAX_DOCUMENT_WORK};
use crate::keywords::{self, Fate, Lookup};
use crate::{Complaint, Context, Converter, EvalReason, Schedule, Severity, Value};

/// All mistakes, in the order of the document.
pub(crate) fn validate(doc: Doc<'_>, ctx: &Context) -> Vec<Complaint> {
    let budget = Cell::new(MAX_DOCUMENT_WORK);
    let mut validator =
        Validator { doc, ctx, budget, drivers: BTreeSet::new(), complaints: vec![] };
    for section in doc.ini().sections().filter(|section| is_resource(doc, section)) {
        let (group, _) = keywords::group_of(section);
        let driver = keywords::table_driver(group, doc.driver(section).unwrap_or_default());
        validator.drivers.insert((group, driver));
    }
    for section in doc.ini().sections() {
        validator.section(section);
    }
    validator.complaints
}

struct Validator<'a> {
    doc: Doc<'a>,
    ctx: &'a Context,
    budget: Cell<usize>,
    /// Drivers in use: group and type.
    drivers: BTreeSet<(&'a str, &'a str)>,
    complaints: Vec<Complaint>,
}

impl Validator<'_> {
    fn complain(&mut self, severity: Severity, section: &str, keyword: &str, reason: &str) {
        let ini = self.doc.ini();
        let file = self.doc.file();
        let line = ini.line_of(section, keyword);
        self.complaints.push(Complaint {
            severity,
            file,
            line,
            section: section.into(),
            keyword: keyword.into(),
            reason: reason.into(),
        });
    }

    fn section(&mut self, section: &str) {
        let (doc, tables) = (self.doc, self.doc.tables());
        if !tables.knows_section(section) {
            self.complain(Severity::Warning, section, "", "unknown section");
            return;
        }
        let driver = doc.driver(section);
        let (group, _) = keywords::group_of(section);
        match driver {
            Some(driver) if section != "DEFAULT" && !tables.knows_driver(group, driver) => {
                let is_subset = group == "subset";
                if !is_subset {
                    let reason = format!("unknown driver {group}.{driver}");
                    self.complain(Severity::Error, section, "type", &reason);
                    return;
                }
            }
            // It is shown and left alone: good on a node that has it.
            Some(driver)
                if is_resource(doc, section)
                    && section != "sync#i0"
                    && !keywords::has_driver(group, driver) =>
            {
                let reason = format!("this agent has no driver {group}.{driver}");
                self.complain(Severity::Warning, section, "type", &reason);
            }
            None if is_resource(doc, section) && keywords::needs_type(section) => {
                self.complain(Severity::Error, section, "type", "required, and not set");
                return;
            }
            _ => {}
        }

        if let Some(reason) = keywords::unread_section(tables, section) {
            let reason = format!("{UNREAD}{reason}");
            self.complain(Severity::Warning, section, "", &reason);
        }
        let mut seen = BTreeSet::new();
        for (written, _) in doc.ini().keywords(section) {
            let keyword = written.split_once('@').map_or(written, |(keyword, _)| keyword);
            if seen.insert(keyword) {
                let before = self.complaints.len();
                self.keyword(section, driver, keyword);
                self.references(section, keyword);
                let line = doc.ini().line_of(section, written);
                for complaint in &mut self.complaints[before..] {
                    complaint.line = line;
                }
            }
        }
        if section != "DEFAULT" && section != "sync#i0" {
            for keyword in tables.all(section, driver) {
                let is_missing = keyword.is_required && !seen.contains(keyword.name);
                if is_missing && keyword.name != "type" {
                    self.evaluate(section, keyword.name, &[], keyword.converter);
                } else if is_missing && doc.get(section, "type").is_none() {
                    self.complain(Severity::Error, section, "type", "required, and not set");
                }
            }
        }
    }

    fn keyword(&mut self, section: &str, driver: Option<&str>, keyword: &str) {
        let tables = self.doc.tables();
        if section == "DEFAULT" && is_cluster(self.doc) && keywords::meant_in_cluster(keyword) {
            let reason = format!("not read here: cluster.{keyword} is meant");
            self.complain(Severity::Warning, section, keyword, &reason);
            return;
        }
        match tables.find(section, driver, keyword) {
            Lookup::Known(definition) => {
                self.evaluate(section, keyword, definition.candidates, definition.converter);
                self.unread(section, definition);
            }
            Lookup::Free => self.evaluate(section, keyword, &[], Converter::Text),
            Lookup::Unknown if section == "DEFAULT" => {
                if let Some(new) = keywords::renamed(keyword) {
                    let reason = format!("deprecated, the name is {new}");
                    self.complain(Severity::Warning, section, keyword, &reason);
                    return;
                }
                let is_known = self.drivers.iter().any(|(group, driver)| {
                    tables.find(&format!("{group}#"), Some(driver), keyword) != Lookup::Unknown
                });
                if !is_known {
                    self.complain(Severity::Warning, section, keyword, "unknown keyword");
                }
            }
            Lookup::Unknown => {
                let Some(new) = keywords::renamed_in(section, driver, keyword) else {
                    self.complain(Severity::Warning, section, keyword, "unknown keyword");
                    return;
                };
                self.complain(
                    Severity::Notice,
                    section,
                    keyword,
                    &format!("the name is {new} now"),
                );
                if let Lookup::Known(new) = tables.find(section, driver, new) {
                    self.evaluate(section, new.name, new.candidates, new.converter);
                    self.unread(section, new);
                }
            }
        }
    }

    /// Tells of references that do not become what they look like.
    fn references(&mut self, section: &str, keyword: &str) {
        if section != "DEFAULT" && !section.contains('#') {
            return;
        }
        let is_of = |written: &str| written.split('@').next() == Some(keyword);
        let (doc, ctx) = (self.doc, self.ctx);
        let mut reasons = BTreeSet::new();
        for (_, raw) in doc.ini().keywords(section).filter(|(written, _)| is_of(written)) {
            let is_object = matches!(doc, Doc::Object(_)) && !is_cluster(doc);
            let left_out = eval::left_out_of_dnsnodes(&ctx.node);
            if is_object && raw.contains("dnsnodes}") && !left_out.is_empty() {
                let words = left_out.join(" ");
                reasons.insert((
                    Severity::Warning,
                    format!(
                        "{{dnsnodes}} leaves out {words} of cluster.dns: no name of a cluster node"
                    ),
                ));
            }
            for reference in eval::unresolved(doc, ctx, section, raw) {
                let advice = match reference.starts_with("{volume#") {
                    true => ": the mount point of a volume is `mnt`",
                    false => "",
                };
                let text = format!("{reference} resolves to nothing, and stays as it is{advice}");
                reasons.insert((Severity::Error, text));
            }
        }
        for (severity, reason) in reasons {
            self.complain(severity, section, keyword, &reason);
        }
    }

    /// Tells of a keyword that asks for something, and that nobody reads.
    fn unread(&mut self, section: &str, definition: &keywords::Keyword) {
        let (severity, how, reason) = match definition.fate {
            Fate::Read | Fate::Describes => return,
            Fate::Partly(reason) => (Severity::Warning, "read in part: ", reason),
            Fate::Unread(reason) => (Severity::Warning, UNREAD, reason),
            Fate::Refused(reason) => (Severity::Error, UNREAD, reason),
        };
        let found =
            Evaluation::eval_within(self.doc, self.ctx, &self.budget, section, definition.name);
        let Ok(found) = found else { return };
        // What is set to do nothing asks for nothing, nor does the usual.
        let text = found.value.to_string();
        let is_usual =
            matches!(definition.default, keywords::Default::Text(usual) if usual == text);
        let asks = found.is_set
            && !is_usual
            && !matches!(&found.value, Value::Null | Value::Bool(false) | Value::Integer(0))
            && !text.is_empty();
        if asks {
            self.complain(severity, section, definition.name, &format!("{how}{reason}"));
        }
    }

    fn evaluate(
        &mut self,
        section: &str,
        keyword: &str,
        candidates: &[&str],
        converter: Converter,
    ) {
        match Evaluation::eval_both_within(self.doc, self.ctx, &self.budget, section, keyword) {
            Ok((found, _)) if !found.is_set => {}
            Ok((found, written)) => {
                let text = found.value.to_string();
                if !candidates.is_empty() && !candidates.contains(&text.as_str()) {
                    // An empty value is as good as none: nothing to advise.
                    let named: Vec<&str> =
                        candidates.iter().copied().filter(|word| !word.is_empty()).collect();
                    let reason = format!("{text:?} is not one of {}", named.join(", "));
                    self.complain(Severity::Error, section, keyword, &reason);
                }
                if (keyword == "schedule" || keyword.ends_with("_schedule"))
                    && let Err(error) = Schedule::parse(&text)
                {
                    self.complain(Severity::Warning, section, keyword, &error.to_string());
                }
                self.doubt(section, keyword, converter, &found.value, &written);
                if section == "DEFAULT" && matches!(keyword, "parents" | "children" | "slaves") {
                    self.relation(keyword, &found.value);
                }
            }
            Err(error) => {
                // Deployed agents do not count a malformed duration: neither may the exit code.
                let is_duration = matches!(
                    converter,
                    Converter::Duration | Converter::DurationMinutes | Converter::DurationDays
                ) && matches!(error.reason, EvalReason::Value { .. });
                let severity = if is_duration { self.tolerated() } else { Severity::Error };
                self.complain(severity, section, keyword, &error.reason.to_string());
            }
        }
    }
}

impl Validator<'_> {
    /// An object that waits for itself would wait for ever: it does not.
    fn relation(&mut self, keyword: &str, value: &Value) {
        let Doc::Object(conf) = self.doc else { return };
        let own = conf.path();
        let is_own = |word: &String| {
            let resolved = resolve_path(word, own.namespace());
            resolved.split('@').next() == Some(own.as_str())
        };
        if value.words().iter().any(is_own) {
            self.complain(
                Severity::Warning,
                "DEFAULT",
                keyword,
                "names the object itself: ignored",
            );
        }
    }

    /// How bad is what deployed agents read as something else than it says. Their numbers are what objects are shared by;
    /// those of the node are ours to judge, and decide whether it is reached and when it gives up a peer.
    fn tolerated(&self) -> Severity {
        if is_node(self.doc) { Severity::Error } else { Severity::Notice }
    }

    /// Complains about a value that converts, but to something else than it says.
    fn doubt(
        &mut self,
        section: &str,
        keyword: &str,
        converter: Converter,
        value: &Value,
        written: &str,
    ) {
        let short = || written.chars().take(80).collect::<String>();
        if converter == Converter::Nodes {
            if let Some(fault) = self.ctx.node_selector().fault(written) {
                self.complain(Severity::Error, section, keyword, &fault);
            } else if value.words().is_empty() {
                let reason = format!("{:?} selects no node of the cluster", short());
                self.complain(Severity::Warning, section, keyword, &reason);
            }
            return;
        }
        let is_about_nodes = section == "DEFAULT"
            && matches!(
                keyword,
                "drpnodes" | "drpnode" | "encapnodes" | "flex_primary" | "drp_flex_primary"
            );
        if is_about_nodes {
            for word in value.words() {
                if let Err(error) = NodeName::new(&word) {
                    self.complain(Severity::Error, section, keyword, &error.to_string());
                }
            }
            return;
        }
        // Deployed agents do not count these: neither may the exit code.
        if let Some(expected) = converter.doubt(written).or_else(|| doubt_of(keyword, written)) {
            let reason = format!("{:?} is not {expected}", short());
            self.complain(self.tolerated(), section, keyword, &reason);
        }
    }
}

/// Whether this is about the node: node.conf or cluster.conf.
fn is_node(doc: Doc<'_>) -> bool {
    matches!(doc, Doc::Node(_)) || is_cluster(doc)
}

/// Whether this is cluster.conf.
fn is_cluster(doc: Doc<'_>) -> bool {
    matches!(doc, Doc::Object(conf) if conf.path().kind() == Kind::Ccfg)
}

fn is_resource(doc: Doc<'_>, section: &str) -> bool {
    matches!(doc, Doc::Object(conf) if conf.path().kind().has_instances())
        && section.contains('#')
        && keywords::is_resource_group(keywords::group_of(section).0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::ObjectPath;

    use crate::{Context, NodeConf, ObjectConf};

    #[test]
    fn an_object_does_not_depend_on_itself() {
        let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), "", "").unwrap();
        let context = Context::new(Arc::new(node));
        let text = "[DEFAULT]\nid = i\nnodes = n1\nparents = db web@n2\nchildren = db\n";
        let conf = ObjectConf::parse(ObjectPath::parse("prod/svc/web").unwrap(), text).unwrap();
        let complaints: Vec<String> =
            conf.validate(&context).iter().map(ToString::to_string).collect();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].ends_with("DEFAULT.parents: names the object itself: ignored"));
    }

    #[test]
    fn what_does_not_mean_what_it_says_is_told_with_its_line() {
        let node = NodeConf::parse(model::NodeName::new("n1").unwrap(), "", "").unwrap();
        let context = Context::new(Arc::new(node));
        let text = "[DEFAULT]\nid = i\nnodes = *{\nflex_min = few\n[app#1]\nstart = /bin/a\n\
                    timeout = abc\nstop_timeout@n1 = 10x\nretcodes = 0-up\nrestart = 3\n\
                    check_timeout = {env.unknown}\n";
        let conf = ObjectConf::parse(ObjectPath::parse("web").unwrap(), text).unwrap();
        let complaints: Vec<String> =
            conf.validate(&context).iter().map(|c| format!("{:?} {c}", c.severity)).collect();
        let duration = "is not a duration, as 90, 1m30s, 0.5s or 250ms";
        assert_eq!(
            complaints,
            [
                "Error web.conf line 3: DEFAULT.nodes: \"*{\" is no node name, pattern or label"
                    .to_owned(),
                "Notice web.conf line 4: DEFAULT.flex_min: \"few\" is not a number".to_owned(),
                format!("Notice web.conf line 7: app#1.timeout: \"abc\" {duration}"),
                format!("Notice web.conf line 8: app#1.stop_timeout: \"10x\" {duration}"),
                "Notice web.conf line 9: app#1.retcodes: \"0-up\" is not exit codes with their \
                 states, as 0:up 1:down"
                    .to_owned(),
                format!(
                    "Notice web.conf line 11: app#1.check_timeout: \"{{env.unknown}}\" {duration}"
                ),
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
    fn a_driver_of_the_field_that_this_agent_lacks_is_a_warning() {
        let text = "[DEFAULT]\nid = i\nnodes = n1\n[share#1]\ntype = nfs\n[app#1]\ntype = smple\n";
        assert_eq!(
            told("web", text),
            [
                "Warning web.conf line 5: share#1.type: this agent has no driver share.nfs",
                "Error web.conf line 7: app#1.type: unknown driver app.smple",
            ]
        );
    }

    #[test]
    fn a_reference_that_resolves_to_nothing_is_a_mistake() {
        let text = "[DEFAULT]\nid = i\nnodes = n1\n[volume#data]\nname = v\nsize = 1m\n\
                    [fs#1]\ntype = bind\ndev = {volume#data.mnt}/a\nmnt = {volume#data.mount_point}/b\n\
                    [app#1]\nstart = /bin/sh -c 'echo ${HOME} {x} {fs#1.mnt}'\nstop = /bin/a {fs#2.mnt}\n";
        assert_eq!(
            told("web", text),
            [
                "Error web.conf line 10: fs#1.mnt: {volume#data.mount_point} resolves to nothing, and stays \
                 as it is: the mount point of a volume is `mnt`",
                "Error web.conf line 13: app#1.stop: {fs#2.mnt} resolves to nothing, and stays as it is",
            ]
        );
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
        let settings =
            crate::NodeSettings::parse(model::NodeName::new("n1").unwrap(), cluster, node);
        let settings = settings.unwrap();
        assert_eq!(settings.env, "PRD");
        let told: Vec<String> = settings.complaints.iter().map(ToString::to_string).collect();
        let told = |section: &str| told.iter().filter(|one| one.contains(section)).count();
        for (section, text) in [
            ("[hook#1]", "node.conf line 4: [hook#1]: not read: this agent runs no hooks"),
            (
                "[syslog]",
                "node.conf line 7: [syslog]: not read: this agent writes its own log files",
            ),
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
}
