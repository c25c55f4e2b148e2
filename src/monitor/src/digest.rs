//! MD5 in hex: how nodes of this kind compare texts. Not for anything that has to be safe.

use md5::{Digest, Md5};

/// MD5 of some bytes, 32 lower case hex digits: `csum` of configurations and instances, which must equal the peers'.
#[must_use]
pub fn md5_hex(bytes: &[u8]) -> String {
    let text = digest(bytes);
    wipe_stack();
    text
}

#[inline(never)]
fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Md5::digest(bytes).iter().fold(String::with_capacity(32), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

/// Writes over what the functions called before left on the stack: the last bytes of a text, which may be a secret.
#[inline(never)]
fn wipe_stack() {
    std::hint::black_box(&[0_u8; 8 << 10]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_has_the_digest_that_agents_publish_for_it() {
        assert_eq!(md5_hex(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
