//! Any text as a request: read or refused, and what is read is written back alike. Log lines too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{Request, log, reply};

fuzz_target!(|data: &[u8]| {
    match Request::parse(data) {
        Ok(request) => {
            let again = Request::from_value(request.to_value()).expect("written by ourselves");
            assert_eq!(again.action.to_options(), request.action.to_options());
            assert!(Request::from_value(request.to_peer_value()).is_ok());
        }
        Err(error) => assert!(error.to_reply().to_string().len() < 4_096),
    }
    if let Ok(value) = wire::parse_json(data) {
        _ = reply::Lines::of(&value);
        _ = log::LogEntry::from_value(&value);
    }
    _ = log::parse_log(&String::from_utf8_lossy(data), |_| Some(0.0));
});
