//! A key and its certificates as one file for browsers and keystores (RFC 7292).
//!
//! Encrypted by PBES2 (RFC 8018) with AES-256-CBC and PBKDF2 of HMAC-SHA-256, as OpenSSL 3 does. Written here: the crates that
//! write it bring a second set of hashes and ciphers, DES and RC2 among them. ring, aes and cbc are there already, and yasna
//! with rcgen.

use aes::Aes256;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeEncrypt, KeyIvInit};
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2};
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag};
use zeroize::Zeroizing;

use crate::{Certificate, MakeError, PrivateKey};

/// Rounds that make a key of a password.
const ROUNDS: u32 = 100_000;

const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
const ENCRYPTED_DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 6];
const PBES2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 13];
const PBKDF2: &[u64] = &[1, 2, 840, 113_549, 1, 5, 12];
const HMAC_SHA256: &[u64] = &[1, 2, 840, 113_549, 2, 9];
const AES256_CBC: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 1, 42];
const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
const KEY_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 2];
const CERT_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
const LOCAL_KEY_ID: &[u64] = &[1, 2, 840, 113_549, 1, 9, 21];

/// Bytes of a block of SHA-256, and of its digest.
const BLOCK: usize = 64;
const DIGEST: usize = 32;

/// Bytes of a block of AES.
const CIPHER_BLOCK: usize = 16;

fn oid(writer: DERWriter<'_>, parts: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(parts));
}

/// What was drawn for one encryption, and what came out.
struct Sealed {
    salt: [u8; 16],
    iv: [u8; 16],
    bytes: Vec<u8>,
}

fn draw(random: &dyn SecureRandom) -> Result<[u8; 16], MakeError> {
    let mut drawn = [0; 16];
    random.fill(&mut drawn).map_err(|_| MakeError::Other("no random numbers".to_owned()))?;
    Ok(drawn)
}

impl Sealed {
    fn new(plain: &[u8], password: &str, random: &dyn SecureRandom) -> Result<Self, MakeError> {
        let (salt, iv) = (draw(random)?, draw(random)?);
        let mut key = Zeroizing::new([0; 32]);
        let rounds = std::num::NonZeroU32::new(ROUNDS).expect("not zero");
        let prf = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(prf, rounds, &salt, password.as_bytes(), &mut *key);
        const FITS: &str = "of these lengths";
        let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&*key, &iv).expect(FITS);
        let mut bytes = plain.to_vec();
        bytes.resize(plain.len() + CIPHER_BLOCK - plain.len() % CIPHER_BLOCK, 0);
        cipher.encrypt_padded::<Pkcs7>(&mut bytes, plain.len()).expect(FITS);
        Ok(Self { salt, iv, bytes })
    }

    /// The algorithm and what it needs: PBES2-params.
    fn algorithm(&self, writer: DERWriter<'_>) {
        writer.write_sequence(|writer| {
            oid(writer.next(), PBES2);
            writer.next().write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    oid(writer.next(), PBKDF2);
                    writer.next().write_sequence(|writer| {
                        writer.next().write_bytes(&self.salt);
                        writer.next().write_u32(ROUNDS);
                        writer.next().write_sequence(|writer| {
                            oid(writer.next(), HMAC_SHA256);
                            writer.next().write_null();
                        });
                    });
                });
                writer.next().write_sequence(|writer| {
                    oid(writer.next(), AES256_CBC);
                    writer.next().write_bytes(&self.iv);
                });
            });
        });
    }
}

/// A bag: its kind, its content, and the id that ties a certificate to its key.
fn bag(writer: DERWriter<'_>, kind: &[u64], id: Option<&[u8]>, value: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|writer| {
        oid(writer.next(), kind);
        writer.next().write_tagged(Tag::context(0), value);
        if let Some(id) = id {
            writer.next().write_set(|writer| {
                writer.next().write_sequence(|writer| {
                    oid(writer.next(), LOCAL_KEY_ID);
                    writer.next().write_set(|writer| writer.next().write_bytes(id));
                });
            });
        }
    });
}

/// A ContentInfo of bytes in clear.
fn data(writer: DERWriter<'_>, bytes: &[u8]) {
    writer.write_sequence(|writer| {
        oid(writer.next(), DATA);
        writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(bytes));
    });
}

/// The key of the MAC (RFC 7292, B.2): as long as one digest, so its loop runs once.
fn mac_key(password: &str, salt: &[u8]) -> Zeroizing<[u8; DIGEST]> {
    const PURPOSE: u8 = 3;
    // UTF-16, highest byte first, and a zero at the end.
    let wide = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes);
    let wide: Zeroizing<Vec<u8>> = Zeroizing::new(wide.collect());
    let filled = |bytes: &[u8]| {
        let length = bytes.len().div_ceil(BLOCK) * BLOCK;
        Zeroizing::new(bytes.iter().copied().cycle().take(length).collect::<Vec<u8>>())
    };
    let first = Zeroizing::new([&[PURPOSE; BLOCK][..], &filled(salt), &filled(&wide)].concat());
    let mut key = Zeroizing::new([0; DIGEST]);
    key.copy_from_slice(digest::digest(&digest::SHA256, &first).as_ref());
    for _ in 1..ROUNDS {
        let next = digest::digest(&digest::SHA256, &*key);
        key.copy_from_slice(next.as_ref());
    }
    key
}

/// A private key, its certificate, and those above it, in one file that opens with a password.
///
/// # Errors
///
/// [`MakeError`]: no certificate, or one of another key.
pub fn pkcs12(
    key: &PrivateKey,
    chain: &[Certificate],
    password: &str,
    random: &dyn SecureRandom,
) -> Result<Vec<u8>, MakeError> {
    let own = chain.first().filter(|own| key.fits(own));
    let own = own.ok_or(MakeError::Other(crate::tls::ServerError::Mismatch.to_string()))?;
    let id = digest::digest(&digest::SHA256, own.der());
    let certificates = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for (at, certificate) in chain.iter().enumerate() {
                let id = (at == 0).then_some(id.as_ref());
                bag(writer.next(), CERT_BAG, id, |writer| {
                    writer.write_sequence(|writer| {
                        oid(writer.next(), X509);
                        writer.next().write_tagged(Tag::context(0), |writer| {
                            writer.write_bytes(certificate.der());
                        });
                    });
                });
            }
        });
    });
    let certificates = Sealed::new(&certificates, password, random)?;
    let sealed_key = Sealed::new(&key.pkcs8(own), password, random)?;
    let keys = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            bag(writer.next(), KEY_BAG, Some(id.as_ref()), |writer| {
                writer.write_sequence(|writer| {
                    sealed_key.algorithm(writer.next());
                    writer.next().write_bytes(&sealed_key.bytes);
                });
            });
        });
    });
    let safe = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            encrypted(writer.next(), &certificates);
            data(writer.next(), &keys);
        });
    });
    let salt = draw(random)?;
    let mac = hmac::Key::new(hmac::HMAC_SHA256, &*mac_key(password, &salt));
    let mac = hmac::sign(&mac, &safe);
    Ok(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(3);
            data(writer.next(), &safe);
            writer.next().write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_sequence(|writer| {
                        oid(writer.next(), SHA256);
                        writer.next().write_null();
                    });
                    writer.next().write_bytes(mac.as_ref());
                });
                writer.next().write_bytes(&salt);
                writer.next().write_u32(ROUNDS);
            });
        });
    }))
}

/// A ContentInfo of encrypted bytes.
fn encrypted(writer: DERWriter<'_>, sealed: &Sealed) {
    writer.write_sequence(|writer| {
        oid(writer.next(), ENCRYPTED_DATA);
        writer.next().write_tagged(Tag::context(0), |writer| {
            writer.write_sequence(|writer| {
                writer.next().write_u8(0);
                writer.next().write_sequence(|writer| {
                    oid(writer.next(), DATA);
                    sealed.algorithm(writer.next());
                    writer.next().write_tagged_implicit(Tag::context(0), |writer| {
                        writer.write_bytes(&sealed.bytes);
                    });
                });
            });
        });
    });
}
