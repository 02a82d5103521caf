//! softdot behind a C function, in a program with neither std nor an allocator of its own.
#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};
use softdot::{Attention, Isa, Outputs, TensorMut, TensorRef, Workspace};

const HEAP: usize = 1 << 20;

/// Hands out a fixed piece of memory from front to back and takes nothing back.
struct Bump {
    memory: UnsafeCell<[u8; HEAP]>,
    used: AtomicUsize,
}

// SAFETY: `used` gives every allocation a part of `memory` of its own.
unsafe impl Sync for Bump {}

// SAFETY: parts are inside `memory`, aligned, and never handed out twice.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(reserve) = layout.size().checked_add(layout.align()) else { return null_mut() };
        let start = self.used.fetch_add(reserve, Ordering::Relaxed);
        if start.checked_add(reserve).is_none_or(|end| end > HEAP) {
            return null_mut();
        }
        let memory = self.memory.get().cast::<u8>().wrapping_add(start);
        memory.wrapping_add(memory.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { memory: UnsafeCell::new([0; HEAP]), used: AtomicUsize::new(0) };

unsafe extern "C" {
    safe fn abort() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    abort()
}

/// # Safety
/// `memory` points to `length` initialised floats that nothing else uses, or `length` is 0.
unsafe fn slice<'a>(memory: *mut f32, length: usize) -> &'a mut [f32] {
    if length == 0 {
        return &mut [];
    }
    // SAFETY: as above.
    unsafe { core::slice::from_raw_parts_mut(memory, length) }
}

/// One head through [`softdot::attention_weights`]; 0 if that worked.
///
/// # Safety
/// Three pointers to as many floats as the extents say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weights(
    query: *mut f32,
    key: *mut f32,
    output: *mut f32,
    rows: usize,
    keys: usize,
    head_dim: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let (query, key, output) = unsafe {
        (slice(query, rows * head_dim), slice(key, keys * head_dim), slice(output, rows * keys))
    };
    match softdot::attention_weights(query, key, head_dim) {
        Ok(weights) => {
            output.copy_from_slice(&weights);
            0
        }
        Err(_) => 1,
    }
}

/// The same through [`Attention::run`], on the instruction set that detection gives.
///
/// # Safety
/// As [`weights`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weights_into(
    query: *mut f32,
    key: *mut f32,
    output: *mut f32,
    rows: usize,
    keys: usize,
    head_dim: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let (query, key, output) = unsafe {
        (slice(query, rows * head_dim), slice(key, keys * head_dim), slice(output, rows * keys))
    };
    let Ok(detected) = Isa::detect() else { return 1 };
    let result = Attention::new().isa(detected.isa).run(
        TensorRef::new(query, [rows, head_dim]),
        TensorRef::new(key, [keys, head_dim]),
        Outputs::new().weights(TensorMut::new(output, [rows, keys])),
        &mut Workspace::new(),
    );
    result.is_err().into()
}
