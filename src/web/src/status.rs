//! The status of an answer, and its name.

use serde_json::Value;

/// The status of HTTP for a reply of a request: that of its body where it was refused, 200 for all that was carried out,
/// whatever became of it.
#[must_use]
pub fn of_reply(reply: &Value) -> u16 {
    let is_error = reply.get("error").is_some() && reply.get("nodes").is_none();
    match reply.get("status").and_then(Value::as_u64) {
        Some(status @ 400..=599) if is_error => u16::try_from(status).unwrap_or(500),
        _ => 200,
    }
}

/// The reason phrase of a status.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_refusal_has_a_status_of_its_own() {
        assert_eq!(of_reply(&json!({"status": 404, "error": "x not found"})), 404);
        assert_eq!(of_reply(&json!({"status": 3, "error": "no file"})), 200);
        assert_eq!(of_reply(&json!({"status": 401})), 200);
        assert_eq!(of_reply(&json!({"status": 501, "error": "", "nodes": {}})), 200);
        assert_eq!(of_reply(&json!([1])), 200);
        assert_eq!(of_reply(&json!({"status": 70_000, "error": "x"})), 200);
    }
}
