//! What the library makes and the caller holds by a pointer.

use crate::failure::Failure;
use crate::pointer::check_pointer;

/// Gives the caller what was made. Nothing is made unless there is a place for the pointer.
///
/// # Safety
/// Unless it is null or not aligned, `place` points to a pointer that nothing else uses.
pub unsafe fn create<T>(
    argument: &'static str,
    place: *mut *mut T,
    make: impl FnOnce() -> Result<T, Failure>,
) -> Result<(), Failure> {
    check_pointer(argument, place.cast_const())?;
    let made = Box::new(make()?);
    // SAFETY: aligned, and the caller's promise.
    unsafe { place.write(Box::into_raw(made)) };
    Ok(())
}

/// What the caller holds; nothing if the pointer is null.
///
/// # Safety
/// `handle` is null or came from [`create`] and is not freed during `'a`.
pub unsafe fn optional<'a, T>(
    argument: &'static str,
    handle: *const T,
) -> Result<Option<&'a T>, Failure> {
    if handle.is_null() {
        return Ok(None);
    }
    check_pointer(argument, handle)?;
    // SAFETY: the caller's promise; nobody has a writable reference to what `create` made.
    Ok(Some(unsafe { &*handle }))
}

/// What the caller holds, which has to be there.
///
/// # Safety
/// As [`optional`].
pub unsafe fn required<'a, T>(argument: &'static str, handle: *const T) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { optional(argument, handle)? }.ok_or(Failure::Null { argument })
}

/// Takes back what was made; nothing if the pointer is null.
///
/// # Safety
/// As [`optional`], and nothing uses the handle any more.
pub unsafe fn take<T>(handle: *mut T) -> Option<Box<T>> {
    // SAFETY: it came from `Box::into_raw` in `create`, by the caller's promise, and comes here once.
    (!handle.is_null()).then(|| unsafe { Box::from_raw(handle) })
}
