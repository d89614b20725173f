//! Where threads leave what is finished, so that one at a time writes it.
//!
//! A file system lets only one thread write to a file; another one that tries spins in
//! the kernel. Here it leaves its piece to the one that is writing and goes on.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::pieces::Piece;

/// So many pieces may wait for each thread that makes them.
const WAITING_PER_THREAD: usize = 2;

/// A finished piece, or the room for one.
#[derive(Default)]
pub(crate) struct Sealed {
    pub(crate) data: Vec<u8>,
    pub(crate) metadata: Vec<u8>,
}

/// Pieces on their way to the disk; `limit` bounds those that wait.
pub(crate) struct Outlet<F> {
    write: F,
    limit: usize,
    queue: Mutex<Queue>,
    /// Fewer wait than before, or nobody writes any more.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Piece, Sealed)>,
    /// Rooms that nobody needs now.
    spare: Vec<Sealed>,
    writing: bool,
}

impl<E, F: Fn(Piece, &Sealed) -> Result<(), E>> Outlet<F> {
    /// For so many threads; `write` is called by one of them at a time.
    pub(crate) fn new(threads: usize, write: F) -> Self {
        let limit = threads.saturating_mul(WAITING_PER_THREAD);
        Self { write, limit, queue: Mutex::default(), changed: Condvar::new() }
    }

    /// Room for a piece.
    pub(crate) fn room(&self) -> Sealed {
        self.lock().spare.pop().unwrap_or_default()
    }

    /// Takes a piece. It is written before the last call to this returns, or a call
    /// returns an error.
    ///
    /// # Errors
    /// Of the write of this piece or of one that waited.
    pub(crate) fn put(&self, piece: Piece, sealed: Sealed) -> Result<(), E> {
        let mut queue = self.lock();
        while queue.writing && queue.waiting.len() >= self.limit {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.waiting.push_back((piece, sealed));
        if queue.writing {
            return Ok(());
        }
        queue.writing = true;
        let mut result = Ok(());
        while result.is_ok()
            && let Some((piece, sealed)) = queue.waiting.pop_front()
        {
            drop(queue);
            result = (self.write)(piece, &sealed);
            queue = self.lock();
            queue.spare.push(sealed);
            self.changed.notify_one();
        }
        queue.writing = false;
        self.changed.notify_all();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn piece(first: u64) -> Piece {
        Piece { first, sectors: 8 }
    }

    /// Eight threads; one writes at a time, and when all have returned all is written.
    #[test]
    fn one_thread_at_a_time_writes_and_nothing_is_left() {
        let (writing, written) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let outlet = Outlet::new(8, |piece: Piece, sealed: &Sealed| {
            assert_eq!(writing.fetch_add(1, Ordering::SeqCst), 0, "two write");
            thread::yield_now();
            assert_eq!(sealed.data, piece.first.to_le_bytes());
            written.lock().unwrap().push(piece.first);
            writing.fetch_sub(1, Ordering::SeqCst);
            Ok::<(), ()>(())
        });
        thread::scope(|scope| {
            for thread in 0..8_u64 {
                let outlet = &outlet;
                scope.spawn(move || {
                    for number in 0..100 {
                        let mut room = outlet.room();
                        room.data.clear();
                        room.data.extend((thread * 100 + number).to_le_bytes());
                        outlet.put(piece(thread * 100 + number), room).unwrap();
                    }
                });
            }
        });
        let queue = outlet.lock();
        assert!(queue.waiting.is_empty() && !queue.writing);
        // One that is filled by each thread, those that wait, one that is written.
        assert!(queue.spare.len() <= 8 + 16 + 1, "{}", queue.spare.len());
        drop(queue);
        let mut written = written.into_inner().unwrap();
        written.sort_unstable();
        assert_eq!(written, (0..800).collect::<Vec<_>>());
    }

    /// Whoever wrote says so, what nobody wrote still waits, and no thread waits for ever.
    #[test]
    fn a_failure_is_returned_once_and_nobody_hangs() {
        let (written, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outlet = Outlet::new(1, |piece: Piece, _: &Sealed| {
            let bad = piece.first >= 300;
            (if bad { &refused } else { &written }).fetch_add(1, Ordering::SeqCst);
            if bad { Err(()) } else { Ok(()) }
        });
        let failed: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4u64)
                .map(|thread| {
                    let outlet = &outlet;
                    scope.spawn(move || {
                        let numbers = thread * 100..(thread + 1) * 100;
                        let put = numbers.map(|number| outlet.put(piece(number), outlet.room()));
                        put.filter(Result::is_err).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let [written, refused] = [&written, &refused].map(|count| count.load(Ordering::SeqCst));
        assert!(refused > 0);
        assert_eq!(failed, refused);
        assert_eq!(written + refused + outlet.lock().waiting.len(), 400);
    }
}
