//! A client of HTTP/1.1: one request on a connection, written and read by hand.

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::front::wait;
use crate::{Http, HttpReply};

impl Http {
    /// Asks over HTTP/1.1, on a connection of its own. None: it is closed without an answer.
    ///
    /// # Panics
    ///
    /// When the answer is none of HTTP/1.1.
    #[must_use]
    pub fn ask_plain(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Option<HttpReply> {
        let text = self.plain(method, target, headers, body, "")?;
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let headers: HeaderMap = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| {
                let name: HeaderName = name.parse().expect("a name");
                (name, HeaderValue::from_str(value).expect("a value"))
            })
            .collect();
        if let Some(length) = headers.get("content-length") {
            assert_eq!(length.to_str().expect("a number"), rest.len().to_string());
        }
        Some(HttpReply { status, headers, body: rest.as_bytes().to_vec() })
    }

    /// The same, and all that comes until `end` is there, or until the connection is closed. None: nothing came.
    #[must_use]
    pub fn plain(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        end: &str,
    ) -> Option<String> {
        let mut request =
            format!("{method} {target} HTTP/1.1\r\nhost: n1\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        wait(async {
            let mut stream = self.connect_for("http/1.1").await.ok()?;
            let bytes = [request.as_bytes(), body.unwrap_or_default()].concat();
            stream.write_all(&bytes).await.ok()?;
            stream.flush().await.ok()?;
            let (mut text, mut piece) = (vec![], [0; 4_096]);
            while end.is_empty() || !String::from_utf8_lossy(&text).contains(end) {
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(length) => text.extend_from_slice(&piece[..length]),
                }
            }
            Some(String::from_utf8_lossy(&text).into_owned()).filter(|text| !text.is_empty())
        })
    }
}
