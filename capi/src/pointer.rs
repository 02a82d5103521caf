//! Pointers that come from the caller.

use crate::failure::Failure;

/// Refuses null and what is not aligned for `T`.
pub fn check_pointer<T>(argument: &'static str, pointer: *const T) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::Null { argument });
    }
    if !pointer.is_aligned() {
        let (alignment, address) = (align_of::<T>(), pointer.addr());
        return Err(Failure::Misaligned { argument, alignment, address });
    }
    Ok(())
}
