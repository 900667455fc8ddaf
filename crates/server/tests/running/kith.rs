//! A running `kith` for tests: started in a directory of its own, on a free port, stopped at the end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A server process.
pub struct Kith {
    process: Child,
    /// `http://127.0.0.1:PORT`.
    pub address: String,
    directory: PathBuf,
    settings: Vec<(String, String)>,
    stdout: Option<std::thread::JoinHandle<String>>,
    log: std::sync::mpsc::Receiver<String>,
    /// What was logged so far.
    pub logged: Vec<String>,
}

impl Kith {
    /// The binary with `arguments`, free of settings from the environment of the test.
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KITH_") {
                command.env_remove(name);
            }
        }
        command.args(arguments);
        command
    }

    /// Starts a server in `directory` and waits until it is ready.
    pub fn start(directory: &Path, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![("KITH_LISTEN".to_owned(), "http://127.0.0.1:0".to_owned())];
        for (name, value) in settings {
            all.retain(|(earlier, _)| earlier != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        let mut process = Self::command(&["serve"])
            .current_dir(directory)
            .envs(all.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kith starts");
        let mut stdout = process.stdout.take().expect("stdout is piped");
        let stdout = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).expect("kith prints text");
            text
        });
        let stderr = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let (send, log) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            stderr
                .lines()
                .map_while(Result::ok)
                .for_each(|line| drop(send.send(line)))
        });
        let mut kith = Kith {
            process,
            address: String::new(),
            directory: directory.to_owned(),
            settings: all,
            stdout: Some(stdout),
            log,
            logged: Vec::new(),
        };
        kith.wait_for_log("Kith is ready");
        kith.address = kith
            .listening()
            .into_iter()
            .next()
            .expect("a listener is logged");
        kith
    }

    /// Waits for a line with `text`; fails with all that was logged if the process ends first.
    pub fn wait_for_log(&mut self, text: &str) {
        loop {
            match self.log.recv() {
                Ok(line) => self.logged.push(line),
                Err(_) => panic!(
                    "kith ended before it logged {text:?}:\n{}",
                    self.logged.join("\n")
                ),
            }
            if self.logged.last().is_some_and(|line| line.contains(text)) {
                return;
            }
        }
    }

    /// The addresses it listens on.
    pub fn listening(&self) -> Vec<String> {
        self.logged
            .iter()
            .filter_map(|line| Some(line.split_once("listening on ")?.1.trim().to_owned()))
            .collect()
    }

    /// Runs another verb against this server's data, with its settings.
    pub fn verb(&self, arguments: &[&str]) -> Output {
        Self::command(arguments)
            .current_dir(&self.directory)
            .envs(self.settings.iter().cloned())
            .output()
            .expect("kith runs")
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        get(&self.address, path)
    }

    /// Registers through the page behind an invitation for one name; the status of the answer to the form.
    pub fn register(&self, link: &str, password: &str) -> u16 {
        let path = link
            .trim()
            .strip_prefix(&self.address)
            .expect("a link to this server");
        let page = request(&self.address, &format!("GET {path}"), "", "");
        let hidden = |name: &str| {
            let found = between(&page.body, &format!("name=\"{name}\" value=\""), "\"");
            found
                .unwrap_or_else(|| panic!("no {name} in {}", page.body))
                .to_owned()
        };
        let cookie = between(&page.head, "set-cookie: ", ";").expect("a cookie for the form");
        let password: String = password
            .bytes()
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let form = format!(
            "csrf={}&token={}&username=&password={password}&repeat={password}",
            hidden("csrf"),
            hidden("token")
        );
        let headers =
            format!("Cookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n");
        request(&self.address, "POST /register", &headers, &form).status
    }

    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill")
            .args(["-s", name, &self.process.id().to_string()])
            .status();
        assert!(killed.expect("kill runs").success());
    }

    /// Where `/metrics` is.
    pub fn metrics_address(&self) -> String {
        let line = self
            .logged
            .iter()
            .find_map(|line| Some(line.split_once("metrics on ")?.1));
        line.and_then(|url| url.strip_suffix("/metrics"))
            .expect("the metrics listener is logged")
            .to_owned()
    }

    /// Waits for the end of a server that was told to stop.
    pub fn wait(mut self) -> (std::process::ExitStatus, String) {
        let status = self.process.wait().expect("it was ours to wait for");
        let printed = self
            .stdout
            .take()
            .expect("taken once")
            .join()
            .expect("the reader ends with the pipe");
        (status, printed)
    }

    /// Stops it cleanly; gives its exit status and what it printed.
    pub fn stop(self) -> (std::process::ExitStatus, String) {
        self.signal("TERM");
        self.wait()
    }
}

impl Drop for Kith {
    fn drop(&mut self) {
        // Ended already where the test stopped it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Status and body of a GET, over a connection of its own.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let answer = request(address, &format!("GET {path}"), "", "");
    (answer.status, answer.body)
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// One request over a connection of its own; `headers` are whole lines.
pub fn request(address: &str, method_and_path: &str, headers: &str, body: &str) -> Answer {
    let host = address.strip_prefix("http://").expect("plain HTTP");
    let mut stream = TcpStream::connect(host).expect("it listens");
    let length = body.len();
    write!(
        stream,
        "{method_and_path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// What stands between `before` and `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?
        .1
        .split_once(after)
        .map(|(found, _)| found)
}
