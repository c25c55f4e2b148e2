//! zlib: inflating within a limit, and putting a stream together from parts that were compressed before.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// First bytes of every stream: deflate with a 32 kB window, fast level.
pub(crate) const HEADER: [u8; 2] = [0x78, 0x5e];

/// First bytes of the streams of deployed agents: the same, default level.
pub(crate) const HEADER_DEPLOYED: [u8; 2] = [0x78, 0x9c];

/// An empty stored block, marked as the last one.
pub(crate) const EMPTY_LAST: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// Why a stream does not inflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// Not a zlib stream, damaged, or cut.
    Corrupt,
    /// More than the limit comes out.
    TooLong,
}

/// Inflates at most `limit` bytes, of a stream that ends where `data` does.
pub(crate) fn inflate(data: &[u8], limit: usize) -> Result<Vec<u8>, InflateError> {
    match inflate_start(data, limit) {
        Inflated { error: Some(error), .. } => Err(error),
        Inflated { read, out, .. } if read == data.len() => Ok(out),
        Inflated { .. } => Err(InflateError::Corrupt),
    }
}

/// What became of the stream at the start of some bytes.
pub(crate) struct Inflated {
    /// Bytes read: up to the end of the stream, or up to what is wrong.
    pub(crate) read: usize,
    /// What came out until then.
    pub(crate) out: Vec<u8>,
    /// What is wrong.
    pub(crate) error: Option<InflateError>,
}

/// What is longer is measured before it is kept: a buffer that grows holds its old and its new place, and gives back
/// neither at once.
const MEASURE_FROM: usize = 1 << 20;

/// Inflates at most `limit` bytes of the stream that `data` starts with.
pub(crate) fn inflate_start(data: &[u8], limit: usize) -> Inflated {
    let mut stream = Decompress::new(true);
    // One byte more than the limit tells a message that fits from one that does not.
    let most = limit.saturating_add(1);
    let mut out =
        Vec::with_capacity(data.len().saturating_mul(4).clamp(256, MEASURE_FROM).min(most));
    let error = loop {
        let rest = &data[read_of(&stream, data)..];
        let Ok(status) = stream.decompress_vec(rest, &mut out, FlushDecompress::None) else {
            break Some(InflateError::Corrupt);
        };
        if out.len() > limit {
            break Some(InflateError::TooLong);
        }
        match status {
            Status::StreamEnd => break None,
            // Room is left, so the input is used up: the stream was cut.
            Status::Ok | Status::BufError if out.len() < out.capacity() => {
                break Some(InflateError::Corrupt);
            }
            Status::Ok | Status::BufError if out.len() >= MEASURE_FROM => {
                return inflate_long(data, stream, out, limit);
            }
            Status::Ok | Status::BufError => {
                let most = most.min(MEASURE_FROM);
                out.reserve_exact(out.len().min(most - out.len()).max(1));
            }
        }
    };
    Inflated { read: read_of(&stream, data), out, error }
}

/// How much of the data a stream has read.
fn read_of(stream: &Decompress, data: &[u8]) -> usize {
    usize::try_from(stream.total_in()).unwrap_or(data.len()).min(data.len())
}

/// Goes on with a stream of which the start came out: finds out how long it becomes, and only if that is within the
/// limit, and its checksum right, takes the memory for it, once.
fn inflate_long(data: &[u8], mut stream: Decompress, start: Vec<u8>, limit: usize) -> Inflated {
    let mut scratch = vec![0; 32 << 10];
    let failed = |stream: &Decompress, error| Inflated {
        read: read_of(stream, data),
        out: vec![],
        error: Some(error),
    };
    let length = loop {
        let before = stream.total_out();
        let rest = &data[read_of(&stream, data)..];
        let Ok(status) = stream.decompress(rest, &mut scratch, FlushDecompress::None) else {
            return Inflated { out: start, ..failed(&stream, InflateError::Corrupt) };
        };
        let length = usize::try_from(stream.total_out()).unwrap_or(usize::MAX);
        if length > limit {
            return Inflated { out: start, ..failed(&stream, InflateError::TooLong) };
        }
        match status {
            Status::StreamEnd => break length,
            Status::Ok | Status::BufError if stream.total_out() - before < scratch.len() as u64 => {
                return Inflated { out: start, ..failed(&stream, InflateError::Corrupt) };
            }
            Status::Ok | Status::BufError => {}
        }
    };
    drop((start, scratch));
    stream.reset(true);
    let mut out = Vec::with_capacity(length);
    loop {
        let rest = &data[read_of(&stream, data)..];
        match stream.decompress_vec(rest, &mut out, FlushDecompress::None) {
            Ok(Status::StreamEnd) => {
                return Inflated { read: read_of(&stream, data), out, error: None };
            }
            Ok(_) if out.len() < length => {}
            // The checksum comes after the last byte.
            Ok(_) if read_of(&stream, data) < data.len() => out.reserve_exact(1),
            _ => return failed(&stream, InflateError::Corrupt),
        }
    }
}

/// Inflates that many bytes of nothing: the work that a stream would have been which fails early. Returns how many were
/// read.
pub(crate) fn inflate_nothing(length: usize) -> usize {
    // Bits that alternate are a block of the fixed code, of the same letter for ever.
    const ENDLESS: [u8; 1_024] = [0xaa; 1_024];
    let mut stream = Decompress::new(false);
    let (mut out, mut read) = ([0; 1_100], 0);
    while read < length {
        let piece = &ENDLESS[..ENDLESS.len().min(length - read)];
        let before = stream.total_in();
        let status = stream.decompress(piece, &mut out, FlushDecompress::None);
        debug_assert!(status.is_ok(), "{status:?}");
        let taken = usize::try_from(stream.total_in() - before).unwrap_or(0);
        if taken == 0 {
            break;
        }
        read += taken;
    }
    std::hint::black_box(&out);
    read
}

/// Texts up to this length are stored as they are: making a compressor takes ten times longer than sealing them, and
/// finds little in them.
const STORE_UP_TO: usize = 192;

/// A byte-aligned piece of a deflate stream: it refers to nothing before it, and a block may follow.
pub(crate) fn deflate_piece(data: &[u8]) -> Vec<u8> {
    if data.len() <= STORE_UP_TO {
        let mut out = Vec::with_capacity(data.len() + 5);
        append_stored(&mut out, data, false);
        return out;
    }
    // Level 2: a fifth of the time of level 6 for 19 % more bytes, as measured.
    let mut stream = Compress::new(Compression::new(2), false);
    let mut out = Vec::with_capacity(data.len() / 4 + 128);
    loop {
        let read = usize::try_from(stream.total_in()).expect("as long as a slice");
        stream
            .compress_vec(&data[read..], &mut out, FlushCompress::Sync)
            .expect("compressing does not fail");
        // A flush that leaves room is complete.
        if out.len() < out.capacity() {
            out.shrink_to_fit();
            return out;
        }
        out.reserve(out.len().max(1024));
    }
}

/// Appends `data`, at most 65,535 bytes, as it is, in one block.
pub(crate) fn append_stored(stream: &mut Vec<u8>, data: &[u8], is_last: bool) {
    let length = u16::try_from(data.len()).expect("a stored block has at most 65,535 bytes");
    stream.push(u8::from(is_last));
    stream.extend_from_slice(&length.to_le_bytes());
    stream.extend_from_slice(&(!length).to_le_bytes());
    stream.extend_from_slice(data);
}

const BASE: u32 = 65_521;

/// The checksum at the end of a stream.
pub(crate) fn adler32(data: &[u8]) -> u32 {
    let (mut low, mut high) = (1_u32, 0_u32);
    // 5,552 is the longest run for which the sums fit 32 bits (RFC 1950).
    for run in data.chunks(5_552) {
        for byte in run {
            low += u32::from(*byte);
            high += low;
        }
        low %= BASE;
        high %= BASE;
    }
    high << 16 | low
}

/// The checksum of two pieces one after the other; `length` is the second one's.
pub(crate) fn adler32_combine(first: u32, second: u32, length: usize) -> u32 {
    let base = u64::from(BASE);
    let (low1, high1) = (u64::from(first & 0xffff), u64::from(first >> 16));
    let (low2, high2) = (u64::from(second & 0xffff), u64::from(second >> 16));
    let length = length as u64 % base;
    let low = (low1 + low2 + base - 1) % base;
    let high = (high1 + high2 + length * low1 + base - length) % base;
    u32::try_from(high << 16 | low).expect("two halves below 65,521")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn checksums_of_pieces_combine_to_that_of_the_whole() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
        let data = noise(70_000);
        for cut in [0, 1, 5_552, 65_521, 69_999, 70_000] {
            let (a, b) = data.split_at(cut);
            assert_eq!(adler32_combine(adler32(a), adler32(b), b.len()), adler32(&data), "{cut}");
        }
    }

    #[test]
    fn pieces_put_together_inflate_to_the_whole() {
        for length in [0, 1, 1_000, 100_000, 1_000_000, 3_000_000] {
            for body in [noise(length), vec![b'a'; length]] {
                let mut stream = HEADER.to_vec();
                append_stored(&mut stream, b"head", false);
                stream.extend_from_slice(&deflate_piece(&body));
                append_stored(&mut stream, b"}", true);
                let whole = [b"head", &body[..], b"}"].concat();
                stream.extend_from_slice(&adler32(&whole).to_be_bytes());
                assert_eq!(inflate(&stream, whole.len()), Ok(whole.clone()));
                assert_eq!(inflate(&stream, whole.len() - 1), Err(InflateError::TooLong));
                assert_eq!(
                    inflate(&stream[..stream.len() - 1], 1 << 30),
                    Err(InflateError::Corrupt)
                );
                let read = inflate_start(&[&stream[..], b"more"].concat(), 1 << 30).read;
                assert_eq!(read, stream.len());
                stream.push(0);
                assert_eq!(inflate(&stream, 1 << 30), Err(InflateError::Corrupt));
            }
        }
    }

    #[test]
    fn what_is_long_takes_its_length_and_what_is_too_long_takes_nothing() {
        let stream_of = |body: &[u8]| {
            let mut stream = HEADER.to_vec();
            stream.extend_from_slice(&deflate_piece(body));
            stream.extend_from_slice(&EMPTY_LAST);
            stream.extend_from_slice(&adler32(body).to_be_bytes());
            stream
        };
        for length in [MEASURE_FROM - 1, MEASURE_FROM, MEASURE_FROM + 1, 5_000_000] {
            let body = noise(length);
            let mut stream = stream_of(&body);
            let Inflated { out, error, .. } = inflate_start(&stream, length);
            assert!(error.is_none() && out == body, "{length}");
            assert!(out.capacity() <= length.max(MEASURE_FROM) + 1, "{} bytes", out.capacity());
            for limit in [length - 1, MEASURE_FROM / 2, 100] {
                let Inflated { out, error, .. } = inflate_start(&stream, limit);
                assert_eq!(error, Some(InflateError::TooLong), "{length} {limit}");
                assert!(out.capacity() <= MEASURE_FROM + 1, "{} bytes", out.capacity());
            }
            *stream.last_mut().unwrap() ^= 1;
            assert_eq!(inflate(&stream, length), Err(InflateError::Corrupt), "{length}");
        }
    }

    #[test]
    fn nothing_is_inflated_as_long_as_wanted() {
        for length in [0, 1, 1_023, 1_024, 100_000] {
            assert_eq!(inflate_nothing(length), length);
        }
    }
}
