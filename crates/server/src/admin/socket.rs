//! The admin socket: `admin.sock` in the data directory, for the user that runs the server alone (mode 0600). One
//! connection carries one request and its answer, each a line of JSON.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use homeserver::Homeserver;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Answer, Request, run};

/// Requests are names and numbers.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// A list of many thousand users fits; more would not be read by anyone.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The slowest verb, deactivation, ends many sessions.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Opens the socket. Whoever claimed the data directory may replace what a crash left behind.
pub fn bind(data_dir: &Path) -> anyhow::Result<UnixListener> {
    let path = Reachable::new(data_dir)?;
    let partial = path.0.join("admin.sock.partial");
    let _ = std::fs::remove_file(&partial);
    let listener = UnixListener::bind(&partial)
        .context("cannot open the admin socket in the data directory")?;
    // It gets its name once nobody else can open it.
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&partial, path.0.join("admin.sock"))?;
    Ok(listener)
}

/// Serves the socket until the stop.
pub async fn serve(
    listener: UnixListener,
    hs: Arc<Homeserver>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(answering.spawn(answer_one(stream, hs.clone()))),
                Err(error) => tracing::warn!(%error, "an admin connection could not be accepted"),
            },
            Some(_) = answering.join_next() => {}
        }
    }
    while answering.join_next().await.is_some() {}
}

async fn answer_one(mut stream: UnixStream, hs: Arc<Homeserver>) {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut read = BufReader::new(read.take(REQUEST_BYTES_MAX));
    let answer = match tokio::time::timeout(ANSWER_PATIENCE, read.read_line(&mut line)).await {
        Ok(Ok(_)) => match serde_json::from_str::<Request>(&line) {
            Ok(request) => run(&hs, request).await,
            Err(_) => Answer::Refused(
                "The running server is of another version and does not know this. Restart it first.".to_owned(),
            ),
        },
        _ => return,
    };
    // Strings always serialize; a caller that is gone needs no answer.
    let mut text = serde_json::to_string(&answer).unwrap_or_default();
    text.push('\n');
    let _ = write.write_all(text.as_bytes()).await;
}

/// Asks the running server; `None` where none runs.
pub async fn ask(data_dir: &Path, request: &Request) -> anyhow::Result<Option<Answer>> {
    let path = data_dir.join("admin.sock");
    if !path.exists() {
        return Ok(None);
    }
    let mut stream = match UnixStream::connect(Reachable::new(data_dir)?.0.join("admin.sock")).await
    {
        Ok(stream) => stream,
        // A crash left the socket behind.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::NotFound
            ) =>
        {
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!(
                "this user may not talk to the running server; run the command as the user that runs it"
            )
        }
        Err(error) => {
            return Err(error).context(format!(
                "cannot reach the running server through {}",
                path.display()
            ));
        }
    };
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    let mut reader = BufReader::new(stream.take(ANSWER_BYTES_MAX));
    let read = tokio::time::timeout(ANSWER_PATIENCE, reader.read_line(&mut answer)).await;
    read.context("the running server does not answer; its log may say why")??;
    serde_json::from_str(&answer)
        .map(Some)
        .context("the running server stopped before it answered; try again")
}

/// The data directory under a name short enough for a socket: those have 107 bytes at most, and `/proc/self/fd/N`
/// leads to any directory that is open.
struct Reachable(
    PathBuf,
    #[expect(dead_code, reason = "open for as long as the name is used")] Option<std::fs::File>,
);

/// `sockaddr_un` has 108 bytes with the closing zero; `/admin.sock.partial` takes 19.
const DIRECTORY_BYTES_MAX: usize = 107 - 19;

impl Reachable {
    fn new(data_dir: &Path) -> anyhow::Result<Self> {
        use std::os::fd::AsRawFd;
        if data_dir.as_os_str().len() <= DIRECTORY_BYTES_MAX {
            return Ok(Reachable(data_dir.to_owned(), None));
        }
        let directory = std::fs::File::open(data_dir).context("cannot open the data directory")?;
        Ok(Reachable(
            PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())),
            Some(directory),
        ))
    }
}
