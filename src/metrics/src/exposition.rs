//! The text of series: OpenMetrics 1.0, or the older text format of Prometheus.

use std::fmt::Write as _;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4.
    Text,
}

impl Form {
    /// The header `content-type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What the samples of a family are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only grows. The names of its samples end in `_total`, which the family is named without.
    Counter,
    /// Counts by size. Its samples are buckets, a sum and a count.
    Histogram,
    /// Texts as labels, of value 1. The name of its sample ends in `_info`, which the family is named without.
    Info,
}

/// A text that grows, a family after the other.
#[derive(Debug)]
pub struct Exposition {
    form: Form,
    out: String,
}

impl Exposition {
    /// Nothing yet.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self { form, out: String::with_capacity(64 << 10) }
    }

    /// Begins a family. One without samples leaves nothing.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_> {
        Family { text: self, name, kind, help, is_begun: false }
    }

    /// The whole text.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

/// A family of samples.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut Exposition,
    name: &'static str,
    kind: Kind,
    help: &'static str,
    is_begun: bool,
}

impl Family<'_> {
    /// Adds a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        self.line(suffix, labels, None, value);
    }

    /// Adds the samples of a histogram: how many there are in each bucket, the last one without bound, and their sum.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) {
        let mut count = 0_u64;
        for (at, here) in counts.iter().enumerate() {
            count += here;
            let bound = bounds.get(at).copied().unwrap_or(f64::INFINITY);
            self.line("_bucket", labels, Some(bound), number(count));
        }
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, number(count));
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<f64>, value: f64) {
        self.begin();
        let out = &mut self.text.out;
        out.push_str(self.name);
        out.push_str(suffix);
        let mut mark = '{';
        for (name, value) in labels {
            out.push(mark);
            out.push_str(name);
            out.push_str("=\"");
            push_escaped(out, value, true);
            out.push('"');
            mark = ',';
        }
        if let Some(bound) = bound {
            out.push(mark);
            out.push_str("le=\"");
            match bound.is_infinite() {
                true => out.push_str("+Inf"),
                // With a point, as the format wants it.
                false => _ = write!(out, "{bound:?}"),
            }
            out.push('"');
            mark = ',';
        }
        if mark == ',' {
            out.push('}');
        }
        _ = writeln!(out, " {value}");
    }

    /// Says what it is, before the first sample.
    fn begin(&mut self) {
        if std::mem::replace(&mut self.is_begun, true) {
            return;
        }
        let (suffix, kind) = match (self.kind, self.text.form) {
            (Kind::Gauge, _) => ("", "gauge"),
            (Kind::Histogram, _) => ("", "histogram"),
            (Kind::Counter, Form::OpenMetrics) => ("", "counter"),
            (Kind::Counter, Form::Text) => ("_total", "counter"),
            (Kind::Info, Form::OpenMetrics) => ("", "info"),
            (Kind::Info, Form::Text) => ("_info", "gauge"),
        };
        let (out, name) = (&mut self.text.out, self.name);
        _ = write!(out, "# HELP {name}{suffix} ");
        push_escaped(out, self.help, self.text.form == Form::OpenMetrics);
        _ = writeln!(out, "\n# TYPE {name}{suffix} {kind}");
    }
}

/// A count as the formats write numbers. Exact up to 2^53.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a count of 2^53 takes centuries")]
pub fn number(count: u64) -> f64 {
    count as f64
}

fn push_escaped(out: &mut String, text: &str, is_quoted: bool) {
    for sign in text.chars() {
        match sign {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if is_quoted => out.push_str("\\\""),
            sign => out.push(sign),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(form: Form) -> String {
        let mut text = Exposition::new(form);
        text.family("x_build", Kind::Info, "a \"word\"").sample(&[("version", "1\n\"\\")], 1.0);
        text.family("x_none", Kind::Gauge, "nothing");
        text.family("x_beats", Kind::Counter, "beats").sample(&[], 3.0);
        let mut seconds = text.family("x_seconds", Kind::Histogram, "time");
        seconds.histogram(&[("a", "b")], &[0.5, 1.0], &[1, 0, 2], 7.25);
        text.finish()
    }

    #[test]
    fn both_forms_are_written_as_their_readers_want_them() {
        let histogram = "# HELP x_seconds time\n# TYPE x_seconds histogram\n\
            x_seconds_bucket{a=\"b\",le=\"0.5\"} 1\nx_seconds_bucket{a=\"b\",le=\"1.0\"} 1\n\
            x_seconds_bucket{a=\"b\",le=\"+Inf\"} 3\nx_seconds_sum{a=\"b\"} 7.25\n\
            x_seconds_count{a=\"b\"} 3\n";
        let info = "x_build_info{version=\"1\\n\\\"\\\\\"} 1\n";
        assert_eq!(
            write(Form::OpenMetrics),
            format!(
                "# HELP x_build a \\\"word\\\"\n# TYPE x_build info\n{info}\
                 # HELP x_beats beats\n# TYPE x_beats counter\nx_beats_total 3\n{histogram}# EOF\n"
            )
        );
        assert_eq!(
            write(Form::Text),
            format!(
                "# HELP x_build_info a \"word\"\n# TYPE x_build_info gauge\n{info}\
                 # HELP x_beats_total beats\n# TYPE x_beats_total counter\nx_beats_total 3\n{histogram}"
            )
        );
    }
}
