//! A configuration as a file, whosever it is.

use std::sync::Arc;

use conf::{Complaint, Context, Edit, NodeConf, NodeSettings, ObjectConf, Value};
use files::{last_good, read};
use model::ObjectPath;

/// Which configuration: what the command line calls a target is where it acts.
pub(crate) use files::edit::Target as Owner;

use crate::om::{Failure, Om};

/// A configuration, read.
#[derive(Clone)]
pub(crate) enum Document {
    Node(NodeConf),
    Object(ObjectConf),
}

impl Document {
    pub(super) fn read(om: &Om, owner: &Owner, settings: &NodeSettings) -> Result<Self, Failure> {
        match owner {
            Owner::Node => Ok(Self::Node((*settings.conf).clone())),
            Owner::Object(path) => {
                let file = om.paths.config_file(path);
                let text = match read::read_text(&om.paths, &file)? {
                    Some((text, _)) => text,
                    // The cluster configuration may still be to write.
                    None if *path == ObjectPath::cluster()
                        && !last_good::is_kept(&om.paths, path) =>
                    {
                        String::new()
                    }
                    None if *path == ObjectPath::cluster() => {
                        return Err(Failure::new(format!(
                            "{} does not exist, and the daemon goes on with its last good content: put it back with `cp {} {}`",
                            file.display(),
                            last_good::copy_of(&om.paths, &path.config_file()).display(),
                            file.display()
                        )));
                    }
                    None => {
                        return Err(Failure::new(format!(
                            "object {path} has no configuration on this node: name one that has it with --node"
                        )));
                    }
                };
                Self::parse(owner, settings, &text)
            }
        }
    }

    pub(super) fn parse(
        owner: &Owner,
        settings: &NodeSettings,
        text: &str,
    ) -> Result<Self, Failure> {
        match owner {
            Owner::Node => {
                let cluster = settings.conf.cluster.text();
                let conf = NodeConf::parse(settings.nodename.clone(), cluster, text)
                    .map_err(|complaint| Failure::new(complaint.to_string()))?;
                Ok(Self::Node(conf))
            }
            Owner::Object(path) => ObjectConf::parse(path.clone(), text)
                .map(Self::Object)
                .map_err(|error| Failure::new(format!("{} {error}", path.config_file()))),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Node(conf) => conf.node.text(),
            Self::Object(conf) => conf.text(),
        }
    }

    pub(super) fn get(&self, keyword: &str) -> Option<String> {
        match self {
            Self::Node(conf) => conf.get(keyword),
            Self::Object(conf) => conf.get(keyword),
        }
    }

    pub(super) fn has_section(&self, section: &str) -> bool {
        let ini = match self {
            Self::Node(conf) => &conf.node,
            Self::Object(conf) => conf.ini(),
        };
        ini.sections().any(|name| name == section)
    }

    pub(super) fn eval(&self, context: &Context, keyword: &str) -> Result<Value, conf::EvalError> {
        match self {
            Self::Node(conf) => conf.eval_keyword(context, keyword),
            Self::Object(conf) => conf.eval_keyword(context, keyword),
        }
    }

    pub(super) fn edit(&mut self, context: &Context, edits: &[Edit]) -> Result<bool, Failure> {
        match self {
            Self::Node(conf) => conf.edit(context, edits),
            Self::Object(conf) => conf.edit(context, edits),
        }
        .map_err(|error| Failure::usage(error.to_string()))
    }

    /// All mistakes, those included that the daemon finds when it loads the node's settings.
    pub(crate) fn validate(&self, context: &Context) -> Vec<Complaint> {
        let mut complaints = match self {
            Self::Node(conf) => conf.validate(context),
            Self::Object(conf) => conf.validate(context),
        };
        let (loaded, file) = match self {
            Self::Node(_) => (self.node_settings(context).map(|it| it.complaints), None),
            Self::Object(conf) if *conf.path() == ObjectPath::cluster() => {
                (self.node_settings(context).map(|it| it.complaints), Some("cluster.conf"))
            }
            Self::Object(conf) => (Some(conf.settings(context).1), None),
        };
        let mut loaded = loaded.unwrap_or_default();
        loaded.retain(|each| file.is_none_or(|file| file == each.file));
        Complaint::merge(&mut complaints, loaded);
        complaints
    }

    /// The settings of the node with this document; none for one that they do not depend on.
    pub(super) fn node_settings(&self, context: &Context) -> Option<NodeSettings> {
        let conf = match self {
            Self::Node(conf) => conf.clone(),
            Self::Object(conf) if *conf.path() == ObjectPath::cluster() => {
                let node = &context.node;
                NodeConf::new(node.nodename.clone(), Arc::new(conf.clone()), node.node.clone())
            }
            Self::Object(_) => return None,
        };
        Some(NodeSettings::new(Arc::new(conf)))
    }

    pub(super) fn to_json(&self, context: Option<&Context>) -> serde_json::Value {
        match (self, context) {
            (Self::Node(conf), None) => conf.to_json(),
            (Self::Node(conf), Some(context)) => conf.to_json_evaluated(context),
            (Self::Object(conf), None) => conf.to_json(),
            (Self::Object(conf), Some(context)) => conf.to_json_evaluated(context),
        }
    }
}
