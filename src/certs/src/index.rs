//! The table of what an authority has revoked, as OpenSSL keeps it: key `crlindex`.

use model::Timestamp;

use crate::Certificate;
use crate::time::{from_text, to_text};

/// A row of a certificate that is revoked.
#[derive(Debug, Clone, PartialEq)]
pub struct Revoked {
    /// When the certificate ends.
    pub expiry: Timestamp,
    /// When it was revoked.
    pub revoked: Timestamp,
    /// Its serial number in hexadecimal digits, in capitals.
    pub serial: String,
    /// Its subject, as `/CN=alice`.
    pub subject: String,
}

impl Revoked {
    fn parse(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.split('\t').collect();
        let ["R", expiry, revoked, serial, _, subject] = columns[..] else { return None };
        // A reason may follow the time.
        let (revoked, _) = revoked.split_once(',').unwrap_or((revoked, ""));
        if serial.is_empty() || !serial.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        Some(Self {
            expiry: from_text(expiry)?,
            revoked: from_text(revoked)?,
            serial: serial.to_ascii_uppercase(),
            subject: subject.to_owned(),
        })
    }

    fn line(&self) -> String {
        let (expiry, revoked) = (to_text(self.expiry), to_text(self.revoked));
        format!("R\t{expiry}\t{revoked}\t{}\tunknown\t{}", self.serial, self.subject)
    }

    /// The bytes of the serial number.
    #[must_use]
    pub fn serial_bytes(&self) -> Vec<u8> {
        let even = format!(
            "{}{}",
            if self.serial.len().is_multiple_of(2) { "" } else { "0" },
            self.serial
        );
        let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0);
        let pair = |pair: &[u8]| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap_or(0);
        even.as_bytes().chunks_exact(2).map(pair).collect()
    }
}

/// The table: one row a line, its columns apart by tabs. Rows of other states are kept as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    lines: Vec<String>,
}

impl Index {
    /// Reads a table.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(|line| line.trim_end_matches('\r'));
        Self { lines: lines.filter(|line| !line.is_empty()).map(str::to_owned).collect() }
    }

    /// The rows of what is revoked.
    pub fn revoked(&self) -> impl Iterator<Item = Revoked> {
        self.lines.iter().filter_map(|line| Revoked::parse(line))
    }

    /// Whether a certificate of the authority is revoked.
    #[must_use]
    pub fn is_revoked(&self, certificate: &Certificate) -> bool {
        let serial = certificate.serial();
        let serial = serial.trim_start_matches('0');
        self.revoked().any(|row| row.serial.trim_start_matches('0') == serial)
    }

    /// Adds a certificate; false if it is revoked already.
    pub fn revoke(&mut self, certificate: &Certificate, now: Timestamp) -> bool {
        if self.is_revoked(certificate) {
            return false;
        }
        let name = certificate.common_name().unwrap_or_default();
        // A tab or a line break would be a column or a row more.
        let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let row = Revoked {
            expiry: certificate.end(),
            revoked: now,
            serial: certificate.serial(),
            subject: format!("/CN={name}"),
        };
        self.lines.push(row.line());
        true
    }

    /// The table as it is kept.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_kept() {
        let text = "R\t270101000000Z\t260101000000Z\t0A1B\tunknown\t/CN=alice\n\
                    V\t270101000000Z\t\t02\tunknown\t/CN=bob\n\
                    R\t20500101000000Z\t260101000001Z,keyCompromise\tf00\tunknown\t/CN=eve\n\
                    R\tnever\t260101000001Z\t03\tunknown\t/CN=mallory\n";
        let index = Index::parse(text);
        assert_eq!(index.text(), text);
        let rows: Vec<Revoked> = index.revoked().collect();
        let row = |expiry, revoked, serial: &str, subject: &str| Revoked {
            expiry: Timestamp(expiry),
            revoked: Timestamp(revoked),
            serial: serial.to_owned(),
            subject: subject.to_owned(),
        };
        assert_eq!(
            rows,
            [
                row(1_798_761_600.0, 1_767_225_600.0, "0A1B", "/CN=alice"),
                row(2_524_608_000.0, 1_767_225_601.0, "F00", "/CN=eve"),
            ]
        );
        assert_eq!(rows[0].line(), text.lines().next().unwrap());
        assert_eq!(rows[0].serial_bytes(), [0x0a, 0x1b]);
        assert_eq!(rows[1].serial_bytes(), [0x0f, 0x00]);
    }
}
