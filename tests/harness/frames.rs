//! Frames of HTTP/2, as somebody writes them by hand.

/// What a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A kind of frame.
pub const DATA: u8 = 0;
/// A kind of frame.
pub const HEADERS: u8 = 1;
/// A kind of frame.
pub const PRIORITY: u8 = 2;
/// A kind of frame.
pub const RST_STREAM: u8 = 3;
/// A kind of frame.
pub const SETTINGS: u8 = 4;
/// A kind of frame.
pub const PING: u8 = 6;
/// A kind of frame.
pub const GOAWAY: u8 = 7;
/// A kind of frame.
pub const WINDOW_UPDATE: u8 = 8;
/// A kind of frame.
pub const CONTINUATION: u8 = 9;

/// Flag: the last frame of its stream.
pub const END_STREAM: u8 = 1;

/// Flag: the headers end here.
pub const END_HEADERS: u8 = 4;

/// The code of who sends too much that brings nothing.
pub const ENHANCE_YOUR_CALM: u8 = 11;

/// A frame.
///
/// # Panics
///
/// When it is longer than a frame may be.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [head.as_slice(), payload].concat()
}

/// The code of the GOAWAY frame of an answer.
#[must_use]
pub fn farewell(answer: &[u8]) -> Option<u8> {
    let mut rest = answer;
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        if rest[3] == GOAWAY {
            return rest.get(16).copied();
        }
        rest = rest.get(9 + length..)?;
    }
    None
}
