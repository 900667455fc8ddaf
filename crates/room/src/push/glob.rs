//! Glob-style matching without case, in time linear in the text: appendices, "Glob-style matching".

use std::collections::HashMap;

/// A pattern: `*` stands for any text, `?` for one character. It matches without regard to case.
///
/// It runs as a set of states, one per character of the pattern, that advances once per character of the text: no
/// pattern makes it go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    pattern: String,
    /// Characters of the pattern without its stars.
    length: usize,
    /// For each character of the pattern: the states that it leaves. 64 states a word.
    literals: HashMap<char, Vec<u64>>,
    /// The states that any character leaves (`?`).
    any: Vec<u64>,
    /// The states that any character keeps (`*`).
    stars: Vec<u64>,
}

impl std::hash::Hash for Glob {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.pattern.hash(state);
    }
}

impl Glob {
    pub fn new(pattern: &str) -> Glob {
        let mut glob = Glob {
            pattern: pattern.to_owned(),
            length: 0,
            literals: HashMap::new(),
            any: Vec::new(),
            stars: Vec::new(),
        };
        let lower: Vec<char> = lower(pattern).collect();
        glob.length = lower.iter().filter(|c| **c != '*').count();
        let words = glob.length / 64 + 1;
        glob.any = vec![0; words];
        glob.stars = vec![0; words];
        let mut state = 0;
        for c in lower {
            match c {
                '*' => set(&mut glob.stars, state),
                '?' => {
                    set(&mut glob.any, state);
                    state += 1;
                }
                c => {
                    set(
                        glob.literals.entry(c).or_insert_with(|| vec![0; words]),
                        state,
                    );
                    state += 1;
                }
            }
        }
        glob
    }

    /// A pattern that stands for itself alone.
    pub fn literal(text: &str) -> Glob {
        let mut glob = Glob::new("");
        let lower: Vec<char> = lower(text).collect();
        let words = lower.len() / 64 + 1;
        glob.pattern = text.to_owned();
        glob.length = lower.len();
        glob.any = vec![0; words];
        glob.stars = vec![0; words];
        for (state, c) in lower.into_iter().enumerate() {
            set(
                glob.literals.entry(c).or_insert_with(|| vec![0; words]),
                state,
            );
        }
        glob
    }

    /// The pattern as it was given.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether it stands for one text alone.
    pub fn is_literal(&self) -> bool {
        self.any.iter().chain(&self.stars).all(|word| *word == 0)
    }

    /// Whether it matches all of the text.
    pub fn matches(&self, text: &str) -> bool {
        let mut active = self.none();
        set(&mut active, 0);
        for c in lower(text) {
            self.advance(&mut active, c);
            if active.iter().all(|word| *word == 0) {
                return false;
            }
        }
        self.is_done(&active)
    }

    /// Whether it matches a part of the text that starts and ends at a word boundary: at an end of the text, or beside a
    /// character other than ASCII letters, digits and `_`.
    pub fn matches_words(&self, text: &str) -> bool {
        let mut active = self.none();
        let mut before = None;
        for c in lower(text) {
            if is_boundary(before, Some(c)) {
                if self.is_done(&active) {
                    return true;
                }
                set(&mut active, 0);
            }
            self.advance(&mut active, c);
            before = Some(c);
        }
        if self.length == 0 {
            set(&mut active, 0);
        }
        self.is_done(&active)
    }

    fn none(&self) -> Vec<u64> {
        vec![0; self.any.len()]
    }

    fn advance(&self, active: &mut [u64], c: char) {
        let literal = self.literals.get(&c);
        let mut carry = 0;
        for word in 0..active.len() {
            let leaves = self.any[word] | literal.map_or(0, |mask| mask[word]);
            let moved = active[word] & leaves;
            let kept = active[word] & self.stars[word];
            active[word] = kept | moved << 1 | carry;
            carry = moved >> 63;
        }
    }

    fn is_done(&self, active: &[u64]) -> bool {
        active[self.length / 64] & 1 << (self.length % 64) != 0
    }
}

fn set(words: &mut [u64], state: usize) {
    words[state / 64] |= 1 << (state % 64);
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn is_boundary(before: Option<char>, after: Option<char>) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    !(inside(before) && inside(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_the_whole_text_without_case() {
        for (pattern, text, matches) in [
            ("lunc?*", "Lunch plans", true),
            ("lunc?*", "LUNCH", true),
            ("lunc?*", " lunch", false),
            ("lunc?*", "lunc", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyycd", false),
            ("?", "é", true),
            ("ÉCOLE", "école", true),
            ("m.room.*", "m.room.message", true),
            ("m.room.*", "mxroomxmessage", false),
            ("[a]", "a", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(text),
                matches,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_glob_matches_words_of_a_body() {
        for (pattern, text, matches) in [
            ("ex*ple", "An example event.", true),
            ("ex*ple", "exple", true),
            ("ex*ple", "An exciting triple-whammy", true),
            ("ex*ple", "An example_event", false),
            ("cake", "cakes", false),
            ("cake", "a piece of CAKE!", true),
            ("cake", "pan_cake", false),
            ("@room", "@room hello", true),
            ("@room", "hello @rooms", false),
            ("@room", "hello @room", true),
            ("c", "a b c", true),
            ("a", "a", true),
            ("*", "", true),
            ("foo*", "a foobar", true),
        ] {
            assert_eq!(
                Glob::new(pattern).matches_words(text),
                matches,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_literal_takes_stars_for_stars() {
        assert!(Glob::literal("a*b").matches("A*B"));
        assert!(!Glob::literal("a*b").matches("axb"));
        assert!(!Glob::literal("al").matches_words("pal al_"));
    }

    #[test]
    fn a_long_pattern_crosses_words_of_states() {
        let long = "ab".repeat(100);
        assert!(Glob::new(&long).matches(&long));
        assert!(!Glob::new(&long).matches(&long[1..]));
        let stars = "a*".repeat(150);
        assert!(Glob::new(&stars).matches(&"a".repeat(5_000)));
        assert!(!Glob::new(&(stars + "b")).matches(&"a".repeat(60_000)));
    }
}
