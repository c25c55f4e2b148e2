use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Long for a machine that is busy.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn uris_are_split_or_refused() {
    let uri = |text| {
        let uri = Uri::parse(text).ok()?;
        Some((uri.scheme.to_string(), uri.host, uri.port, uri.path))
    };
    let some = |scheme: &str, host: &str, port, path: &str| {
        Some((scheme.to_owned(), host.to_owned(), port, path.to_owned()))
    };
    assert_eq!(uri("http://c.example/feed"), some("http", "c.example", 80, "/feed"));
    assert_eq!(uri("https://c.example"), some("https", "c.example", 443, "/"));
    assert_eq!(uri("https://c.example:8443/a?b=c"), some("https", "c.example", 8443, "/a?b=c"));
    assert_eq!(uri("http://[::1]:8080"), some("http", "[::1]", 8080, "/"));
    assert_eq!(uri("collector:81"), some("http", "collector", 81, "/"));
    for text in [
        "ftp://c",
        "http://",
        "http://:80/",
        "http://c:x/",
        "http://c:99999/",
        "http://u@c/",
        "https://u:p@c/",
        "http://c/\r\nX: y",
        "",
    ] {
        assert_eq!(uri(text), None, "{text}");
    }
}

/// A server that reads a request and does `answer`, once; and the first lines of the requests that it read.
fn server(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> (Uri, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = Uri::parse(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
    let (sender, asked) = channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        sender.send(read_request(&mut stream).unwrap()).unwrap();
        answer(&mut stream);
    });
    (uri, asked)
}

fn read_request(stream: &mut impl Read) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    Ok(first.trim().to_owned())
}

fn answered(text: &'static str) -> Result<String, HttpError> {
    let (uri, _asked) = server(|stream| stream.write_all(text.as_bytes()).unwrap());
    get(&uri, LONG).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn an_answer_ends_where_it_says() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello",
    ] {
        assert_eq!(answered(text).unwrap(), "hello", "{text:?}");
    }
}

#[test]
fn an_answer_that_is_cut_or_none_is_an_error() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "",
    ] {
        assert!(answered(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_refusal_and_a_redirect_are_told_and_not_followed() {
    let status = |text| match answered(text) {
        Err(HttpError::Status(_, status)) => status,
        other => panic!("{other:?}"),
    };
    assert_eq!(status("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), 404);
    let (elsewhere, asked) = server(|_| {});
    let to = elsewhere.text();
    let (uri, _asked) = server(move |stream| {
        write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    assert!(matches!(get(&uri, LONG), Err(HttpError::Status(_, 302))));
    assert_eq!(asked.try_recv().ok(), None, "the other one is not asked");
}

#[test]
fn an_answer_is_bounded_in_bytes() {
    let sized = |size: u64, head: String| {
        let (uri, _asked) = server(move |stream| {
            // Who has read enough hangs up.
            _ = stream.write_all(head.as_bytes());
            _ = std::io::copy(&mut std::io::repeat(b'x').take(size), stream);
        });
        get(&uri, LONG).map(|bytes| bytes.len() as u64)
    };
    let with_length = |size| format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
    assert_eq!(sized(MAX_ANSWER, with_length(MAX_ANSWER)).unwrap(), MAX_ANSWER);
    for size in [MAX_ANSWER + 1, u64::MAX] {
        let endless = String::from("HTTP/1.1 200 OK\r\n\r\n");
        for head in [with_length(size), endless] {
            let error = sized(size, head).unwrap_err().to_string();
            assert!(error.contains("the answer is too large"), "{error}");
        }
    }
    let header = String::from("HTTP/1.1 200 OK\r\nX: ");
    assert!(sized(u64::MAX, header).is_err(), "a header without end");
}

#[test]
fn an_answer_is_bounded_in_time() {
    const SHORT: Duration = Duration::from_millis(300);
    let (silent, _asked) = server(|stream| {
        // Until who asked has hung up.
        _ = stream.read(&mut [0]);
    });
    assert!(matches!(get(&silent, SHORT), Err(HttpError::Timeout(..))));
    for head in ["HTTP/1.1 200 O", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n"] {
        let (uri, _asked) = server(move |stream| {
            _ = stream.write_all(head.as_bytes());
            // A byte now and then.
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let error = get(&uri, SHORT).unwrap_err();
        assert!(matches!(error, HttpError::Timeout(..)), "{head:?}: {error}");
    }
}

/// A server of https with a certificate of its own for `name`, which it is asked by as 127.0.0.1; and whether it read a request.
fn https(name: &str) -> (Uri, Certificate<'static>, Receiver<bool>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = Uri::parse(&format!("https://{}/x", listener.local_addr().unwrap())).unwrap();
    let (sender, asked) = channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        let is_asked = read_request(&mut stream).is_ok_and(|line| line == "GET /x HTTP/1.1");
        if is_asked {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        }
        sender.send(is_asked).unwrap();
    });
    (uri, Certificate::from_der(&certificate).to_owned(), asked)
}

#[test]
fn a_certificate_that_nobody_signed_is_refused_and_nothing_is_asked() {
    for guard in [|uri: Uri| uri, Uri::secret] {
        let (uri, _, asked) = https("127.0.0.1");
        let error = get(&guard(uri), LONG).unwrap_err();
        assert!(matches!(error, HttpError::Untrusted(..)), "{error}");
        assert!(!asked.recv().unwrap());
    }
}

#[test]
fn any_certificate_is_taken_where_that_is_said() {
    let (uri, _, asked) = https("another.example");
    assert_eq!(get(&uri.unguarded(), LONG).unwrap(), b"hello");
    assert!(asked.recv().unwrap());
}

#[test]
fn a_certificate_of_a_trusted_authority_is_taken_for_its_name_only() {
    let trusted = |name| {
        let (uri, authority, asked) = https(name);
        let uri = uri.secret();
        let agent = agent(&uri, LONG, trusting(vec![authority]));
        let answer = exchange(&agent, &uri, None, MAX_ANSWER, LONG);
        (answer, asked.recv().unwrap())
    };
    let (answer, is_asked) = trusted("127.0.0.1");
    assert_eq!((answer.unwrap(), is_asked), (b"hello".to_vec(), true));
    let (answer, is_asked) = trusted("another.example");
    assert!(matches!(answer, Err(HttpError::Untrusted(..))), "{answer:?}");
    assert!(!is_asked);
}
