//! One loop over numbered pieces of work, shared by threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` for every index below `count`, on at most `threads` threads, each
/// of which makes one state for itself. Indices are handed out in ascending
/// order.
///
/// # Errors
/// The error of the lowest index that fails, however the threads run: once an
/// index has failed no higher one is started, and lower ones are finished.
pub fn for_each<S, E: Send>(
    threads: usize,
    count: u64,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, u64) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicU64::new(0);
    let end = AtomicU64::new(count);
    let failure: Mutex<Option<(u64, E)>> = Mutex::new(None);
    let worker = || {
        let mut state = state();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= end.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = work(&mut state, index) {
                end.fetch_min(index, Ordering::Relaxed);
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                if failure.as_ref().is_none_or(|(lowest, _)| index < *lowest) {
                    *failure = Some((index, error));
                }
                return;
            }
        }
    };
    let helpers = u64::try_from(threads).unwrap_or(u64::MAX).min(count).saturating_sub(1);
    thread::scope(|scope| {
        for _ in 0..helpers {
            // This thread does all of the work if there can be no others.
            if thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_done_once() {
        for threads in [1, 2, 7, 100] {
            let done: Vec<AtomicU64> = (0..50).map(|_| AtomicU64::new(0)).collect();
            for_each(
                threads,
                50,
                || (),
                |(), index| {
                    done[usize::try_from(index).unwrap()].fetch_add(1, Ordering::Relaxed);
                    Ok::<(), ()>(())
                },
            )
            .unwrap();
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{threads}");
        }
    }

    #[test]
    fn the_lowest_failure_wins_even_if_it_is_the_last_to_come() {
        for _ in 0..50 {
            let result = for_each(
                4,
                1000,
                || (),
                |(), index| {
                    match index {
                        // Fails only after a higher index has had every chance to.
                        20 => {
                            thread::sleep(std::time::Duration::from_micros(300));
                            Err(index)
                        }
                        21.. => Err(index),
                        _ => Ok(()),
                    }
                },
            );
            assert_eq!(result, Err(20));
        }
    }
}
