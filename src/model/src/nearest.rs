//! The word that was probably meant.

/// The candidate that is nearest to `word`, if one is near: a letter or two that are wrong, missing, too many or swapped, fewer
/// the shorter the word. Of equally near ones, the first.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.to_lowercase().chars().take(MAX_LENGTH + 1).collect();
    if word.is_empty() || word.len() > MAX_LENGTH {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        let shorter = word.len().min(letters.len());
        let bound = match shorter {
            0..=1 => continue,
            2..=4 => 1,
            5.. => 2,
        };
        if letters.len().abs_diff(word.len()) > bound {
            continue;
        }
        let distance = distance(&word, &letters);
        if distance <= bound && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longer words are no typing errors.
const MAX_LENGTH: usize = 64;

/// How many letters to change, add, drop or swap with their neighbour, to make one of the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before_last: Vec<usize> = vec![];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let mut least = (last[column] + usize::from(letter != other))
                .min(last[column + 1] + 1)
                .min(current[column] + 1);
            let is_swap =
                row > 0 && column > 0 && *letter == to[column - 1] && from[row - 1] == *other;
            if is_swap {
                least = least.min(before_last[column - 1] + 1);
            }
            current.push(least);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

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
