//! Which members of events to send (`event_fields`): client-server API "Filtering", Matrix v1.19.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Paths of members to keep, such as `content.body`; a `\` before a dot makes it part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields(Vec<Vec<String>>);

impl Fields {
    /// Reads dotted paths.
    pub fn new(paths: &[impl AsRef<str>]) -> Self {
        Self(paths.iter().map(|path| names(path.as_ref())).collect())
    }

    /// The event with these members alone. What is no object stays as it is.
    pub fn keep(&self, event: &RawValue) -> Box<RawValue> {
        let Ok(Value::Object(event)) = serde_json::from_str(event.get()) else {
            return event.to_owned();
        };
        let mut kept = Map::new();
        for path in &self.0 {
            copy(&event, path, &mut kept);
        }
        // A map of parsed JSON can always be written.
        serde_json::value::to_raw_value(&kept).unwrap_or_default()
    }
}

/// Copies what stands at `path`, making the objects that lead to it.
fn copy(from: &Map<String, Value>, path: &[String], to: &mut Map<String, Value>) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    match (from.get(name), rest.is_empty()) {
        (Some(value), true) => {
            to.insert(name.clone(), value.clone());
        }
        (Some(Value::Object(inner)), false) if has(inner, rest) => {
            let slot = to
                .entry(name.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(slot) = slot {
                copy(inner, rest, slot);
            }
        }
        _ => {}
    }
}

fn has(object: &Map<String, Value>, path: &[String]) -> bool {
    match path.split_first() {
        None => true,
        Some((name, [])) => object.contains_key(name),
        Some((name, rest)) => object
            .get(name)
            .and_then(Value::as_object)
            .is_some_and(|inner| has(inner, rest)),
    }
}

fn names(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        let name = names.last_mut();
        match (letter, letters.peek()) {
            ('\\', Some('.' | '\\')) => name
                .into_iter()
                .for_each(|name| name.extend(letters.next())),
            ('.', _) => names.push(String::new()),
            _ => name.into_iter().for_each(|name| name.push(letter)),
        }
    }
    names
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<String>::deserialize(deserializer).map(|paths| Fields::new(&paths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], event: &str, kept: &str) {
        let event = RawValue::from_string(event.to_owned()).unwrap();
        let result: Value = serde_json::from_str(Fields::new(paths).keep(&event).get()).unwrap();
        assert_eq!(
            result,
            serde_json::from_str::<Value>(kept).unwrap(),
            "{paths:?}"
        );
    }

    #[test]
    fn only_the_asked_members_are_kept() {
        let event = r#"{"type":"m.x","content":{"body":"b","a.b":{"c":1},"d":2},"sender":"@a:b"}"#;
        check(
            &["type", "content.body"],
            event,
            r#"{"type":"m.x","content":{"body":"b"}}"#,
        );
        check(
            &["content.body", "content.d"],
            event,
            r#"{"content":{"body":"b","d":2}}"#,
        );
        check(
            &[r"content.a\.b.c"],
            event,
            r#"{"content":{"a.b":{"c":1}}}"#,
        );
        check(
            &["content", "content.body"],
            event,
            r#"{"content":{"body":"b","a.b":{"c":1},"d":2}}"#,
        );
        check(&["content.nothing", "type.x", ""], event, "{}");
        check(&[], event, "{}");
    }
}
