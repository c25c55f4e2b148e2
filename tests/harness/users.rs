//! What users over TLS need of a node, and what proves who they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Node, Port};

impl Node {
    /// A node that is to listen for TLS at this port of the loopback once it has a certificate; `more` keywords of its section
    /// `listener`, and sections behind it.
    #[must_use]
    pub fn for_users(name: &str, more: &str) -> (Self, Port) {
        let (node, port) = (Self::new(name), Port::reserve());
        let text = format!(
            "[listener]\naddr = 127.0.0.1\nport = {}\ntls_addr = 127.0.0.1\ntls_port = {}\n{more}",
            node.port(),
            port.number()
        );
        node.write("etc/node.conf", &text);
        (node, port)
    }

    /// Makes a user with that grant; its password is `pw-` and its name.
    pub fn add_user(&self, name: &str, grant: &str) {
        let path = format!("system/usr/{name}");
        self.om_ok(&[&path, "create", "--kw", &format!("grant={grant}")]);
        self.om_ok(&[&path, "add", "--key", "password", "--value", &format!("pw-{name}")]);
    }
}

/// The header `authorization` of a name and a password.
#[must_use]
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}
