//! One disk on one socket.

use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

use super::{Disk, lock, protocol};
use crate::OrFail;

/// Serves a disk on a unix socket until it is dropped.
#[derive(Debug)]
pub struct Server {
    // A path of its own: a socket's may have 107 bytes at most.
    directory: TempDir,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    clients: Mutex<Vec<UnixStream>>,
}

impl Server {
    /// Starts it.
    ///
    /// # Panics
    /// If there can be no socket.
    #[must_use]
    pub fn start(disk: impl Disk + 'static) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("ravelin-nbd-")
            .tempdir()
            .or_fail("make a directory for an NBD socket");
        let listener = UnixListener::bind(directory.path().join("socket")).or_fail("bind for NBD");
        let shared = Arc::new(Shared::default());
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let listening = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || listen(&listener, &shared, &disk))
        };
        Self { directory, shared, listening: Some(listening) }
    }

    /// Where clients connect to.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes it up.
        let _gone = UnixStream::connect(self.socket());
        if let Some(listening) = self.listening.take() {
            let _panicked = listening.join();
        }
        for client in lock(&self.shared.clients).drain(..) {
            let _gone = client.shutdown(Shutdown::Both);
        }
    }
}

fn listen(listener: &UnixListener, shared: &Shared, disk: &Arc<dyn Disk>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        if let Ok(handle) = stream.try_clone() {
            lock(&shared.clients).push(handle);
        }
        let disk = Arc::clone(disk);
        thread::spawn(move || {
            // Whatever ends it, the client sees the end: of a cut, above all.
            let _ended = protocol::serve(&mut stream, &*disk);
            let _gone = stream.shutdown(Shutdown::Both);
        });
    }
}
