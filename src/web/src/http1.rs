//! HTTP/1.1 as it is read: one request after the other, nothing that two programs could understand in two ways.

use crate::deployed::Bad;

/// Most bytes of a request line and its headers.
pub const MOST_HEAD: usize = 16 << 10;

/// Most fields of a head.
pub const MOST_FIELDS: usize = 100;

/// Longest path, with its query.
pub const LONGEST_PATH: usize = 8 << 10;

/// Longest line of a chunk's size, extensions included.
const LONGEST_SIZE: usize = 256;

/// Digits of a length that is read: more are no length.
const MOST_DIGITS: usize = 16;

/// How long the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many bytes.
    Bytes(u64),
    /// Chunks, until an empty one.
    Chunked,
}

/// A request without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `GET`, ..
    pub method: String,
    /// The path, with its query.
    pub target: String,
    /// The fields in order, their names in small letters.
    pub fields: Vec<(String, String)>,
    /// Of the body.
    pub length: Length,
    /// Whether it is HTTP/1.1, not 1.0: chunks are read.
    pub is_new: bool,
    /// Whether another request may follow.
    pub is_kept: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub waits: bool,
}

/// Reads a head, if it is whole: with the number of its bytes.
///
/// # Errors
///
/// [`Bad`]: the connection is closed after that answer.
pub fn read_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Bad> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes);
    let line = memchr_line(bytes);
    if line.is_none_or(|length| length > LONGEST_PATH + 64) && bytes.len() > LONGEST_PATH + 64 {
        return Err(Bad::of(414, "the path is too long"));
    }
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) if length <= MOST_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Bad::of(431, "the headers are too long"));
        }
        Err(error) => return Err(Bad::new(&format!("this is not HTTP/1.1: {error}"))),
    };
    let (method, target) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    if !target.starts_with('/') {
        return Err(Bad::new("the target of the request is not a path"));
    }
    if target.len() > LONGEST_PATH {
        return Err(Bad::of(414, "the path is too long"));
    }
    let fields: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|field| {
            let value = String::from_utf8_lossy(field.value).into_owned();
            (field.name.to_ascii_lowercase(), value)
        })
        .collect();
    let is_new = request.version == Some(1);
    let body = body_length(&fields, is_new)?;
    if values(&fields, "host").count() > 1 {
        return Err(Bad::new("host is there more than once"));
    }
    let says = |word: &str| {
        let mut words = values(&fields, "connection").flat_map(|value| value.split(','));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    };
    let is_kept = if is_new { !says("close") } else { says("keep-alive") };
    let waits = match values(&fields, "expect").next() {
        Some(value) if value.eq_ignore_ascii_case("100-continue") => is_new,
        Some(_) => return Err(Bad::of(417, "only 100-continue can be expected")),
        None => false,
    };
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(Some((Head { method, target, fields, length: body, is_new, is_kept, waits }, length)))
}

/// Length of the first line that is not empty, as far as it is there.
fn memchr_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').filter(|length| *length > 1)
}

/// The values of a field.
pub fn values<'a>(fields: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    fields.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
}

fn body_length(fields: &[(String, String)], is_new: bool) -> Result<Length, Bad> {
    let mut lengths = values(fields, "content-length");
    let mut codings = values(fields, "transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(Length::Bytes(0)),
        (Some(_), Some(_)) => {
            Err(Bad::new("content-length and transfer-encoding exclude each other"))
        }
        (None, Some(coding)) => {
            let is_known =
                coding.trim().eq_ignore_ascii_case("chunked") && codings.next().is_none();
            if is_known && is_new {
                Ok(Length::Chunked)
            } else {
                Err(Bad::new("the only transfer-encoding is chunked"))
            }
        }
        (Some(text), None) => {
            let is_number = (1..=MOST_DIGITS).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_digit());
            match text.parse() {
                Ok(length) if is_number && lengths.next().is_none() => Ok(Length::Bytes(length)),
                _ => Err(Bad::new("content-length is not one number")),
            }
        }
    }
}

/// Reads a body.
#[derive(Debug)]
pub struct Body {
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// So many bytes are to come; then a line end, if this is a chunk.
    Bytes {
        left: u64,
        is_chunk: bool,
    },
    /// The line of a chunk's size.
    Size(Vec<u8>),
    /// The line end after a chunk, or after the last one.
    End {
        is_last: bool,
        has_return: bool,
    },
    Done,
}

impl Body {
    /// A body of this length.
    #[must_use]
    pub fn new(length: Length) -> Self {
        let stage = match length {
            Length::Bytes(0) => Stage::Done,
            Length::Bytes(left) => Stage::Bytes { left, is_chunk: false },
            Length::Chunked => Stage::Size(vec![]),
        };
        Self { stage }
    }

    /// Whether all of it came.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Takes what belongs to the body, adds what it carries to `out`, and tells how many bytes that were.
    ///
    /// # Errors
    ///
    /// [`Bad`] for chunks that are none: the connection is closed after that answer.
    pub fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Bad> {
        let mut at = 0;
        while at < bytes.len() && !self.is_done() {
            match &mut self.stage {
                Stage::Done => {}
                Stage::Bytes { left, is_chunk } => {
                    let count = usize::try_from(*left)
                        .map_or(bytes.len(), |left| left)
                        .min(bytes.len() - at);
                    out.extend_from_slice(&bytes[at..at + count]);
                    at += count;
                    *left -= count as u64;
                    if *left == 0 {
                        self.stage = match is_chunk {
                            true => Stage::End { is_last: false, has_return: false },
                            false => Stage::Done,
                        };
                    }
                }
                Stage::Size(line) => {
                    let byte = bytes[at];
                    at += 1;
                    match byte {
                        b'\n' => self.stage = chunk(line)?,
                        _ if line.len() == LONGEST_SIZE => return Err(not_chunked()),
                        byte => line.push(byte),
                    }
                }
                Stage::End { is_last, has_return } => {
                    match (bytes[at], *has_return) {
                        (b'\r', false) => *has_return = true,
                        (b'\n', true) if *is_last => self.stage = Stage::Done,
                        (b'\n', true) => self.stage = Stage::Size(vec![]),
                        _ => return Err(not_chunked()),
                    }
                    at += 1;
                }
            }
        }
        Ok(at)
    }
}

fn not_chunked() -> Bad {
    Bad::new("the chunks of the body cannot be read")
}

/// What follows the line of a chunk's size.
fn chunk(line: &[u8]) -> Result<Stage, Bad> {
    let line = line.strip_suffix(b"\r").ok_or_else(not_chunked)?;
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let text = std::str::from_utf8(digits).map_err(|_| not_chunked())?;
    let is_number = (1..=MOST_DIGITS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(text, 16) {
        Ok(0) if is_number => Ok(Stage::End { is_last: true, has_return: false }),
        Ok(left) if is_number => Ok(Stage::Bytes { left, is_chunk: true }),
        _ => Err(not_chunked()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> u16 {
        match read_head(head.as_bytes()) {
            Err(bad) => bad.status,
            Ok(read) => u16::from(read.is_some()),
        }
    }

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let text =
            "GET /whoami?a=b HTTP/1.1\r\nHost: x\r\nO-Node: n1\r\nConnection: close\r\n\r\nrest";
        for length in 0..text.len() - 4 {
            assert_eq!(read_head(&text.as_bytes()[..length]), Ok(None), "{length}");
        }
        let (head, length) = read_head(text.as_bytes()).unwrap().unwrap();
        assert_eq!(&text[length..], "rest");
        assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/whoami?a=b"));
        assert_eq!(values(&head.fields, "o-node").collect::<Vec<_>>(), ["n1"]);
        assert!(!head.is_kept && !head.waits && head.length == Length::Bytes(0));
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 10000000000000000000\r\n",
            "Content-Length: 1, 1\r\n",
            "Host: a\r\nHost: b\r\n",
            "A: b\r\n folded\r\n",
            "A : b\r\n",
            "A: b\rc\r\n",
            "A: \0\r\n",
        ] {
            assert_eq!(status(&format!("GET / HTTP/1.1\r\n{fields}\r\n")), 400, "{fields:?}");
        }
        for line in [
            "GET http://x/ HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET / HTTP/2.0",
            "\u{1}",
        ] {
            assert_eq!(status(&format!("{line}\r\n\r\n")), 400, "{line}");
        }
        assert_eq!(status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nExpect: a miracle\r\n\r\n"), 417);
    }

    #[test]
    fn what_is_too_long_is_told_by_its_status() {
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(9 << 10))), 414);
        assert_eq!(status(&format!("GET /{}", "x".repeat(9 << 10))), 414);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(17 << 10))), 431);
        assert_eq!(status(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101))), 431);
    }

    fn read(length: Length, text: &str, size: usize) -> Result<(Vec<u8>, usize, bool), u16> {
        let (mut body, mut out, mut taken) = (Body::new(length), vec![], 0);
        for piece in text.as_bytes().chunks(size) {
            taken += body.read(piece, &mut out).map_err(|bad| bad.status)?;
        }
        Ok((out, taken, body.is_done()))
    }

    #[test]
    fn bodies_are_read_in_pieces_of_any_size() {
        let chunks = "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n";
        for size in [1, 2, 5, 100] {
            let expected = (b"abc0123456789".to_vec(), chunks.len(), true);
            assert_eq!(read(Length::Chunked, chunks, size), Ok(expected));
            assert_eq!(read(Length::Bytes(3), "abc", size), Ok((b"abc".to_vec(), 3, true)));
        }
        assert_eq!(read(Length::Bytes(3), "abcd", 4), Ok((b"abc".to_vec(), 3, true)));
        assert_eq!(read(Length::Bytes(3), "ab", 4), Ok((b"ab".to_vec(), 2, false)));
    }

    #[test]
    fn chunks_that_are_none_are_refused() {
        for text in [
            "\r\n",
            "g\r\n",
            "12345678901234567\r\n",
            "1\n",
            "1\r\nab",
            "0\r\nA: b\r\n\r\n",
            "-1\r\n",
            "1\r\na\n",
        ] {
            assert_eq!(read(Length::Chunked, text, 100), Err(400), "{text:?}");
        }
        assert_eq!(read(Length::Chunked, &"0".repeat(300), 100), Err(400));
    }
}
