//! A JSON reader that borrows from its text: the one parser of events, strict about JSON, with a bounded depth.
//!
//! It exists because the hashes of events need what `serde_json::Value` loses: the text of numbers (room versions 1
//! to 5 know no strict canonical JSON), and keys in the order of their code points.

use std::borrow::Cow;

/// How deep arrays and objects may nest, the event itself being 1.
///
/// Clients read events inside of answers, some ten levels deeper, with parsers that give up at 128 levels: one event
/// beyond that would break a client's whole sync. It also bounds our own recursion.
pub const DEPTH_MAX: usize = 100;

/// A JSON value that borrows from the text it was read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// A number as it was written.
    Number(Cow<'a, str>),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// A JSON object: its members sorted by key (by code point), each key once.
///
/// Where a key was written twice the last one counts, as in the parsers of other servers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// Why a text is not JSON that we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("not JSON: {what} at byte {at}")]
    Syntax { what: &'static str, at: usize },
    #[error("arrays and objects nest deeper than {DEPTH_MAX} levels")]
    TooDeep,
    #[error("not an object")]
    NotAnObject,
}

/// Reads one JSON value; nothing but white space may follow.
///
/// # Errors
/// [`JsonError`] where the text is not JSON, or nests deeper than [`DEPTH_MAX`].
pub fn parse(text: &str) -> Result<Value<'_>, JsonError> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    let value = reader.value(0)?;
    reader.skip_space();
    if reader.at == text.len() {
        Ok(value)
    } else {
        Err(reader.syntax("more after the value"))
    }
}

/// Reads one JSON object.
///
/// # Errors
/// As [`parse`], and where the value is not an object.
pub fn parse_object(text: &str) -> Result<Object<'_>, JsonError> {
    match parse(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(JsonError::NotAnObject),
    }
}

impl<'a> Object<'a> {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.position(key).map(|at| &self.members[at].1)
    }

    /// The value of `key` where it is a string.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    /// All members, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members
            .iter()
            .map(|(key, value)| (key.as_ref(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value<'a>> {
        self.position(key).map(|at| self.members.remove(at).1)
    }

    /// Sets `key`, keeping the order.
    pub fn insert(&mut self, key: impl Into<Cow<'a, str>>, value: Value<'a>) {
        let key = key.into();
        match self
            .members
            .binary_search_by(|(other, _)| other.as_ref().cmp(key.as_ref()))
        {
            Ok(at) => self.members[at].1 = value,
            Err(at) => self.members.insert(at, (key, value)),
        }
    }

    /// Keeps the members that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value<'a>) -> bool) {
        self.members.retain_mut(|(key, value)| keep(key, value));
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.members
            .binary_search_by(|(other, _)| other.as_ref().cmp(key))
            .ok()
    }
}

impl<'a> FromIterator<(Cow<'a, str>, Value<'a>)> for Object<'a> {
    fn from_iter<I: IntoIterator<Item = (Cow<'a, str>, Value<'a>)>>(members: I) -> Self {
        let mut members: Vec<_> = members.into_iter().collect();
        sort_last_wins(&mut members);
        Object { members }
    }
}

impl<'a> Value<'a> {
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        if let Value::Array(values) = self {
            Some(values)
        } else {
            None
        }
    }

    pub fn as_object(&self) -> Option<&Object<'a>> {
        if let Value::Object(object) = self {
            Some(object)
        } else {
            None
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    /// The number where it is written as an integer that fits.
    pub fn as_i64(&self) -> Option<i64> {
        if let Value::Number(text) = self {
            text.parse().ok()
        } else {
            None
        }
    }
}

fn sort_last_wins<'a>(members: &mut Vec<(Cow<'a, str>, Value<'a>)>) {
    if members.is_sorted_by(|a, b| a.0 < b.0) {
        return;
    }
    members.sort_by(|a, b| a.0.cmp(&b.0));
    // The sort is stable, so of equal keys the one written last stands last.
    members.reverse();
    members.dedup_by(|later, first| later.0 == first.0);
    members.reverse();
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn syntax(&self, what: &'static str) -> JsonError {
        JsonError::Syntax { what, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, JsonError> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1).map(Value::Object),
            Some(b'[') => self.array(depth + 1).map(Value::Array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => {
                self.number().map(|text| Value::Number(Cow::Borrowed(text)))
            }
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(self.syntax("no value starts like this")),
            None => Err(self.syntax("the text ends too early")),
        }
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.syntax("no value starts like this"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value<'a>>, JsonError> {
        self.open(depth)?;
        let mut values = Vec::new();
        if self.closes(b']') {
            return Ok(values);
        }
        loop {
            values.push(self.value(depth)?);
            if self.ends(b']')? {
                return Ok(values);
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Object<'a>, JsonError> {
        self.open(depth)?;
        let mut members = Vec::new();
        if self.closes(b'}') {
            return Ok(Object { members });
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.syntax("an object's key must be a string"));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.syntax("a colon must follow the key"));
            }
            self.at += 1;
            self.skip_space();
            members.push((key, self.value(depth)?));
            if self.ends(b'}')? {
                sort_last_wins(&mut members);
                return Ok(Object { members });
            }
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), JsonError> {
        if depth > DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn closes(&mut self, close: u8) -> bool {
        let closes = self.peek() == Some(close);
        self.at += usize::from(closes);
        closes
    }

    /// After a member: whether the array or object ends here (else a comma has been read).
    fn ends(&mut self, close: u8) -> Result<bool, JsonError> {
        self.skip_space();
        if self.closes(close) {
            return Ok(true);
        }
        if self.peek() != Some(b',') {
            return Err(self.syntax("a comma or an end must follow a value"));
        }
        self.at += 1;
        self.skip_space();
        Ok(false)
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.syntax("a digit is missing")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.syntax("a digit is missing"))
        } else {
            Ok(())
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
                }
                Some(b'\\') => return self.string_with_escapes(start).map(Cow::Owned),
                Some(0..=0x1f) => return Err(self.syntax("a control character must be escaped")),
                Some(_) => self.at += 1,
                None => return Err(self.syntax("the text ends inside of a string")),
            }
        }
    }

    fn string_with_escapes(&mut self, start: usize) -> Result<String, JsonError> {
        let mut out = String::from(&self.text[start..self.at]);
        loop {
            let plain = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            out.push_str(&self.text[plain..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                Some(_) => return Err(self.syntax("a control character must be escaped")),
                None => return Err(self.syntax("the text ends inside of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.syntax("no such escape")),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let first = self.four_hex_digits()?;
        // A lone surrogate has no UTF-8, so no canonical form: such text is refused.
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or(self.syntax("no such character"));
        }
        if first >= 0xdc00 || !self.text.as_bytes()[self.at..].starts_with(b"\\u") {
            return Err(self.syntax("half of a surrogate pair"));
        }
        self.at += 2;
        let second = self.four_hex_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(self.syntax("half of a surrogate pair"));
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            .ok_or(self.syntax("no such character"))
    }

    fn four_hex_digits(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code =
                code * 16 + digit.ok_or(self.syntax("four hexadecimal digits must follow \\u"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_json_is_refused() {
        let texts = [
            "",
            " ",
            "{",
            "[",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "01",
            "-",
            "1.",
            "1e",
            "+1",
            ".5",
            "nul",
            "truefalse",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\udc00\"",
            "\"\\ud800\\u0041\"",
            "\"\\u00g0\"",
            "\"abc",
            "\"abc\\",
            "NaN",
            "Infinity",
            "[1 2]",
            "{}{}",
            "'a'",
        ];
        for text in texts {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn of_a_key_written_twice_the_last_counts() {
        let object = parse_object(r#"{"b":1,"a":1,"b":2,"a":3,"b":4}"#).unwrap();
        let members: Vec<_> = object
            .iter()
            .map(|(key, value)| (key.to_owned(), value.as_i64()))
            .collect();
        assert_eq!(
            members,
            [("a".to_owned(), Some(3)), ("b".to_owned(), Some(4))]
        );
    }

    #[test]
    fn deep_input_is_refused_and_not_a_crash() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(DEPTH_MAX + 1)), Err(JsonError::TooDeep));
        assert_eq!(parse(&"[".repeat(10_000_000)), Err(JsonError::TooDeep));
        assert_eq!(parse(&"{\"a\":".repeat(1_000_000)), Err(JsonError::TooDeep));
    }

    proptest! {
        #[test]
        fn strings_read_as_serde_reads_them(text in "\\PC*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(parse(&json).unwrap(), Value::String(text.into()));
        }

        #[test]
        fn any_text_is_judged_as_serde_judges_it(text in "[-\\[\\]{}\",:0-9eE.+ntrufalse\\\\ ]{0,12}") {
            prop_assert_eq!(parse(&text).is_ok(), serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }
}
