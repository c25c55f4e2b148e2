//! The Huffman code of HTTP/2 header fields, for the characters of file names (RFC 7541, Appendix B).

/// First character of [`CODES`].
const FIRST: u8 = b' ';

/// Code and number of its bits, of each printable ASCII character.
const CODES: [(u32, u8); 95] = [
    (0x14, 6),
    (0x3f8, 10),
    (0x3f9, 10),
    (0xffa, 12),
    (0x1ff9, 13),
    (0x15, 6),
    (0xf8, 8),
    (0x7fa, 11),
    (0x3fa, 10),
    (0x3fb, 10),
    (0xf9, 8),
    (0x7fb, 11),
    (0xfa, 8),
    (0x16, 6),
    (0x17, 6),
    (0x18, 6),
    (0x0, 5),
    (0x1, 5),
    (0x2, 5),
    (0x19, 6),
    (0x1a, 6),
    (0x1b, 6),
    (0x1c, 6),
    (0x1d, 6),
    (0x1e, 6),
    (0x1f, 6),
    (0x5c, 7),
    (0xfb, 8),
    (0x7ffc, 15),
    (0x20, 6),
    (0xffb, 12),
    (0x3fc, 10),
    (0x1ffa, 13),
    (0x21, 6),
    (0x5d, 7),
    (0x5e, 7),
    (0x5f, 7),
    (0x60, 7),
    (0x61, 7),
    (0x62, 7),
    (0x63, 7),
    (0x64, 7),
    (0x65, 7),
    (0x66, 7),
    (0x67, 7),
    (0x68, 7),
    (0x69, 7),
    (0x6a, 7),
    (0x6b, 7),
    (0x6c, 7),
    (0x6d, 7),
    (0x6e, 7),
    (0x6f, 7),
    (0x70, 7),
    (0x71, 7),
    (0x72, 7),
    (0xfc, 8),
    (0x73, 7),
    (0xfd, 8),
    (0x1ffb, 13),
    (0x7fff0, 19),
    (0x1ffc, 13),
    (0x3ffc, 14),
    (0x22, 6),
    (0x7ffd, 15),
    (0x3, 5),
    (0x23, 6),
    (0x4, 5),
    (0x24, 6),
    (0x5, 5),
    (0x25, 6),
    (0x26, 6),
    (0x27, 6),
    (0x6, 5),
    (0x74, 7),
    (0x75, 7),
    (0x28, 6),
    (0x29, 6),
    (0x2a, 6),
    (0x7, 5),
    (0x2b, 6),
    (0x76, 7),
    (0x2c, 6),
    (0x8, 5),
    (0x9, 5),
    (0x2d, 6),
    (0x77, 7),
    (0x78, 7),
    (0x79, 7),
    (0x7a, 7),
    (0x7b, 7),
    (0x7ffe, 15),
    (0x7fc, 11),
    (0x3ffd, 14),
    (0x1ffd, 13),
];

/// A text in this code; none where it has other characters than printable ASCII.
pub(crate) fn encode(text: &str) -> Option<Vec<u8>> {
    let (mut coded, mut kept, mut count) = (vec![], 0_u64, 0_u8);
    for byte in text.bytes() {
        let (code, bits) = *CODES.get(usize::from(byte.checked_sub(FIRST)?))?;
        kept = kept << bits | u64::from(code);
        count += bits;
        while count >= 8 {
            count -= 8;
            coded.push((kept >> count) as u8);
        }
    }
    if count > 0 {
        // The rest is filled up with ones.
        coded.push((kept << (8 - count)) as u8 | 0xff >> count);
    }
    Some(coded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_coded_as_deployed_clients_code_it() {
        let hex = |text: &str| {
            encode(text)
                .map(|coded| coded.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        };
        assert_eq!(
            hex("/var/lib/opensvc/lsnr/h2.sock").as_deref(),
            Some("63b8ec628346c1eb2d48ee4628455631389741c9d7")
        );
        assert_eq!(
            hex("-var-lib-opensvc-lsnr-h2.sock").as_deref(),
            Some("5bb8ec5a8346b1eb2d48ee45a845562d389741c9d7")
        );
        assert_eq!(hex("é"), None);
        assert_eq!(hex("").as_deref(), Some(""));
    }
}
