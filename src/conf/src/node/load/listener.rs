//! The section `listener`.
//!
//! Part of the `impl` of [`Loader`], in a file of its own for its length.

use crate::node::load::Loader;
use crate::node::settings::{ListenerSettings, MetricsAccess};

impl Loader<'_> {
    pub(super) fn listener(&mut self) -> ListenerSettings {
        let usual = ListenerSettings::default();
        const SECTION: &str = "listener";
        ListenerSettings {
            addr: self.text(SECTION, "addr").unwrap_or_default(),
            port: self.number(SECTION, "port", 0..=u16::MAX, usual.port),
            tls_addr: self.text(SECTION, "tls_addr").unwrap_or_default(),
            tls_port: self.number(SECTION, "tls_port", 0..=u16::MAX, usual.tls_port),
            // A frame below 4 KiB could not carry our own requests.
            max_frame_bytes: self.number(
                SECTION,
                "max_frame",
                4_096..=1 << 40,
                usual.max_frame_bytes,
            ),
            max_message_bytes: self.number(
                SECTION,
                "max_message",
                4_096..=1 << 40,
                usual.max_message_bytes,
            ),
            replay_window: self.duration(SECTION, "replay_window", 30.0),
            idle_timeout: self.duration(SECTION, "idle_timeout", 60.0),
            max_connections: self.number(
                SECTION,
                "max_connections",
                1..=1_000_000,
                usual.max_connections,
            ),
            max_connections_per_address: self.number(
                SECTION,
                "max_connections_per_address",
                1..=1_000_000,
                usual.max_connections_per_address,
            ),
            h2: self.bool(SECTION, "h2"),
            event_buffer: self.number(SECTION, "event_buffer", 0..=1 << 30, usual.event_buffer),
            ui: self.bool(SECTION, "ui"),
            allow_secret: self.bool(SECTION, "allow_secret"),
            crl: self.set_text(SECTION, "crl"),
            openid_well_known: self.well_known(SECTION),
            secure_fetch: self.bool("node", "secure_fetch"),
            openid_client_id: self.text(SECTION, "openid_client_id"),
            max_body: self.number(SECTION, "max_body", 1_024..=1 << 30, usual.max_body),
            metrics: self.word(SECTION, "metrics", &MetricsAccess::WORDS),
            metrics_objects: self.number(
                SECTION,
                "metrics_objects",
                0..=1_000_000,
                usual.metrics_objects,
            ),
        }
    }

    /// A text that is set, not the default.
    fn set_text(&mut self, section: &str, keyword: &str) -> Option<String> {
        let (value, is_set) = self.value(section, keyword);
        (is_set && !value.is_null()).then(|| value.to_string()).filter(|text| !text.is_empty())
    }

    /// Where the OpenID provider describes itself: told, or at the usual place of an issuer.
    fn well_known(&mut self, section: &str) -> Option<String> {
        let at = |issuer: String| {
            format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
        };
        self.text(section, "openid_well_known")
            .or_else(|| self.text(section, "openid_issuer").map(at))
    }
}
