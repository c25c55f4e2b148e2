//! A headless Chromium, driven by the WebDriver protocol.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the driver has for one command.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page. Dropping it ends it.
pub struct Browser {
    driver: Child,
    /// It ends where nobody hears it.
    _output: BufReader<ChildStdout>,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts one of that size, which finds each host of `hosts` at that address and takes any certificate. None where no
    /// Chromium with its driver can be run.
    ///
    /// # Panics
    ///
    /// Where there is no folder for it.
    #[must_use]
    pub fn start(size: (u32, u32), hosts: &[(String, String)]) -> Option<Self> {
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=SEVERE"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut output = BufReader::new(driver.stdout.take().expect("piped"));
        let port = loop {
            let mut line = String::new();
            if output.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let told = line.trim_end().trim_end_matches('.').split_once("successfully on port ");
            if let Some(port) = told.and_then(|(_, port)| port.parse().ok()) {
                break port;
            }
        };
        let profile = tempfile::tempdir().expect("a folder");
        let rules: Vec<String> =
            hosts.iter().map(|(host, at)| format!("MAP {host} {at}")).collect();
        let words = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--ignore-certificate-errors".to_owned(),
            format!("--window-size={},{}", size.0, size.1),
            format!("--user-data-dir={}", profile.path().display()),
            format!("--host-resolver-rules={}", rules.join(",")),
        ];
        let session = String::new();
        let mut it = Self { driver, _output: output, port, session, _profile: profile };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": words}, "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        // What is installed may lack what it needs to run here.
        let begun = it.try_ask("POST", "/session", &wanted).ok()?;
        it.session = begun["sessionId"].as_str()?.to_owned();
        Some(it)
    }

    /// What the driver answers.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let value = self.try_ask(method, path, body).expect("the driver answers");
        assert!(value["error"].is_null(), "{method} {path}: {value:.600}");
        value
    }

    /// The same; an error that it tells is a value too.
    fn try_ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes())?;
        // The driver leaves the connection open.
        let mut stream = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            match line.to_ascii_lowercase().trim_end().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut reply = vec![0; length];
        stream.read_exact(&mut reply)?;
        let reply: Value = serde_json::from_slice(&reply)?;
        Ok(reply["value"].clone())
    }

    fn act(&self, method: &str, what: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}/{what}", self.session), body)
    }

    /// Opens a page.
    pub fn open(&self, url: &str) {
        self.act("POST", "url", &json!({"url": url}));
    }

    /// What a script returns; it finds its arguments as `arguments`.
    pub fn script(&self, script: &str, arguments: &[&str]) -> Value {
        self.act("POST", "execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// Waits until a script returns what is true.
    ///
    /// # Panics
    ///
    /// When it never does.
    pub fn wait(&self, what: &str, script: &str, arguments: &[&str]) {
        let deadline = Instant::now() + crate::PATIENCE;
        while self.script(script, arguments) != json!(true) {
            let shown = || self.script("return document.body.innerText", &[]);
            assert!(Instant::now() < deadline, "never happened: {what}: {:.2000}", shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the page has this text.
    pub fn wait_text(&self, text: &str) {
        self.wait(
            &format!("the page says {text:?}"),
            "return document.body.innerText.includes(arguments[0])",
            &[text],
        );
    }

    /// Presses the button or the link of that name as soon as it is there.
    pub fn press(&self, name: &str) {
        self.wait(
            &format!("{name:?} can be pressed"),
            "const found = [...document.querySelectorAll('button, a')].filter((each) => each.offsetParent !== null && \
             each.textContent.trim() === arguments[0] && !each.disabled).at(-1); found?.click(); return !!found;",
            &[name],
        );
    }

    /// Writes a text into the visible field of that label or name.
    pub fn write(&self, field: &str, text: &str) {
        self.wait(
            &format!("the field {field:?} is there"),
            "const found = [...document.querySelectorAll('input, textarea')].find((each) => each.name === arguments[0] || \
             each.getAttribute('aria-label') === arguments[0]); if (found) { found.value = arguments[1]; \
             found.dispatchEvent(new Event('input')); } return !!found;",
            &[field, text],
        );
    }

    /// What the page wrote to its console, and what it was refused.
    #[must_use]
    pub fn console(&self) -> Vec<String> {
        let lines = self.act("POST", "se/log", &json!({"type": "browser"}));
        let lines = lines.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            _ = self.ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        _ = self.driver.kill();
        _ = self.driver.wait();
    }
}
