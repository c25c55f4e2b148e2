//! The word that was probably meant.

/// The candidate that is nearest to `word`, if one is near: a letter or two that are wrong, missing, too many or swapped, fewer
/// the shorter the word. Of equally near ones, the first.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.chars().take(MAX_LENGTH + 1).collect::<String>().to_lowercase();
    let length = word.chars().count();
    if word.is_empty() || length > MAX_LENGTH {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let lowercase = candidate.to_lowercase();
        let letters = lowercase.chars().count();
        let bound = match length.min(letters) {
            0..=1 => continue,
            2..=4 => 1,
            5.. => 2,
        };
        if letters.abs_diff(length) > bound {
            continue;
        }
        // Counts letters to change, add, drop, or swap with their neighbour.
        let distance = strsim::osa_distance(&word, &lowercase);
        if distance <= bound && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longer words are no typing errors.
const MAX_LENGTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_has_its_word_and_another_word_has_none() {
        const WORDS: [&str; 10] = [
            "start",
            "restart",
            "stop",
            "status",
            "restart_delay",
            "n1",
            "n2",
            "web",
            "simple",
            "ls",
        ];
        for (word, expected) in [
            ("strat", Some("start")),
            ("restrat", Some("restart")),
            ("STOP", Some("stop")),
            ("stpo", Some("stop")),
            ("simpel", Some("simple")),
            ("restart_dealy", Some("restart_delay")),
            ("wbe", Some("web")),
            ("n11", Some("n1")),
            ("l", None),
            ("show", None),
            ("describe", None),
            ("database", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, WORDS), expected, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), WORDS), None);
    }
}
