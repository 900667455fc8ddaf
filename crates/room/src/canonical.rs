//! Canonical JSON: the one way to write a JSON value, over which hashes and signatures are made.
//!
//! Source: appendices, "Canonical JSON", Matrix v1.19; rooms v6 "Canonical JSON" (strict) and rooms v1 (not enforced).

use std::fmt::Write as _;

use crate::json::{self, JsonError, Object, Value};

/// The greatest integer that canonical JSON knows, 2⁵³−1; the least is its negative.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;

/// How numbers are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Only integers within ±[`INTEGER_MAX`], without exponent, fraction or negative zero.
    Strict,
    /// Any number, written as the servers that made such events wrote them (room versions 1 to 5): integers of any
    /// size, floats by their shortest digits.
    Lenient,
}

/// Why a value has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("{0} is not an integer from -(2^53)+1 to (2^53)-1")]
    NotAnInteger(String),
    #[error("{0} is too great for a number")]
    TooGreat(String),
}

/// The canonical form of a JSON text.
///
/// # Errors
/// Where the text is not JSON, nests too deep, or has a number that `numbers` does not admit.
pub fn canonicalize(text: &str, numbers: Numbers) -> Result<String, CanonicalError> {
    let mut out = String::with_capacity(text.len());
    write_value(&json::parse(text)?, numbers, &mut out)?;
    Ok(out)
}

/// Appends the canonical form of `value` to `out`.
///
/// # Errors
/// Where a number is not admitted by `numbers`.
pub fn write_value(
    value: &Value<'_>,
    numbers: Numbers,
    out: &mut String,
) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, numbers, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(value, numbers, out)?;
            }
            out.push(']');
        }
        Value::Object(object) => write_object(object, |_| true, numbers, out)?,
    }
    Ok(())
}

/// Appends the canonical form of `object` with only the members whose key `keep` wants.
///
/// # Errors
/// Where a number is not admitted by `numbers`.
pub fn write_object(
    object: &Object<'_>,
    keep: impl Fn(&str) -> bool,
    numbers: Numbers,
    out: &mut String,
) -> Result<(), CanonicalError> {
    let kept = object.iter().filter(|(key, _)| keep(key));
    write_members(kept, out, |_, value, out| write_value(value, numbers, out))
}

/// Appends an object of these members, each value written by `write`.
pub(crate) fn write_members<'o, 'a: 'o>(
    members: impl Iterator<Item = (&'o str, &'o Value<'a>)>,
    out: &mut String,
    write: impl Fn(&str, &Value<'a>, &mut String) -> Result<(), CanonicalError>,
) -> Result<(), CanonicalError> {
    out.push('{');
    for (index, (key, value)) in members.enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write(key, value, out)?;
    }
    out.push('}');
    Ok(())
}

/// Appends `text` as a JSON string in canonical form.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            0x0c => out.push_str("\\f"),
            b'\r' => out.push_str("\\r"),
            control => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{control:04x}");
            }
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

fn write_number(number: &str, numbers: Numbers, out: &mut String) -> Result<(), CanonicalError> {
    let integer = !number.contains(['.', 'e', 'E']);
    match numbers {
        Numbers::Strict => {
            let within = |value: i64| (-INTEGER_MAX..=INTEGER_MAX).contains(&value);
            if !integer || number == "-0" || !number.parse().is_ok_and(within) {
                return Err(CanonicalError::NotAnInteger(number.to_owned()));
            }
            out.push_str(number);
        }
        Numbers::Lenient if integer => out.push_str(if number == "-0" { "0" } else { number }),
        Numbers::Lenient => write_float(number, out)?,
    }
    Ok(())
}

/// Writes a float as the network's events have them: shortest digits that read back the same, an exponent of at least
/// two digits from 1e16 on and below 1e-4, else a point.
fn write_float(number: &str, out: &mut String) -> Result<(), CanonicalError> {
    let value: f64 = number
        .parse()
        .map_err(|_| CanonicalError::TooGreat(number.to_owned()))?;
    if !value.is_finite() {
        return Err(CanonicalError::TooGreat(number.to_owned()));
    }
    let scientific = format!("{value:e}");
    let exponent: i32 = scientific
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok())
        .unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let mantissa = scientific.split('e').next().unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a string does not fail.
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    } else {
        // The debug form keeps the point: 1.0, not 1.
        let plain = format!("{value}");
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, canonical: &str) {
        assert_eq!(
            canonicalize(text, Numbers::Strict).as_deref(),
            Ok(canonical)
        );
    }

    #[test]
    fn the_examples_of_the_appendix() {
        check("{}", "{}");
        check(r#"{"one": 1, "two": "Two"}"#, r#"{"one":1,"two":"Two"}"#);
        check(r#"{"b": "2", "a": "1"}"#, r#"{"a":"1","b":"2"}"#);
        check(r#"{"b":"2","a":"1"}"#, r#"{"a":"1","b":"2"}"#);
        check(
            r#"{"auth": {"success": true, "mxid": "@john.doe:example.com", "profile": {"display_name": "John Doe",
               "three_pids": [{"medium": "email", "address": "john.doe@example.org"},
               {"medium": "msisdn", "address": "123456789"}]}}}"#,
            r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
        );
        check(r#"{"a": "日本語"}"#, r#"{"a":"日本語"}"#);
        check(r#"{"本": 2, "日": 1}"#, r#"{"日":1,"本":2}"#);
        check(r#"{"a": "\u65E5"}"#, r#"{"a":"日"}"#);
        check(r#"{"a": null}"#, r#"{"a":null}"#);
    }

    #[test]
    fn only_what_must_be_escaped_is_escaped() {
        check(
            r#""\u0000\u0007\b\t\n\u000b\f\r\u001f\"\\\/\u007f""#,
            "\"\\u0000\\u0007\\b\\t\\n\\u000b\\f\\r\\u001f\\\"\\\\/\u{7f}\"",
        );
        check(r#""\ud83d\ude00""#, "\"😀\"");
    }

    #[test]
    fn keys_sort_by_code_point_and_not_by_utf_16() {
        // U+FB01 is before U+1F600 by code point, after it by UTF-16 unit.
        check("{\"😀\":1,\"ﬁ\":2}", "{\"ﬁ\":2,\"😀\":1}");
    }

    #[test]
    fn strict_numbers_are_integers_in_range() {
        for number in ["0", "-1", "9007199254740991", "-9007199254740991"] {
            check(number, number);
        }
        for number in [
            "-0",
            "1.0",
            "1e3",
            "9007199254740992",
            "-9007199254740992",
            "99999999999999999999",
        ] {
            assert!(canonicalize(number, Numbers::Strict).is_err(), "{number}");
        }
    }

    #[test]
    fn lenient_numbers_are_written_as_the_network_writes_them() {
        let table = [
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("1.0", "1.0"),
            ("1e3", "1000.0"),
            ("50.570", "50.57"),
            ("1e15", "1000000000000000.0"),
            ("1e16", "1e+16"),
            ("1.5E300", "1.5e+300"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1.25e-7", "1.25e-07"),
            ("99999999999999999999", "99999999999999999999"),
            ("123456789012345680.0", "1.2345678901234568e+17"),
        ];
        for (number, written) in table {
            assert_eq!(
                canonicalize(number, Numbers::Lenient).as_deref(),
                Ok(written),
                "{number}"
            );
        }
        assert!(canonicalize("1e400", Numbers::Lenient).is_err());
    }

    proptest! {
        #[test]
        fn the_canonical_form_of_a_canonical_form_is_itself(text in "\\PC*", number in -INTEGER_MAX..=INTEGER_MAX) {
            let json = serde_json::json!({ "b": text, text.clone(): [number, null, true], "a": {} }).to_string();
            let once = canonicalize(&json, Numbers::Strict).unwrap();
            prop_assert_eq!(&canonicalize(&once, Numbers::Strict).unwrap(), &once);
            let value: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&once).unwrap(), value);
        }
    }
}
