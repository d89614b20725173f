//! What an input costs: the memory that is held for it, and the processor's time. What
//! C libraries (zstd, liblzma) take by themselves is not in it; libFuzzer's own limit of
//! the whole process holds for that.
#![expect(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The system's allocator, counted for each thread by itself.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes held now, and the most since [`of`] has begun.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// What one call of a target took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// The most bytes that were held at a time, beyond those before.
    pub bytes: usize,
    /// The processor's time: other work on the machine is not in it.
    pub time: Duration,
}

/// Calls `action`, which starts no threads, and says what that took.
pub fn of(action: impl FnOnce()) -> Cost {
    let (before, _) = HELD.get();
    HELD.set((before, before));
    let start = processor_time();
    action();
    let time = processor_time().saturating_sub(start);
    Cost { bytes: HELD.get().1.saturating_sub(before), time }
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn count(freed: usize, taken: usize) {
    // A thread that ends frees its own variables last.
    let _ended = HELD.try_with(|held| {
        let (now, most) = held.get();
        // What another thread has taken may be freed here.
        let now = now.saturating_sub(freed).saturating_add(taken);
        held.set((now, most.max(now)));
    });
}

// SAFETY: everything is the system allocator's, called with what the caller has given;
// the counter is a `Cell` without a destructor and does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), 0);
        // SAFETY: as above; the pointer is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_is_held_counts() {
        let cost = of(|| {
            drop(std::hint::black_box(vec![1_u8; 3 << 20]));
            drop(std::hint::black_box(vec![1_u8; 1 << 20]));
        });
        assert_eq!(cost.bytes, 3 << 20);
        assert_eq!(of(|| ()).bytes, 0);
    }
}
