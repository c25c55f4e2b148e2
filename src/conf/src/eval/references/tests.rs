use super::*;

#[test]
fn a_reference_has_no_blank_dash_or_at() {
    for (text, found) in [
        ("a {b} c", Some("b")),
        ("{a b}", None),
        ("{a-b}", None),
        ("{a@b}", None),
        ("{}", None),
        ("{.a}", None),
        ("{#nodes}", Some("#nodes")),
        ("{fs#1.dev}", Some("fs#1.dev")),
        ("{a.b#c}", None),
        ("{fs#1#2}", None),
        ("{env.l[{env.i}]}", Some("env.i")),
        ("{upper:env.a}", Some("upper:env.a")),
        ("{{a}", Some("a")),
        ("{a", None),
        ("${x}", Some("x")),
        ("{é}", Some("é")),
    ] {
        let reference = next_reference(text, 0).map(|(start, end)| &text[start + 1..end]);
        assert_eq!(reference, found, "{text}");
    }
}
