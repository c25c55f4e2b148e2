//! What a client takes: the header `accept`.

/// Whether an element of these headers that is not refused (`q=0`) is this media type.
#[must_use]
pub fn takes(headers: &[&str], media_type: &str) -> bool {
    headers.iter().flat_map(|header| header.split(',')).any(|element| {
        let mut parts = element.split(';').map(str::trim);
        let is_meant = parts.next().is_some_and(|found| found.eq_ignore_ascii_case(media_type));
        is_meant && parts.all(|parameter| !is_zero(parameter))
    })
}

/// Whether a parameter gives no weight at all.
fn is_zero(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    name.trim().eq_ignore_ascii_case("q")
        && value.trim().parse().is_ok_and(|weight: f32| weight <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_by_any_element_that_has_weight() {
        let takes = |header: &str| takes(&[header], "text/event-stream");
        assert!(takes("text/event-stream"));
        assert!(takes("application/json, Text/Event-Stream;q=0.1"));
        assert!(!takes("text/event-stream; q=0.0"));
        assert!(!takes("text/event-streams, */*"));
        assert!(!takes(""));
    }
}
