//! Reports, one at a time: sessions ask a thread that has the source.
//!
//! A source that does not come back, because the host drops the request, keeps that
//! thread and nothing else: sessions wait until their deadlines, and the thread is left
//! behind when serving ends.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use protocol::report_data;

use super::control::Control;
use crate::bucket::{self, Bucket};
use crate::reports::{RawReport, ReportError};

/// Asks the source for a report over REPORT_DATA, at most until an instant.
pub type Ask =
    Box<dyn Fn(&[u8; report_data::LENGTH], Instant) -> Result<RawReport, ReportError> + Send>;

/// How long to wait for the next token.
const PAUSE: Duration = Duration::from_millis(20);

/// A session's question.
pub(super) struct Question {
    pub(super) data: [u8; report_data::LENGTH],
    pub(super) until: Instant,
    pub(super) session: Arc<Control>,
}

/// Starts the thread; it ends with the last sender. At most `room` questions wait.
pub(super) fn start(ask: Ask, room: usize) -> io::Result<SyncSender<Question>> {
    let (sender, questions) = sync_channel(room);
    thread::Builder::new()
        .name("release-reports".to_owned())
        .spawn(move || serve(ask, questions))?;
    Ok(sender)
}

fn serve(ask: Ask, questions: Receiver<Question>) {
    let mut bucket = Bucket::full(bucket::REPORTS, bucket::REPORT_EVERY, Instant::now());
    for Question { data, until, session } in questions {
        let is_over = || session.is_stopped() || Instant::now() >= until;
        while !is_over() && !bucket.take(Instant::now()) {
            thread::sleep(PAUSE);
        }
        if is_over() {
            continue;
        }
        session.answer(ask(&data, until).map_err(|error| error.to_string()));
    }
}
