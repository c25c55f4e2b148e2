//! What an authority has revoked: its table, its list, and the number of the next one.
//!
//! Part of the `impl` of [`Store`], in a file of its own for its length.

use certs::{Index, next_number};
use model::{ObjectPath, Timestamp};
use zeroize::Zeroizing;

use crate::certificates::store::{INDEX, LIST, NUMBER, Store};

impl Store<'_> {
    /// Writes the list of an authority anew, with what `change` makes of its table; false where there is nothing to write.
    fn list(
        &self,
        authority: &ObjectPath,
        now: Timestamp,
        change: impl FnOnce(&mut Index) -> bool,
    ) -> Result<bool, String> {
        let issuer = self.issuer(authority)?;
        self.write(authority, |conf| {
            let text = |key: &str| Ok::<_, String>(self.key(conf, key)?.unwrap_or_default());
            let mut index = Index::parse(&text(INDEX)?);
            let has_list = !text(LIST)?.is_empty();
            if !change(&mut index) && has_list {
                return Ok((vec![], false));
            }
            let (number, next) = next_number(&text(NUMBER)?);
            let list = issuer
                .list(&index, number, now)
                .map_err(|error| format!("{authority}: {error}"))?;
            let values = [(NUMBER, next), (INDEX, index.text()), (LIST, list)];
            Ok((values.map(|(key, text)| (key, Zeroizing::new(text))).to_vec(), true))
        })
    }
}

/// Revokes the certificate of a user or secret: adds it to the table of its authority, and makes a new list. False when it
/// was revoked already. Blocks.
///
/// # Errors
///
/// An object without certificate or without authority, an authority whose key is not here.
pub fn revoke(store: Store<'_>, path: &ObjectPath, now: Timestamp) -> Result<bool, String> {
    let conf = store.read(path)?;
    let certificate = store
        .certificate(&conf)?
        .ok_or_else(|| format!("{path} has no certificate: there is nothing to revoke"))?;
    let authority = store.authority(&conf)?.ok_or_else(|| {
        format!("{path} names no ca: it signs itself, and nobody else can revoke it")
    })?;
    let issuer = store.issuer(&authority)?;
    if !certificate.is_issued_by(issuer.certificate()) {
        return Err(format!(
            "{path}: its certificate is not signed by {authority}, which is its ca: whoever signed it revokes it"
        ));
    }
    store.list(&authority, now, |index| index.revoke(&certificate, now))
}

/// Makes the list of an authority anew, with the same revocations and a later end. Blocks.
///
/// # Errors
///
/// An authority whose key is not here.
pub fn list_again(store: Store<'_>, authority: &ObjectPath, now: Timestamp) -> Result<(), String> {
    store.list(authority, now, |_| true).map(|_| ())
}
