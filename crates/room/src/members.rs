//! The members of a canonical JSON object as raw text: to cut and splice events without parsing them.

/// The members of a canonical JSON object, as raw text, without parsing what is inside.
pub(crate) struct Members<'a> {
    rest: &'a str,
}

impl<'a> Members<'a> {
    pub(crate) fn of(canonical: &'a str) -> Members<'a> {
        Members { rest: canonical }
    }

    /// The text after the member that was given last.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }
}

impl<'a> Iterator for Members<'a> {
    /// The key as written (escapes and all) and the value.
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // What stands before the key is a brace or a comma, and its opening quote.
        let rest = self.rest.get(1..).filter(|rest| rest.starts_with('"'))?;
        let key_end = string_end(rest);
        let value_start = key_end + 1;
        let value_end = value_start + value_length(&rest[value_start..]);
        self.rest = &rest[value_end..];
        Some((&rest[1..key_end - 1], &rest[value_start..value_end]))
    }
}

/// Where the string that `text` starts with ends (after its closing quote).
fn string_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// How long the value is that `text` starts with.
fn value_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += string_end(&text[at..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::parse_object;

    proptest! {
        #[test]
        fn the_members_are_those_that_parsing_finds(map: std::collections::BTreeMap<String, (String, Vec<i32>)>) {
            let json = crate::canonical::canonicalize(&serde_json::to_string(&map).unwrap(), crate::canonical::Numbers::Strict).unwrap();
            let object = parse_object(&json).unwrap();
            let raw: Vec<_> = Members::of(&json).collect();
            prop_assert_eq!(raw.len(), object.len());
            for ((raw_key, raw_value), (key, value)) in raw.into_iter().zip(object.iter()) {
                prop_assert_eq!(&serde_json::from_str::<String>(&format!("\"{raw_key}\"")).unwrap(), key);
                prop_assert_eq!(&crate::json::parse(raw_value).unwrap(), value);
            }
        }
    }
}
