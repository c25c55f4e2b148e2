//! Lines of a crontab where a schedule is meant.

use crate::schedule::parse::WEEKDAYS;

/// Why a text that is no schedule is none: a line of a crontab, with the schedule that means the same where there is one. None
/// for what is no such line.
pub(super) fn advice(text: &str) -> Option<String> {
    let text = text.trim();
    let same = match text {
        "@yearly" | "@annually" | "@reboot" => None,
        "@monthly" => Some("00:00 *:1".to_owned()),
        "@weekly" => Some("00:00 sunday".to_owned()),
        "@daily" | "@midnight" => Some("00:00".to_owned()),
        "@hourly" => Some("@1h".to_owned()),
        _ => {
            let fields: [&str; 5] = text.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
            let is_number = |c: char| c.is_ascii_digit() || matches!(c, '*' | '/' | ',' | '-');
            if !fields[..3].iter().all(|field| field.chars().all(is_number)) {
                return None;
            }
            translate(fields)
        }
    };
    Some(match same {
        Some(same) => format!("a line of a crontab, expected a schedule: {same}"),
        None => {
            format!("a line of a crontab, expected a schedule: {}", crate::schedule::rule::FORM)
        }
    })
}

fn translate(fields: [&str; 5]) -> Option<String> {
    let number = |text: &str, most: u32| text.parse::<u32>().ok().filter(|it| *it <= most);
    let each = |text: &str, most: u32| number(text.strip_prefix("*/")?, most).filter(|it| *it > 0);
    let time = |minute: &str, hour: &str| {
        Some(format!("{:02}:{:02}", number(hour, 23)?, number(minute, 59)?))
    };
    let day = |text: &str| {
        let at = number(text, 7)?;
        // Sunday is 0 or 7 there.
        WEEKDAYS.get(usize::try_from((at + 6) % 7).ok()?).copied()
    };
    match fields {
        ["*", "*", "*", "*", "*"] => Some("@1".to_owned()),
        [minute, "*", "*", "*", "*"] if minute.starts_with("*/") => {
            Some(format!("@{}", each(minute, 59)?))
        }
        [minute, "*", "*", "*", "*"] => number(minute, 59).map(|_| "@1h".to_owned()),
        [minute, hour, "*", "*", "*"] if hour.starts_with("*/") => {
            number(minute, 59).and_then(|_| Some(format!("@{}h", each(hour, 23)?)))
        }
        [minute, hour, "*", "*", "*"] => time(minute, hour),
        [minute, hour, "*", "*", weekday] => {
            Some(format!("{} {}", time(minute, hour)?, day(weekday)?))
        }
        [minute, hour, date, "*", "*"] => {
            let date = number(date, 31).filter(|date| *date > 0)?;
            Some(format!("{} *:{date}", time(minute, hour)?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::schedule::Schedule;

    #[test]
    fn a_line_of_a_crontab_is_told_the_schedule_that_means_the_same() {
        for (line, schedule) in [
            ("*/5 * * * *", "@5"),
            ("* * * * *", "@1"),
            ("15 * * * *", "@1h"),
            ("0 */2 * * *", "@2h"),
            ("30 2 * * *", "02:30"),
            ("30 2 * * 0", "02:30 sunday"),
            ("30 2 * * 1", "02:30 monday"),
            ("0 3 1 * *", "03:00 *:1"),
            ("@daily", "00:00"),
            ("@hourly", "@1h"),
        ] {
            let error = Schedule::parse(line).unwrap_err().to_string();
            let expected =
                format!("{line:?} is a line of a crontab, expected a schedule: {schedule}");
            assert_eq!(error, expected);
            assert!(!Schedule::parse(schedule).unwrap().is_empty(), "{schedule}");
        }
        for line in ["0 9-17 * * 1-5", "0 3 1 1 *", "@reboot", "0 0 31,1 */2 *"] {
            let error = Schedule::parse(line).unwrap_err().to_string();
            assert!(
                error.contains("is a line of a crontab, expected a schedule: times"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_schedule_is_told_the_form_of_one() {
        let form = "expected times, then days, weeks and months, as @10, 02:00-04:00 or 09:00-18:00@30 mon-fri";
        let error = Schedule::parse("never").unwrap_err().to_string();
        assert_eq!(error, format!("\"never\": a time is HH:MM, from 00:00 to 23:59: {form}"));
        let error = Schedule::parse("daily at noon please").unwrap_err().to_string();
        assert!(error.ends_with(form), "{error}");
    }
}
