//! Reader threads: each owns one connection and serves one short snapshot at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::Error;
use crate::driver::{Connection, Driver, Role, Snapshot};

type Read = Box<dyn FnOnce(Result<&mut Snapshot<'_>, Error>) + Send>;

/// Hands reads to the threads, in order of arrival.
pub(crate) struct Readers {
    queue: Sender<Read>,
    submitted: AtomicU64,
}

impl Readers {
    /// Starts `count` threads. They end when the value is dropped.
    pub(crate) fn start(driver: Arc<dyn Driver>, count: usize) -> std::io::Result<Self> {
        let (queue, reads) = channel::<Read>();
        // One queue for all threads: the lock is held only while a thread waits for its next read.
        let reads = Arc::new(Mutex::new(reads));
        for number in 0..count {
            let (driver, reads) = (driver.clone(), reads.clone());
            std::thread::Builder::new()
                .name(format!("kith-read-{number}"))
                .spawn(move || serve(&*driver, &reads))?;
        }
        Ok(Self {
            queue,
            submitted: AtomicU64::new(0),
        })
    }

    /// How many reads were asked for since the start.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Relaxed)
    }

    pub(crate) fn submit(&self, read: Read) {
        self.submitted.fetch_add(1, Ordering::Relaxed);
        // A closed queue means that the threads are gone, at shutdown: the dropped read answers `Closed`.
        let _ = self.queue.send(read);
    }
}

fn serve(driver: &dyn Driver, reads: &Mutex<Receiver<Read>>) {
    let mut conn: Option<Box<dyn Connection>> = None;
    loop {
        let next = match reads.lock() {
            Ok(reads) => reads.recv(),
            Err(_) => return,
        };
        let Ok(read) = next else { return };
        if conn.as_ref().is_none_or(|conn| !conn.is_usable()) {
            conn = match driver.connect(Role::Reader) {
                Ok(conn) => Some(conn),
                Err(error) => {
                    read(Err(error));
                    continue;
                }
            };
        }
        let Some(open) = conn.as_mut() else { continue };
        if let Err(error) = open.begin_read() {
            conn = None;
            read(Err(error));
            continue;
        }
        // A read that panics must not take the thread with it: the request ends, the server goes on.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            read(Ok(&mut Snapshot { conn: &mut **open }));
        }));
        if open.rollback().is_err() || outcome.is_err() {
            conn = None;
        }
    }
}
