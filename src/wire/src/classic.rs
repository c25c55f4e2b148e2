//! The classic cipher: AES-CBC over zlib, without authentication (wire.md §2).

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};

use crate::zlib::{InflateError, inflate};
use crate::{ClusterSecret, KeyError};

/// Bytes of an initialization vector and of a block.
pub(crate) const BLOCK: usize = 16;

const CHECKED: &str = "lengths are checked";

/// Decrypts and inflates. Whatever is wrong with the padding, the same bytes are inflated, so that the time taken
/// does not tell a bad padding from a bad stream.
pub(crate) fn open(
    secret: &ClusterSecret,
    iv: &[u8],
    mut data: Vec<u8>,
    limit: usize,
) -> Result<Vec<u8>, InflateError> {
    let key = secret.classic_key().map_err(|_| InflateError::Corrupt)?;
    let is_shaped = iv.len() == BLOCK && !data.is_empty() && data.len().is_multiple_of(BLOCK);
    let iv = if iv.len() == BLOCK { iv } else { &[0; BLOCK] };
    let length = data.len() - data.len() % BLOCK;
    data.truncate(length);
    match key.len() {
        16 => decrypt::<Aes128>(key, iv, &mut data),
        24 => decrypt::<Aes192>(key, iv, &mut data),
        _ => decrypt::<Aes256>(key, iv, &mut data),
    }
    // Only the last byte is looked at: 1 to 16 bytes go, whatever their values; 0 takes all.
    let padding = data.last().map_or(0, |last| usize::from(*last));
    let is_padded = (1..=BLOCK).contains(&padding);
    let end = if is_padded { length.saturating_sub(padding) } else { length };
    let message = inflate(&data[..end], limit);
    if is_shaped && is_padded { message } else { Err(InflateError::Corrupt) }
}

/// Pads and encrypts a zlib stream in place.
pub(crate) fn seal(
    secret: &ClusterSecret,
    iv: &[u8; BLOCK],
    mut stream: Vec<u8>,
) -> Result<Vec<u8>, KeyError> {
    let key = secret.classic_key()?;
    let length = stream.len();
    stream.resize(length + BLOCK - length % BLOCK, 0);
    match key.len() {
        16 => encrypt::<Aes128>(key, iv, &mut stream, length),
        24 => encrypt::<Aes192>(key, iv, &mut stream, length),
        _ => encrypt::<Aes256>(key, iv, &mut stream, length),
    }
    Ok(stream)
}

fn decrypt<C>(key: &[u8], iv: &[u8], data: &mut [u8])
where
    cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
    C: cbc::cipher::BlockCipherDecrypt,
{
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).expect(CHECKED);
    cipher.decrypt_padded::<NoPadding>(data).expect(CHECKED);
}

fn encrypt<C>(key: &[u8], iv: &[u8], data: &mut [u8], length: usize)
where
    cbc::Encryptor<C>: KeyIvInit + BlockModeEncrypt,
    C: cbc::cipher::BlockCipherEncrypt,
{
    let cipher = cbc::Encryptor::<C>::new_from_slices(key, iv).expect(CHECKED);
    cipher.encrypt_padded::<Pkcs7>(data, length).expect(CHECKED);
}
