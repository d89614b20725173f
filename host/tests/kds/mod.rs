//! A key service of the tests' own, on loopback: answers as it is told, counts
//! what it is asked, and can be slow, busy and wrong.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// One answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status 200 and these bytes.
    Body(Vec<u8>),
    /// This status, with a header line or none.
    Status(u16, &'static str),
    /// Promises more bytes than it sends.
    Truncated(Vec<u8>),
    /// Sends bytes without end and without saying how many.
    Endless,
    /// Says nothing until the test ends or the client goes.
    Silent,
    /// Waits for [`Kds::open`], then the bytes.
    Gated(Vec<u8>),
    /// Closes the connection.
    HangUp,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Vec<Answer>>,
    requests: Vec<String>,
    open: bool,
}

/// The service; it ends with the test's process.
pub(crate) struct Kds {
    pub(crate) url: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Kds {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&state);
                thread::spawn(move || serve(&stream.unwrap(), &state));
            }
        });
        Self { url, shared }
    }

    /// Answers requests for `path` with these, one after the other, the last
    /// again and again. Everything else is not found.
    pub(crate) fn answer(&self, path: &str, answers: &[Answer]) -> &Self {
        self.shared.0.lock().unwrap().answers.insert(path.to_owned(), answers.to_vec());
        self
    }

    /// What was asked for so far, in order; then forgotten.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.0.lock().unwrap().requests)
    }

    /// How many requests there were so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.0.lock().unwrap().requests.len()
    }

    /// Waits until this many requests have come.
    pub(crate) fn wait_for(&self, count: usize) {
        let (state, changed) = &*self.shared;
        let state = state.lock().unwrap();
        let limit = Duration::from_secs(120);
        let waited = |state: &mut State| state.requests.len() < count;
        let (_state, timeout) = changed.wait_timeout_while(state, limit, waited).unwrap();
        assert!(!timeout.timed_out(), "no {count} requests came");
    }

    /// Lets the gated answers go.
    pub(crate) fn open(&self) {
        self.shared.0.lock().unwrap().open = true;
        self.shared.1.notify_all();
    }
}

fn serve(stream: &TcpStream, shared: &(Mutex<State>, Condvar)) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    while lines.next().is_some_and(|line| !line.is_empty()) {}
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = {
        let mut state = shared.0.lock().unwrap();
        state.requests.push(path.clone());
        shared.1.notify_all();
        match state.answers.get_mut(&path) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
            None => Answer::Status(404, ""),
        }
    };
    // A client that went away is none of the server's concern.
    let _ = respond(stream, answer, shared);
}

fn respond(
    mut stream: &TcpStream,
    answer: Answer,
    shared: &(Mutex<State>, Condvar),
) -> std::io::Result<()> {
    let mut whole = |body: &[u8], length: usize| {
        write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")?;
        stream.write_all(body)
    };
    match answer {
        Answer::Body(body) => whole(&body, body.len()),
        Answer::Truncated(body) => whole(&body, body.len() + 100),
        Answer::Status(status, header) => {
            let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
            write!(
                stream,
                "HTTP/1.1 {status} Some\r\n{header}Connection: close\r\nContent-Length: 0\r\n\r\n"
            )
        }
        Answer::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                stream.write_all(&[0x30; 4096])?;
            }
        }
        Answer::Silent => {
            let mut byte = [0];
            std::io::Read::read(&mut stream, &mut byte).map(drop)
        }
        Answer::Gated(body) => {
            let (state, changed) = shared;
            drop(changed.wait_while(state.lock().unwrap(), |state| !state.open).unwrap());
            whole(&body, body.len())
        }
        Answer::HangUp => Ok(()),
    }
}
