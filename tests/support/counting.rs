//! A global allocator that counts what each thread takes, so that one test does not see another's.
#![allow(dead_code, unreachable_pub)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator with a count in front.
pub struct Counting;

/// What the current thread has done to the heap since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Calls that took or resized memory.
    pub allocations: u64,
    /// Bytes taken and not given back by this thread.
    pub live_bytes: i64,
}

thread_local! {
    // `const` and without a destructor: reaching it never allocates.
    static HEAP: Cell<Heap> = const { Cell::new(Heap { allocations: 0, live_bytes: 0 }) };
}

/// The counts of this thread.
pub fn heap() -> Heap {
    HEAP.get()
}

/// How many allocations `work` makes on this thread.
pub fn allocations_in(work: impl FnOnce()) -> u64 {
    let before = heap().allocations;
    work();
    heap().allocations - before
}

fn count(allocations: u64, bytes: i64) {
    let heap = HEAP.get();
    HEAP.set(Heap { allocations: heap.allocations + allocations, live_bytes: heap.live_bytes + bytes });
}

// SAFETY: every call goes to `System` with its arguments unchanged; counting touches a thread local
// without destructor, which neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same for `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: `pointer` came from `System` with this layout, by way of the calls here.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: as for `dealloc`; the caller promises that `size` is not zero.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
