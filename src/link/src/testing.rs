//! A node that refuses everything: for tests of who asks it, and in which dialect.

use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use wire::Dialect;

/// Closes each connection without a word, and remembers in which dialect it was asked.
pub struct Deaf {
    /// Where it listens, `host:port`.
    pub address: String,
    hears: mpsc::UnboundedReceiver<Dialect>,
}

impl Deaf {
    /// One that listens on an address of its own.
    pub async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let address = listener.local_addr().expect("it has an address").to_string();
        let (heard, hears) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut first = [0; 4096];
                let count = stream.read(&mut first).await.unwrap_or(0);
                let is_classic = first[..count].windows(4).any(|part| part == b"\"iv\"");
                let dialect = if is_classic { Dialect::Classic } else { Dialect::Sealed };
                if heard.send(dialect).is_err() {
                    return;
                }
            }
        });
        Self { address, hears }
    }

    /// What it was asked in until now.
    pub fn heard(&mut self) -> Vec<Dialect> {
        std::iter::from_fn(|| self.hears.try_recv().ok()).collect()
    }
}
