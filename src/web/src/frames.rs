//! What a client sends over HTTP/2, frame by frame, before it is read: counted, and mended where deployed clients write what
//! no library reads.
//!
//! Deployed clients put the path of the socket into `:authority`. Each `/` of it becomes a `-`: both have codes of six bits,
//! so that the block and the table of headers keep their sizes.

use std::time::Duration;

use crate::huffman;

/// What a connection of HTTP/2 begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long frames are counted together.
const WINDOW: Duration = Duration::from_secs(10);

/// Frames of a window that cost and bring nothing.
const MOST_IDLE: u64 = 200;

/// Bytes of data that allow one more of them.
const BYTES_EACH: u64 = 4 << 10;

/// Streams of a window that their client gave up before they were answered.
const MOST_RESETS: u64 = 100;

/// How long headers may take to arrive.
const HEADERS_PATIENCE: Duration = Duration::from_secs(10);

/// The same of any frame.
const FRAME_PATIENCE: Duration = Duration::from_secs(30);

/// Longest frame that is held until it is whole: those of deployed clients have less than 300 bytes.
const LONGEST_HELD: usize = 4 << 10;

/// Bytes of the head of a frame.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// The flag of the last frame of a block of headers.
const END_HEADERS: u8 = 4;

/// The setting that says whether pushes are taken.
const ENABLE_PUSH: u16 = 2;

/// The client sends what costs and brings nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood;

/// Where the reader is.
#[derive(Debug)]
enum Stage {
    /// So much of the preface came.
    Preface(usize),
    /// The head of a frame.
    Head(Vec<u8>),
    /// A frame that passes: so much of it is to come.
    Passing(usize),
    /// A frame that is held until it is whole, and how long it is then.
    Held(Vec<u8>, usize),
}

/// The frames of one connection.
#[derive(Debug)]
pub struct Frames {
    stage: Stage,
    /// What is replaced in a block of headers, and by what: as long.
    authorities: Vec<(Vec<u8>, Vec<u8>)>,
    takes_pushes: bool,
    /// The frame that is coming began then.
    begun: Option<Duration>,
    /// The headers that are coming began then, and whether the frame that comes ends them.
    block: Option<(Duration, bool)>,
    window: Duration,
    idle: u64,
    exchanged: u64,
    resets: u64,
    answered: u64,
}

impl Frames {
    /// Those of a connection to a socket that clients call by these paths; none over TLS.
    #[must_use]
    pub fn new(socket_paths: &[String]) -> Self {
        let authorities = socket_paths.iter().flat_map(|path| replacements(path)).collect();
        Self {
            stage: Stage::Preface(0),
            authorities,
            takes_pushes: true,
            begun: None,
            block: None,
            window: Duration::ZERO,
            idle: 0,
            exchanged: 0,
            resets: 0,
            answered: 0,
        }
    }

    /// Whether the client takes pushed responses, by the last word it said.
    #[must_use]
    pub fn takes_pushes(&self) -> bool {
        self.takes_pushes
    }

    /// Whether something was begun and is not whole for too long.
    #[must_use]
    pub fn is_stuck(&self, now: Duration) -> bool {
        let is_old = |since: Duration, most: Duration| now >= since + most;
        self.block.is_some_and(|(since, _)| is_old(since, HEADERS_PATIENCE))
            || self.begun.is_some_and(|since| is_old(since, FRAME_PATIENCE))
    }

    /// So many bytes were sent to the client.
    pub fn on_written(&mut self, bytes: usize) {
        self.exchanged += bytes as u64;
    }

    /// A stream was answered.
    pub fn on_answered(&mut self) {
        self.answered += 1;
    }

    /// Takes what came, and hands over what is to be read.
    ///
    /// # Errors
    ///
    /// [`Flood`]: the connection is to be closed.
    pub fn read(&mut self, now: Duration, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Flood> {
        if now >= self.window + WINDOW {
            (self.window, self.idle, self.exchanged) = (now, 0, 0);
            (self.resets, self.answered) = (0, 0);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = match &mut self.stage {
                Stage::Preface(have) => {
                    let count = (PREFACE.len() - *have).min(rest.len());
                    out.extend_from_slice(&rest[..count]);
                    *have += count;
                    if *have == PREFACE.len() {
                        self.stage = Stage::Head(vec![]);
                    }
                    count
                }
                Stage::Head(head) => {
                    self.begun.get_or_insert(now);
                    let count = (HEAD - head.len()).min(rest.len());
                    head.extend_from_slice(&rest[..count]);
                    if head.len() == HEAD {
                        let head = std::mem::take(head);
                        self.on_head(now, head, out);
                    }
                    count
                }
                Stage::Passing(left) => {
                    let count = (*left).min(rest.len());
                    out.extend_from_slice(&rest[..count]);
                    *left -= count;
                    if *left == 0 {
                        self.on_end();
                    }
                    count
                }
                Stage::Held(frame, length) => {
                    let count = (*length - frame.len()).min(rest.len());
                    frame.extend_from_slice(&rest[..count]);
                    if frame.len() == *length {
                        let frame = std::mem::take(frame);
                        self.on_whole(frame, out);
                        self.on_end();
                    }
                    count
                }
            };
            rest = &rest[taken..];
            self.judge()?;
        }
        Ok(())
    }

    fn judge(&self) -> Result<(), Flood> {
        let is_flood = self.idle > MOST_IDLE + self.exchanged / BYTES_EACH
            || self.resets > MOST_RESETS + self.answered;
        if is_flood { Err(Flood) } else { Ok(()) }
    }

    /// The head of a frame is there.
    fn on_head(&mut self, now: Duration, head: Vec<u8>, out: &mut Vec<u8>) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        match head[3] {
            DATA if length > 0 => self.exchanged += length as u64,
            RST_STREAM => (self.resets, self.idle) = (self.resets + 1, self.idle + 1),
            DATA | PRIORITY | SETTINGS | PING | WINDOW_UPDATE | CONTINUATION => self.idle += 1,
            _ => {}
        }
        if matches!(head[3], HEADERS | CONTINUATION) {
            let since = self.block.map_or(now, |(since, _)| since);
            self.block = Some((since, head[4] & END_HEADERS != 0));
        }
        let is_read = head[3] == SETTINGS || head[3] == HEADERS && !self.authorities.is_empty();
        self.stage = if is_read && (1..=LONGEST_HELD).contains(&length) {
            Stage::Held(head, HEAD + length)
        } else {
            out.extend_from_slice(&head);
            Stage::Passing(length)
        };
        if length == 0 {
            self.on_end();
        }
    }

    /// A frame ended.
    fn on_end(&mut self) {
        self.stage = Stage::Head(vec![]);
        self.begun = None;
        self.block = self.block.filter(|(_, is_last)| !is_last);
    }

    /// A frame that was held is whole.
    fn on_whole(&mut self, mut frame: Vec<u8>, out: &mut Vec<u8>) {
        if frame[3] == SETTINGS {
            for setting in frame[HEAD..].chunks_exact(6) {
                if u16::from_be_bytes([setting[0], setting[1]]) == ENABLE_PUSH {
                    self.takes_pushes = setting[2..] != [0; 4];
                }
            }
        } else {
            for (wanted, instead) in &self.authorities {
                replace(&mut frame[HEAD..], wanted, instead);
            }
        }
        out.extend_from_slice(&frame);
    }
}

/// The forms that a path may have as the value of a field, and what takes their places.
fn replacements(path: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let instead = path.replace('/', "-");
    let plain = (text_field(path.as_bytes(), 0), text_field(instead.as_bytes(), 0));
    let coded = huffman::encode(path).zip(huffman::encode(&instead));
    let coded = coded.map(|(from, to)| (text_field(&from, 0x80), text_field(&to, 0x80)));
    std::iter::once(plain).chain(coded).collect()
}

/// A text with its length before it, as a block of headers has it.
fn text_field(text: &[u8], mark: u8) -> Vec<u8> {
    let mut field = vec![];
    match u8::try_from(text.len()) {
        Ok(length) if length < 0x7f => field.push(mark | length),
        _ => {
            field.push(mark | 0x7f);
            let mut rest = text.len() - 0x7f;
            while rest >= 0x80 {
                field.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            field.push(rest as u8);
        }
    }
    field.extend_from_slice(text);
    field
}

fn replace(block: &mut [u8], wanted: &[u8], instead: &[u8]) {
    if let Some(at) = block.windows(wanted.len()).position(|found| found == wanted) {
        block[at..at + instead.len()].copy_from_slice(instead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/var/lib/opensvc/lsnr/h2.sock";
    const BLOCK: &str =
        "8286419563b8ec628346c1eb2d48ee4628455631389741c9d7448a62419693d5121234da8f5c826dbf";
    const REPLACED: &str =
        "828641955bb8ec5a8346b1eb2d48ee45a845562d389741c9d7448a62419693d5121234da8f5c826dbf";

    fn bytes(hex: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(byte).collect()
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 4, 0, 0, 0, 1], payload].concat()
    }

    fn reader(path: &str) -> Frames {
        Frames::new(&[path.to_owned()])
    }

    #[test]
    fn the_path_of_the_socket_is_replaced_however_it_arrives() {
        let sent = [PREFACE, &frame(HEADERS, &bytes(BLOCK)), &frame(DATA, b"{}")].concat();
        let expected = [PREFACE, &frame(HEADERS, &bytes(REPLACED)), &frame(DATA, b"{}")].concat();
        for size in [1, 7, 1_000] {
            let (mut frames, mut out) = (reader(PATH), vec![]);
            for piece in sent.chunks(size) {
                frames.read(Duration::ZERO, piece, &mut out).unwrap();
            }
            assert_eq!(out, expected, "{size} bytes at once");
        }
    }

    #[test]
    fn a_long_path_and_one_without_code_are_replaced_too() {
        for path in [format!("/{}/h2.sock", "x".repeat(150)), "/é/h2.sock".to_owned()] {
            for (from, to) in replacements(&path) {
                assert_eq!(from.len(), to.len());
                let (mut frames, mut out) = (reader(&path), vec![]);
                let sent = [PREFACE, &frame(HEADERS, &[&[0x41][..], &from].concat())].concat();
                frames.read(Duration::ZERO, &sent, &mut out).unwrap();
                assert!(out.ends_with(&to));
            }
        }
    }

    #[test]
    fn whether_pushes_are_taken_is_read_from_the_settings() {
        let (mut frames, mut out) = (reader(PATH), vec![]);
        assert!(frames.takes_pushes());
        frames.read(Duration::ZERO, PREFACE, &mut out).unwrap();
        for (value, takes) in [(0, false), (1, true), (0, false)] {
            let sent = frame(SETTINGS, &[0, 4, 0, 0, 0xff, 0xff, 0, 2, 0, 0, 0, value]);
            frames.read(Duration::ZERO, &sent, &mut out).unwrap();
            assert_eq!(frames.takes_pushes(), takes);
        }
    }

    #[test]
    fn what_costs_and_brings_nothing_is_a_flood() {
        let now = Duration::ZERO;
        for kind in [PING, SETTINGS, PRIORITY, WINDOW_UPDATE, CONTINUATION, RST_STREAM, DATA] {
            let (mut frames, mut out) = (reader(PATH), vec![]);
            frames.read(now, PREFACE, &mut out).unwrap();
            let flood = (0..).find(|_| frames.read(now, &frame(kind, b""), &mut out).is_err());
            assert_eq!(flood, Some(if kind == RST_STREAM { 100 } else { 200 }), "{kind}");
        }
        let (mut frames, mut out) = (reader(PATH), vec![]);
        frames.read(now, PREFACE, &mut out).unwrap();
        for second in 0..1_000 {
            frames.on_written(8 << 10);
            frames.on_answered();
            frames
                .read(Duration::from_millis(second * 100), &frame(WINDOW_UPDATE, &[0; 4]), &mut out)
                .unwrap();
            frames
                .read(Duration::from_millis(second * 100), &frame(RST_STREAM, &[0; 4]), &mut out)
                .unwrap();
        }
    }

    #[test]
    fn what_never_becomes_whole_is_noticed() {
        let at = Duration::from_secs;
        let (mut frames, mut out) = (reader(PATH), vec![]);
        frames
            .read(at(0), &[PREFACE, &frame(HEADERS, b"x"), &frame(DATA, b"x")].concat(), &mut out)
            .unwrap();
        assert!(!frames.is_stuck(at(1_000)), "nothing is on its way");
        let mut open = frame(HEADERS, b"x");
        open[4] = 0;
        frames.read(at(1_000), &open, &mut out).unwrap();
        assert!(!frames.is_stuck(at(1_009)) && frames.is_stuck(at(1_010)));
        frames.read(at(1_010), &frame(CONTINUATION, b"x"), &mut out).unwrap();
        assert!(!frames.is_stuck(at(2_000)));
        frames.read(at(2_000), &frame(DATA, b"x")[..9], &mut out).unwrap();
        assert!(!frames.is_stuck(at(2_029)) && frames.is_stuck(at(2_030)));
    }

    #[test]
    fn garbage_passes_as_it_is() {
        let sent: Vec<u8> =
            PREFACE.iter().copied().chain((0..=255).cycle().take(100_000)).collect();
        let (mut frames, mut out) = (reader(PATH), vec![]);
        if frames.read(Duration::ZERO, &sent, &mut out).is_ok() {
            assert!(sent.starts_with(&out));
        }
    }
}
