//! The files of sec and usr objects, as far as they hold certificates.

use certs::{Certificate, Issuer, Made, MakeError, Order, Purpose, Standing, Subject};
use conf::{Context, Ini, NodeSettings, ObjectConf};
use dataset::keys;
use dataset::keys::Keys;
use machine::paths::Paths;
use model::{Kind, ObjectPath, Timestamp};
use ring::rand::SystemRandom;
use zeroize::Zeroizing;

use crate::edit::{Target, edit_now};
use crate::read::read_file;

const DAY: f64 = 86_400.0;

/// The keys of a certificate.
pub const PRIVATE_KEY: &str = "private_key";
/// The certificate alone.
pub const CERTIFICATE: &str = "certificate";
/// The certificate and those above it.
pub const CHAIN: &str = "certificate_chain";
/// The list of what an authority has revoked.
pub const LIST: &str = "crl";
/// The table behind it.
pub const INDEX: &str = "crlindex";
/// The number of the next list.
pub const NUMBER: &str = "crlnumber";

/// Files of sec and usr objects, as a node reads and writes them.
#[derive(Debug, Clone, Copy)]
pub struct Store<'a> {
    /// Where they are.
    pub paths: &'a Paths,
    /// With what they are sealed.
    pub node: &'a NodeSettings,
}

/// Something to tell beside what was done.
pub type Notes = Vec<String>;

/// Keys, and the texts that they get.
pub(super) type Values = Vec<(&'static str, Zeroizing<String>)>;

fn said(path: &ObjectPath, error: &impl ToString) -> String {
    format!("{path}: {}", error.to_string())
}

impl Store<'_> {
    /// The configuration of an object that lies here.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, with its path.
    pub fn read(&self, path: &ObjectPath) -> Result<ObjectConf, String> {
        let file = self.paths.config_file(path);
        let text = read_file(&file).map_err(|error| format!("{}: {error}", file.display()))?.text;
        ObjectConf::parse(path.clone(), &text)
            .map_err(|error| format!("{}: {error}", path.config_file()))
    }

    /// Whether an object lies here.
    #[must_use]
    pub fn has(&self, path: &ObjectPath) -> bool {
        self.paths.config_file(path).exists()
    }

    /// The text of a key; none when it is not there.
    ///
    /// # Errors
    ///
    /// A value that does not open, or is no text.
    pub fn key(&self, conf: &ObjectConf, key: &str) -> Result<Option<Zeroizing<String>>, String> {
        if conf.ini().get(keys::SECTION, key).is_none_or(str::is_empty) {
            return Ok(None);
        }
        let failed = |reason: String| format!("{} key {key}: {reason}", conf.path());
        let sealing = Keys::of(self.node);
        let bytes = keys::decode(conf.ini(), conf.path(), key, sealing.as_ref())
            .map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            _ = Zeroizing::new(error.into_bytes());
            failed("it is no text".to_owned())
        })?;
        Ok(Some(Zeroizing::new(text)))
    }

    fn needed(&self, conf: &ObjectConf, key: &str) -> Result<Zeroizing<String>, String> {
        self.key(conf, key)?.ok_or_else(|| format!("{} has no key {key}", conf.path()))
    }

    /// Changes keys of an object under the lock of its file: those that `change` makes of the configuration as it is then.
    pub(super) fn write<T>(
        &self,
        path: &ObjectPath,
        change: impl FnOnce(&ObjectConf) -> Result<(Values, T), String>,
    ) -> Result<T, String> {
        let edit = |ini: &mut Ini| {
            if ini.text().trim().is_empty() {
                return Err(format!("{path} is gone"));
            }
            let mut conf = ObjectConf::new(path.clone(), ini.clone());
            let (values, told) = change(&conf)?;
            for (key, text) in &values {
                self.store(&mut conf, key, text)?;
            }
            *ini = conf.ini().clone();
            Ok((!values.is_empty(), told))
        };
        edit_now(self.paths, &Target::Object(path.clone()), edit).map(|(_, told)| told)
    }

    /// Puts a key into a configuration that is not written yet.
    pub(super) fn store(
        &self,
        conf: &mut ObjectConf,
        key: &str,
        value: &str,
    ) -> Result<(), String> {
        let failed = |reason: String| format!("{} key {key}: {reason}", conf.path());
        let sealing = Keys::of(self.node);
        let kind = conf.path().kind();
        let stored = keys::encode(kind, value.as_bytes(), sealing.as_ref(), &SystemRandom::new())
            .map_err(|error| failed(error.to_string()))?;
        let set = conf.ini_mut().set(keys::SECTION, key, &stored);
        set.map(|_| ()).map_err(|error| error.to_string())
    }

    /// The authority of a path: its certificate and its key.
    ///
    /// # Errors
    ///
    /// Why it cannot sign, with its path.
    pub fn issuer(&self, path: &ObjectPath) -> Result<Issuer, String> {
        let conf = self.read(path)?;
        let chain = self.needed(&conf, CHAIN)?;
        let key = self.needed(&conf, PRIVATE_KEY)?;
        Issuer::new(&chain, &key).map_err(|error| said(path, &error))
    }

    /// The first authority of `cluster.ca` that can sign.
    #[must_use]
    pub fn first_issuer(&self) -> Option<ObjectPath> {
        self.node.ca.iter().find(|path| self.issuer(path).is_ok()).cloned()
    }

    /// The first certificate of an object; none when it has none.
    ///
    /// # Errors
    ///
    /// A key that cannot be read.
    pub fn certificate(&self, conf: &ObjectConf) -> Result<Option<Certificate>, String> {
        let text = match self.key(conf, CERTIFICATE)? {
            Some(text) => text,
            None => match self.key(conf, CHAIN)? {
                Some(text) => text,
                None => return Ok(None),
            },
        };
        let mut chain = certs::certificates(&text).map_err(|error| said(conf.path(), &error))?;
        Ok(Some(chain.swap_remove(0)))
    }

    /// The authority that an object names; none where it signs itself.
    ///
    /// # Errors
    ///
    /// A keyword `ca` that is no path of a sec object.
    pub fn authority(&self, conf: &ObjectConf) -> Result<Option<ObjectPath>, String> {
        let context = crate::context::context(self.paths, self.node);
        authority(conf, &context)
    }

    /// Who can make the certificate of an object anew.
    #[must_use]
    pub fn standing(&self, conf: &ObjectConf, certificate: &Certificate) -> Standing {
        let signs = certificate.is_authority();
        let signer = self.authority(conf).ok().flatten().and_then(|path| self.issuer(&path).ok());
        match signer {
            Some(issuer)
                if issuer.certificate() != certificate
                    && certificate.is_issued_by(issuer.certificate()) =>
            {
                Standing::Renewable
            }
            _ if signs => Standing::Authority,
            _ => Standing::Foreign,
        }
    }

    /// Makes the key and the certificate of an object as its keywords say, in the place of those that it has. Blocks.
    ///
    /// # Errors
    ///
    /// What is wrong, with the object and the keyword.
    pub fn generate(&self, path: &ObjectPath, now: Timestamp) -> Result<Notes, String> {
        // One that is not there is named with its file.
        self.read(path)?;
        self.write(path, |conf| {
            let (made, notes) = self.make(conf, now)?;
            Ok((made.keys().to_vec(), notes))
        })
    }

    pub(super) fn make(&self, conf: &ObjectConf, now: Timestamp) -> Result<(Made, Notes), String> {
        let path = conf.path();
        if !matches!(path.kind(), Kind::Sec | Kind::Usr) {
            return Err(format!("{path}: only objects of kind sec and usr have certificates"));
        }
        let context = crate::context::context(self.paths, self.node);
        let authority = authority(conf, &context)?;
        let order = self.order(conf, &context, authority.is_some(), now)?;
        let mut notes = vec![];
        let bits = conf.get("bits").filter(|bits| !bits.is_empty());
        if let Some(bits) = bits {
            notes.push(format!("{path}: bits = {bits} is for RSA: the key is P-256"));
        }
        notes.extend(self.consequences(conf, &order));
        if let Some(authority) = authority.as_ref().filter(|it| !self.has(it)) {
            return Err(format!("{path}: ca {authority} does not exist on this node"));
        }
        let issuer = authority.as_ref().map(|it| self.issuer(it)).transpose()?;
        let made = order.make(issuer.as_ref()).map_err(|error| match (&error, &authority) {
            (MakeError::AuthorityEnded | MakeError::AuthorityName, Some(authority)) => {
                format!("{path}: ca {authority}: {error}")
            }
            _ => said(path, &error),
        })?;
        if let Some((issuer, authority)) = issuer.as_ref().zip(authority)
            && issuer.certificate().end().since(now) < order.validity
        {
            let days = issuer.certificate().end().since(now) / DAY;
            notes.push(format!(
                "warning: {path} outlives its authority {authority}, which ends in {days:.0} days"
            ));
        }
        Ok((made, notes))
    }

    /// What somebody may not expect of the certificate that is made.
    fn consequences(&self, conf: &ObjectConf, order: &Order) -> Notes {
        let path = conf.path();
        let mut notes = vec![];
        if path.kind() == Kind::Usr {
            let cn = order.subject.cn.as_deref().unwrap_or_default();
            match certs::user_of(cn, &self.node.cluster_name) {
                Ok(user) if user == *path => {}
                Ok(user) => {
                    notes.push(format!("warning: {path} is let in as {user}: its cn is {cn:?}"))
                }
                Err(_) => notes.push(format!(
                    "warning: {path} is not let in: its cn {cn:?} is that of no user"
                )),
            }
        }
        let before = self.certificate(conf).ok().flatten();
        if order.purpose == Purpose::Authority && before.is_some_and(|it| it.is_authority()) {
            notes.push(format!(
                "warning: what {path} signed before is not trusted any more: `gen cert` makes each of it anew"
            ));
        }
        notes
    }

    fn order(
        &self,
        conf: &ObjectConf,
        context: &Context,
        has_authority: bool,
        now: Timestamp,
    ) -> Result<Order, String> {
        const KEYWORDS: [&str; 10] =
            ["cn", "c", "st", "l", "o", "ou", "email", "alt_names", "validity", "ca"];
        let complaints = conf.validate(context);
        let wrong = complaints.iter().find(|complaint| {
            let keyword = complaint.keyword.split('@').next().unwrap_or_default();
            complaint.is_refused() && KEYWORDS.contains(&keyword)
        });
        if let Some(complaint) = wrong {
            return Err(complaint.to_string());
        }
        let section = conf.section(context, "DEFAULT");
        let text = |keyword: &str| section.text(keyword).map_err(|error| error.to_string());
        let subject = Subject {
            c: text("c")?,
            st: text("st")?,
            l: text("l")?,
            o: text("o")?,
            ou: text("ou")?,
            cn: text("cn")?,
            email: text("email")?,
        };
        let Some(cn) = subject.cn.clone() else {
            let path = conf.path();
            return Err(format!(
                "{path}: keyword cn is not set: om {path} set --kw cn=<common name>"
            ));
        };
        let purpose = match (has_authority, conf.path().kind()) {
            (false, _) => Purpose::Authority,
            (true, Kind::Usr) => Purpose::Client,
            (true, _) => Purpose::Server,
        };
        let mut alt_names = section.words("alt_names").map_err(|error| error.to_string())?;
        if alt_names.is_empty() && purpose == Purpose::Server {
            alt_names = server_names(self.node, &cn);
        }
        let days = section.value("validity").map_err(|error| error.to_string())?.as_number();
        let validity = days.unwrap_or(0.0).max(1.0) * DAY;
        Ok(Order { subject, alt_names, purpose, validity, now })
    }

    /// The private key and the chain of an object, which is made if it has none. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::generate`].
    pub fn fullpem(
        &self,
        path: &ObjectPath,
        now: Timestamp,
    ) -> Result<(Zeroizing<String>, Notes), String> {
        let mut conf = self.read(path)?;
        let mut notes = vec![];
        if self.key(&conf, PRIVATE_KEY)?.is_none() || self.key(&conf, CHAIN)?.is_none() {
            notes = self.generate(path, now)?;
            conf = self.read(path)?;
        }
        let (key, chain) = (self.needed(&conf, PRIVATE_KEY)?, self.needed(&conf, CHAIN)?);
        let end = if key.ends_with('\n') { "" } else { "\n" };
        Ok((Zeroizing::new(format!("{}{end}{}", *key, *chain)), notes))
    }
}

/// What a server is called that names nothing else: its common name and the nodes of the cluster.
fn server_names(node: &NodeSettings, cn: &str) -> Vec<String> {
    let is_host = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let mut names: Vec<String> = Some(cn.to_owned()).into_iter().filter(|cn| is_host(cn)).collect();
    names.extend(node.nodes.iter().map(ToString::to_string));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The path of keyword `ca`.
fn authority(conf: &ObjectConf, context: &Context) -> Result<Option<ObjectPath>, String> {
    let text = conf.section(context, "DEFAULT").text("ca").map_err(|error| error.to_string())?;
    let Some(text) = text else { return Ok(None) };
    let path = ObjectPath::parse(&text).ok().filter(|path| path.kind() == Kind::Sec);
    path.map(Some).ok_or_else(|| {
        format!("{}: ca is {text:?}, expected the path of a sec object", conf.path())
    })
}

/// Names of a certificate of the listener that are missing: `alt_names` names others, or a node is new.
#[must_use]
pub fn missing_names(
    node: &NodeSettings,
    conf: &ObjectConf,
    certificate: &Certificate,
) -> Vec<String> {
    if conf.get("alt_names").is_some_and(|names| !names.is_empty()) {
        return vec![];
    }
    let has = certificate.host_names();
    let wanted = node.nodes.iter().map(ToString::to_string);
    wanted.filter(|name| !has.contains(name)).collect()
}
