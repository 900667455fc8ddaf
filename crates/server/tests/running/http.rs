//! A small HTTP/1.1 client on one kept connection: what a load of senders needs, with no runtime of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// One connection to a server, signed in or not. A broken one is an error: the caller connects anew.
pub struct Connection {
    stream: BufReader<TcpStream>,
    pub token: String,
}

/// How long an answer may take: far more than any does, so that a server that hangs fails the test.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

impl Connection {
    /// `address` is `http://HOST:PORT`.
    pub fn open(address: &str, token: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self {
            stream: BufReader::new(stream),
            token: token.to_owned(),
        })
    }

    /// Sends a request and reads the whole answer.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> std::io::Result<(u16, Value)> {
        let body = if method == "GET" {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(broken)?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let header = self.line()?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| broken())?;
            }
            chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
        }
        let mut answer = Vec::new();
        if chunked {
            loop {
                let size = usize::from_str_radix(self.line()?.trim(), 16).map_err(|_| broken())?;
                let start = answer.len();
                answer.resize(start + size, 0);
                self.stream.read_exact(&mut answer[start..])?;
                self.line()?;
                if size == 0 {
                    break;
                }
            }
        } else {
            answer.resize(length, 0);
            self.stream.read_exact(&mut answer)?;
        }
        Ok((
            status,
            serde_json::from_slice(&answer).unwrap_or(Value::Null),
        ))
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(broken());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn broken() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::UnexpectedEof)
}
