//! What a command printed, and how it ended.

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<std::process::Output> for Output {
    fn from(ended: std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: ended.status.code(), out: text(&ended.stdout), err: text(&ended.stderr) }
    }
}
