//! What the tokens of syncs say: `s<position>` and `s<position>.<to-device position>`.

use std::fmt;

use storage::Position;

/// A point of the stream up to which a client has been given everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub position: Position,
    /// Where the queue of messages to the device was cut: those after it are still to come.
    pub to_device: Option<Position>,
}

impl Token {
    /// Reads `s<position>` or `s<position>.<to-device position>`.
    pub fn parse(token: &str) -> Option<Self> {
        let rest = token.strip_prefix('s')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok().map(Position)).flatten()
        };
        Some(match rest.split_once('.') {
            None => Token {
                position: number(rest)?,
                to_device: None,
            },
            Some((position, queue)) => Token {
                position: number(position)?,
                to_device: Some(number(queue)?),
            },
        })
    }

    /// Everything up to a position was given.
    pub fn whole(position: Position) -> Self {
        Token {
            position,
            to_device: None,
        }
    }

    /// Up to where messages to the device were given.
    pub fn queue_position(&self) -> Position {
        self.to_device.unwrap_or(self.position)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.position.0)?;
        match self.to_device {
            Some(queue) => write!(f, ".{}", queue.0),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_as_they_are_written() {
        for text in ["s0", "s17", "s17.3"] {
            assert_eq!(Token::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in [
            "",
            "s",
            "17",
            "t17.0",
            "s-1",
            "s1.",
            "s1.2.3",
            "s+1",
            "s99999999999999999999",
            "s１",
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
