//! Where a container that runs is not what the configuration says.
//!
//! Part of the `impl` of [`Container`], in a file of its own for its length.

use serde_json::Value;

use crate::container::tool::Tool;
use crate::container::{Container, LABEL};
use crate::report::Report;

impl Container {
    /// Tells each difference: the next container is as configured, this one is not.
    pub(super) fn drift(&self, found: &Value, report: &mut Report) {
        let wanted = &self.arguments;
        let text =
            |pointer: &str| found.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let label = found
            .pointer("/Config/Labels")
            .and_then(|labels| labels.get(LABEL))
            .and_then(Value::as_str);
        match label {
            Some(label) if label == self.label => {}
            Some(other) => report.warn(format_args!("container belongs to {other}")),
            None => report.warn(format_args!("container has no label {LABEL}")),
        }
        let image = match self.tool {
            Tool::Docker => text("/Config/Image"),
            Tool::Podman => text("/ImageName"),
        };
        if !is_same_image(image, &wanted.image) {
            report.warn(format_args!("container image is {image}, expected {}", wanted.image));
        }
        for (name, pointer, wanted) in [
            ("privileged", "/HostConfig/Privileged", wanted.privileged),
            ("interactive", "/Config/OpenStdin", wanted.interactive),
            ("tty", "/Config/Tty", wanted.tty),
        ] {
            let is = found.pointer(pointer).and_then(Value::as_bool);
            if let (Some(is), Some(wanted)) = (is, wanted)
                && is != wanted
            {
                report.warn(format_args!("container {name} is {is}, expected {wanted}"));
            }
        }
        for (name, pointer, wanted) in [
            ("entrypoint", "/Config/Entrypoint", wanted.entrypoint.clone().into_iter().collect()),
            ("command", "/Config/Cmd", wanted.command.clone()),
        ] {
            let words = found.pointer(pointer).and_then(Value::as_array);
            let is: Option<Vec<&str>> =
                words.map(|words| words.iter().filter_map(Value::as_str).collect());
            if !wanted.is_empty() && is.as_ref().is_some_and(|is| *is != wanted) {
                report.warn(format_args!("container {name} is {:?}", is.unwrap_or_default()));
            }
        }
    }
}

/// Names of one image: with or without registry and `latest`.
fn is_same_image(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        let name = name.trim_start_matches("docker.io/").trim_start_matches("library/");
        let last = name.rsplit('/').next().unwrap_or(name);
        if last.contains(':') || last.contains('@') {
            name.to_owned()
        } else {
            format!("{name}:latest")
        }
    };
    one == other || plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_same_under_its_short_and_long_name() {
        assert!(is_same_image("docker.io/library/busybox:latest", "busybox"));
        assert!(is_same_image("busybox", "busybox:latest"));
        assert!(!is_same_image("busybox:1", "busybox:2"));
        assert!(!is_same_image("registry:5000/a", "a"));
    }
}
