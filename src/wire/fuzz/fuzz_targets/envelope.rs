//! Bytes of a connection, in reads of any length, up to an opened message; and the two ciphers around any message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{
    BootId, Moment, ClusterSecret, Dialect, Envelope, Form, Framing, Incoming, Keyring, Limits, Prepared, Sender,
};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_frame: 1 << 16, max_message: 1 << 18 };
    let keyring = Keyring {
        own: Sender::new("demo", "n11", ClusterSecret::new("81ec81d6e68c11f1ae3f02fc00000001")), accepted: Default::default(),
        envelope: Envelope::Any,
        drpnodes: Default::default(),
        limits,
    };
    let Some((step, bytes)) = data.split_first() else { return };

    let mut framing = Framing::new(&limits);
    for read in bytes.chunks(usize::from(*step).max(1)) {
        if framing.push(read).is_err() {
            return;
        }
        while let Some(incoming) = framing.next_frame() {
            if let Incoming::Frame(frame) = incoming {
                // Without the secret nothing opens; the recorded messages in the corpus do.
                if let Ok(opened) = keyring.open(&frame) {
                    assert!(opened.body().len() <= limits.max_message);
                }
            }
        }
    }
    framing.finish();

    let random = ring::rand::SystemRandom::new();
    for dialect in [Dialect::Classic, Dialect::Sealed] {
        let now = Moment { boot: BootId([1; 16]), b_us: 1, t_ms: 1 };
        let form = Form::request(dialect, "n11", now, &random);
        // The sealed dialect carries JSON only.
        let body = match dialect {
            Dialect::Classic => Prepared::from_bytes(bytes),
            Dialect::Sealed => Prepared::new(&String::from_utf8_lossy(bytes)),
        };
        let frame = keyring.own.seal(&form, &body, &random).expect("the secret fits");
        if let Ok(opened) = keyring.open(&frame) {
            assert_eq!(opened.body(), &*body.json());
        }
    }
});
