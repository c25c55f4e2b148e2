//! Times of certificates.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::Timestamp;
use x509_parser::time::ASN1Time;

/// Seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "years of four digits")]
pub(crate) fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp(time.timestamp() as f64)
}

/// Whole seconds since 1970 of a time, within years of four digits.
#[expect(clippy::cast_possible_truncation, reason = "clamped to years of four digits")]
pub(crate) fn seconds(time: Timestamp) -> i64 {
    const YEAR_9999: f64 = 253_402_300_799.0;
    time.0.clamp(0.0, YEAR_9999) as i64
}

/// `YYMMDDHHMMSSZ`, as tables of OpenSSL have it; from 2050 on with four digits of the year (RFC 5280, 4.1.2.5).
pub(crate) fn to_text(time: Timestamp) -> String {
    let utc = jiff::Timestamp::from_second(seconds(time)).expect("clamped to what it can hold");
    let utc = TimeZone::UTC.to_datetime(utc);
    let format = if utc.year() < 2050 { "%y%m%d%H%M%SZ" } else { "%Y%m%d%H%M%SZ" };
    utc.strftime(format).to_string()
}

/// The time of a table of OpenSSL.
pub(crate) fn from_text(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').filter(|it| it.bytes().all(|b| b.is_ascii_digit()))?;
    let whole = match digits.len() {
        12 if &digits[..2] >= "50" => format!("19{digits}"),
        12 => format!("20{digits}"),
        14 => digits.to_owned(),
        _ => return None,
    };
    let utc = TimeZone::UTC.to_timestamp(DateTime::strptime("%Y%m%d%H%M%S", whole).ok()?).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "years of four digits")]
    Some(Timestamp(utc.as_second() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for (text, seconds) in [
            ("700101000000Z", 0.0),
            ("000229235959Z", 951_868_799.0),
            ("491231235959Z", 2_524_607_999.0),
            ("20500101000000Z", 2_524_608_000.0),
            ("21000301000000Z", 4_107_542_400.0),
        ] {
            assert_eq!(from_text(text), Some(Timestamp(seconds)), "{text}");
            assert_eq!(to_text(Timestamp(seconds)), text);
        }
        for text in ["", "Z", "700101000000", "701301000000Z", "7001010000\u{e9}Z", "70010100000Z"]
        {
            assert_eq!(from_text(text), None, "{text}");
        }
    }
}
