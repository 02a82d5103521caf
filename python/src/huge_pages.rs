//! Huge pages for large results: with small ones, most of the time that writing new memory takes is the
//! kernel's.
#![allow(unsafe_code, reason = "a system call")]

/// Bytes from which on NumPy, too, asks for them.
pub const LARGE: usize = 1 << 22;

/// Asks for huge pages in memory that nobody has written to yet. Where the system has none, nothing happens.
pub fn request(memory: *mut u8, bytes: usize) {
    #[cfg(target_os = "linux")]
    {
        /// Of the smallest pages that Linux may have, a multiple: the system call wants whole pages.
        const ALIGNMENT: usize = 1 << 16;
        let skipped = memory.align_offset(ALIGNMENT);
        let whole = bytes.saturating_sub(skipped) / ALIGNMENT * ALIGNMENT;
        // SAFETY: this advice changes no memory's contents.
        unsafe { libc::madvise(memory.wrapping_add(skipped).cast(), whole, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, bytes);
}
