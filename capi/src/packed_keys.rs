//! Keys that are kept packed.

use crate::boundary::guarded;
use crate::failure::{Failure, Status};
use crate::handle;
use crate::isa;
use crate::memory::{Kind, Memory, count};
use crate::views::View;
use std::ffi::c_char;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

/// Keys in the order in which the kernels read them. Any number of calls may read them at a time.
pub struct PackedKeys(RwLock<softdot_core::PackedKeys>);

impl PackedKeys {
    /// The keys, while nobody appends. They are sound even if an append panicked: it counts last.
    pub fn read(&self) -> Result<RwLockReadGuard<'_, softdot_core::PackedKeys>, Failure> {
        match self.0.try_read() {
            Ok(keys) => Ok(keys),
            Err(TryLockError::Poisoned(keys)) => Ok(keys.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::Busy { argument: "packed_keys" }),
        }
    }

    /// The keys, while no call reads them.
    fn write(&self) -> Result<RwLockWriteGuard<'_, softdot_core::PackedKeys>, Failure> {
        match self.0.try_write() {
            Ok(keys) => Ok(keys),
            Err(TryLockError::Poisoned(keys)) => Ok(keys.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::Busy { argument: "packed_keys" }),
        }
    }
}

/// Keys without any yet, of extents that are counted.
fn empty(extents: [(&'static str, i64); 3], isa: i32) -> Result<PackedKeys, Failure> {
    let [batch, kv_heads, head_dim] = extents.map(|(argument, extent)| count(argument, extent));
    let keys = softdot_core::PackedKeys::new(batch?, kv_heads?, head_dim?);
    Ok(PackedKeys(RwLock::new(match isa::chosen(isa)? {
        Some(isa) => keys.isa(isa),
        None => keys,
    })))
}

/// Makes packed keys, none yet, and writes them to packed_keys. isa is what packs them, the same bits
/// on each: SOFTDOT_ISA_DETECTED and so on.
///
/// # Safety
/// `packed_keys` points to a pointer, `message` to message_size bytes unless it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_packed_keys_create(
    batch: i64,
    kv_heads: i64,
    head_dim: i64,
    isa: i32,
    packed_keys: *mut *mut PackedKeys,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    let extents = [("batch", batch), ("kv_heads", kv_heads), ("head_dim", head_dim)];
    // SAFETY: the caller's promise.
    unsafe {
        guarded(message, message_size, || {
            handle::create("packed_keys", packed_keys, || empty(extents, isa))
        })
    }
}

/// Appends keys [batch, kv_heads, new keys, head_dim] to every head. If it fails, nothing has changed.
///
/// # Safety
/// `packed_keys` came from softdot_packed_keys_create, `key` points to a view whose memory is there,
/// `message` to message_size bytes unless it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_packed_keys_append(
    packed_keys: *const PackedKeys,
    key: *const View,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    let append = || {
        // SAFETY: the caller's promise.
        let (keys, new) = unsafe {
            let keys = handle::required("packed_keys", packed_keys)?;
            let new = Memory::of_view("key", key, Kind::Floats)?;
            (keys, new.ok_or(Failure::Null { argument: "key" })?)
        };
        // SAFETY: the caller's promise.
        keys.write()?.append(unsafe { new.floats() })?;
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(message, message_size, append) }
}

/// Makes room for so many more keys of every head, which are then appended without allocating.
///
/// # Safety
/// `packed_keys` came from softdot_packed_keys_create, `message` points to message_size bytes unless it
/// is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_packed_keys_reserve(
    packed_keys: *const PackedKeys,
    additional: i64,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    let reserve = || {
        // SAFETY: the caller's promise.
        let keys = unsafe { handle::required("packed_keys", packed_keys)? };
        keys.write()?.reserve(count("additional", additional)?)?;
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(message, message_size, reserve) }
}

/// Keeps the first keys of every head, so many; more than there are changes nothing.
///
/// # Safety
/// As softdot_packed_keys_reserve.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_packed_keys_truncate(
    packed_keys: *const PackedKeys,
    length: i64,
    message: *mut c_char,
    message_size: usize,
) -> Status {
    let truncate = || {
        // SAFETY: the caller's promise.
        let keys = unsafe { handle::required("packed_keys", packed_keys)? };
        keys.write()?.truncate(count("length", length)?);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { guarded(message, message_size, truncate) }
}

/// Keys of each head; -1 for null, and while another thread appends.
///
/// # Safety
/// `packed_keys` is null or came from softdot_packed_keys_create and is not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_packed_keys_length(packed_keys: *const PackedKeys) -> i64 {
    // SAFETY: the caller's promise.
    let keys = unsafe { handle::required("packed_keys", packed_keys) };
    let length = keys.and_then(|keys| Ok(keys.read()?.len()));
    length.ok().and_then(|length| i64::try_from(length).ok()).unwrap_or(-1)
}

/// Frees packed keys; null does nothing.
///
/// # Safety
/// `packed_keys` is null or came from softdot_packed_keys_create, and nothing uses them any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn softdot_packed_keys_free(packed_keys: *mut PackedKeys) {
    // SAFETY: the caller's promise.
    drop(unsafe { handle::take(packed_keys) });
}
