//! Event types with wildcards, in filters: client-server API "Filtering", Matrix v1.19.

use serde::{Deserialize, Deserializer};

/// A text in which each `*` stands for any text, the empty one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` fits. Takes time linear in both lengths, whatever the stars: each piece between
    /// two stars is looked for once, at the first place where it fits, as a later one can't fit better.
    pub fn matches(&self, text: &str) -> bool {
        let Some((prefix, rest)) = self.0.split_once('*') else {
            return self.0 == text;
        };
        let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut text) = text
            .strip_prefix(prefix)
            .and_then(|text| text.strip_suffix(suffix))
        else {
            return false;
        };
        for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
            let Some(at) = text.find(piece) else {
                return false;
            };
            text = &text[at + piece.len()..];
        }
        true
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, fits, fits_not) in [
            ("m.room.message", "m.room.message", "m.room.messages"),
            ("m.*", "m.", "n.x"),
            ("*", "", "\0never"),
            ("*.member", "m.room.member", "m.room.members"),
            ("m.*.a*b", "m.x.ab", "m.x.ba"),
            ("a*a", "aa", "a"),
            ("a**c*d", "abcd", "abdc"),
            ("", "", "x"),
            ("*ab*ab*", "xabab", "xab"),
        ] {
            let pattern = Pattern::new(pattern);
            assert!(pattern.matches(fits), "{pattern:?} {fits}");
            assert!(
                fits_not.starts_with('\0') || !pattern.matches(fits_not),
                "{pattern:?} {fits_not}"
            );
        }
    }

    #[test]
    fn many_stars_take_no_more_than_linear_time() {
        let pattern = Pattern::new("*a".repeat(10_000) + "b");
        assert!(!pattern.matches(&"a".repeat(60_000)));
    }
}
