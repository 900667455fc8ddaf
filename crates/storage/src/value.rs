//! Values that go into and come out of both engines.

/// One bound parameter or one column of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
    /// For `IN ($1[])`.
    Ints(Vec<i64>),
    /// For `IN ($1[])`.
    Texts(Vec<String>),
    /// For `IN ($1[])`.
    BytesList(Vec<Vec<u8>>),
}

macro_rules! from_value {
    ($($from:ty => |$v:ident| $make:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($v: $from) -> Self { $make }
        }
    )*};
}

from_value! {
    i64 => |v| Value::Int(v);
    i32 => |v| Value::Int(v.into());
    u32 => |v| Value::Int(v.into());
    u16 => |v| Value::Int(v.into());
    u8 => |v| Value::Int(v.into());
    u64 => |v| Value::Int(i64::try_from(v).unwrap_or(i64::MAX));
    usize => |v| Value::Int(i64::try_from(v).unwrap_or(i64::MAX));
    bool => |v| Value::Bool(v);
    &str => |v| Value::Text(v.to_owned());
    &String => |v| Value::Text(v.clone());
    String => |v| Value::Text(v);
    &[u8] => |v| Value::Bytes(v.to_owned());
    &Vec<u8> => |v| Value::Bytes(v.clone());
    Vec<u8> => |v| Value::Bytes(v);
    Vec<i64> => |v| Value::Ints(v);
    Vec<String> => |v| Value::Texts(v);
    Vec<Vec<u8>> => |v| Value::BytesList(v);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Builds the parameters of a statement: `params![user, "m.direct", now_ms]`.
#[macro_export]
macro_rules! params {
    () => { &[] as &[$crate::Value] };
    ($($value:expr),+ $(,)?) => { &[$($crate::Value::from($value)),+] as &[$crate::Value] };
}

/// Builds one row for `execute_many`: like [`params!`], owned.
#[macro_export]
macro_rules! row {
    ($($value:expr),+ $(,)?) => { vec![$($crate::Value::from($value)),+] };
}

/// One row of an answer. Columns are counted from 0; a column of another type than asked for is a defect of the
/// statement, so the accessors panic with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub(crate) Vec<Value>);

impl Row {
    /// A 64-bit integer column.
    pub fn int(&self, column: usize) -> i64 {
        self.opt_int(column)
            .unwrap_or_else(|| panic!("column {column} is null where an integer must be"))
    }

    /// A 64-bit integer column that may be null.
    pub fn opt_int(&self, column: usize) -> Option<i64> {
        match &self.0[column] {
            Value::Null => None,
            Value::Int(value) => Some(*value),
            Value::Bool(value) => Some((*value).into()),
            other => panic!("column {column} is {other:?}, not an integer"),
        }
    }

    /// A boolean column.
    pub fn bool(&self, column: usize) -> bool {
        match &self.0[column] {
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            other => panic!("column {column} is {other:?}, not a boolean"),
        }
    }

    /// A text column.
    pub fn text(&self, column: usize) -> String {
        self.opt_text(column)
            .unwrap_or_else(|| panic!("column {column} is null where text must be"))
    }

    /// A text column that may be null.
    pub fn opt_text(&self, column: usize) -> Option<String> {
        match &self.0[column] {
            Value::Null => None,
            Value::Text(value) => Some(value.clone()),
            other => panic!("column {column} is {other:?}, not text"),
        }
    }

    /// A bytes column.
    pub fn bytes(&self, column: usize) -> Vec<u8> {
        self.opt_bytes(column)
            .unwrap_or_else(|| panic!("column {column} is null where bytes must be"))
    }

    /// A bytes column that may be null.
    pub fn opt_bytes(&self, column: usize) -> Option<Vec<u8>> {
        match &self.0[column] {
            Value::Null => None,
            Value::Bytes(value) => Some(value.clone()),
            other => panic!("column {column} is {other:?}, not bytes"),
        }
    }

    /// Takes a bytes column out of the row without copying it.
    pub fn take_bytes(&mut self, column: usize) -> Vec<u8> {
        match std::mem::replace(&mut self.0[column], Value::Null) {
            Value::Bytes(value) => value,
            other => panic!("column {column} is {other:?}, not bytes"),
        }
    }
}
