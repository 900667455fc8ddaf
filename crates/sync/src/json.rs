//! Writes answers: JSON by copying finished pieces, so that events are never parsed on their way out.

use room::canonical::write_string;

/// An object under way in `out`. Close it with [`Object::end`].
pub(crate) struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn new(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    /// Writes a member's name; its value goes into what this returns.
    pub(crate) fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        write_string(key, self.out);
        self.out.push(':');
        self.out
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        write_string(value, self.key(key));
    }

    pub(crate) fn number(&mut self, key: &str, value: i64) {
        self.raw(key, &value.to_string());
    }

    pub(crate) fn boolean(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    /// Copies finished JSON.
    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.key(key).push_str(json);
    }

    /// A list of finished JSON values.
    pub(crate) fn list(&mut self, key: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        write_list(values, self.key(key));
    }

    /// `{"events":[…]}`.
    pub(crate) fn events(&mut self, key: &str, events: impl IntoIterator<Item = impl AsRef<str>>) {
        let mut inner = self.object(key);
        inner.list("events", events);
        inner.end();
    }

    pub(crate) fn object(&mut self, key: &str) -> Object<'_> {
        Object::new(self.key(key))
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }
}

/// Appends a list of finished JSON values.
pub(crate) fn write_list(values: impl IntoIterator<Item = impl AsRef<str>>, out: &mut String) {
    out.push('[');
    for (number, value) in values.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        out.push_str(value.as_ref());
    }
    out.push(']');
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    out
}

/// `{"type":…,"content":…}`: account data and ephemeral events.
pub(crate) fn small_event(event_type: &str, content: &str) -> String {
    let mut out = String::with_capacity(event_type.len() + content.len() + 24);
    let mut event = Object::new(&mut out);
    event.text("type", event_type);
    event.raw("content", content);
    event.end();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_nest() {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.text("a", "\"");
        let mut inner = object.object("b");
        inner.number("n", -1);
        inner.list("l", ["1", "2"]);
        inner.end();
        object.events("c", [small_event("m.x", "{}")]);
        object.boolean("d", true);
        object.end();
        assert_eq!(
            out,
            r#"{"a":"\"","b":{"n":-1,"l":[1,2]},"c":{"events":[{"type":"m.x","content":{}}]},"d":true}"#
        );
    }
}
