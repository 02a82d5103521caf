//! The caller's memory: from pointers, extents and strides to slices and softdot's views.

use crate::failure::Failure;
use crate::pointer::check_pointer;
use crate::spans::Span;
use crate::views::{
    SOFTDOT_BF16, SOFTDOT_F16, SOFTDOT_F32, SOFTDOT_F64, SOFTDOT_I64, SOFTDOT_U8, Target, View,
};
use softdot_core::{Error, Tensor, TensorMut, TensorRef, ViewMut};
use std::ffi::c_void;

const FLOATS: &str = "SOFTDOT_F32, SOFTDOT_F16 or SOFTDOT_BF16";

/// Which element types an argument may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Floats,
    Bytes,
    F32,
    F64,
    Keys,
}

impl Kind {
    /// Size, which is the alignment too, of an element of the type that came.
    fn element_bytes(self, argument: &'static str, found: i32) -> Result<usize, Failure> {
        let expected = match (self, found) {
            (Kind::Floats | Kind::F32, SOFTDOT_F32) => return Ok(4),
            (Kind::Floats, SOFTDOT_F16 | SOFTDOT_BF16) => return Ok(2),
            (Kind::Bytes, SOFTDOT_U8) => return Ok(1),
            (Kind::F64, SOFTDOT_F64) | (Kind::Keys, SOFTDOT_I64) => return Ok(8),
            (Kind::Floats, _) => FLOATS,
            (Kind::F32, _) => "SOFTDOT_F32",
            (Kind::Bytes, _) => "SOFTDOT_U8",
            (Kind::F64, _) => "SOFTDOT_F64",
            (Kind::Keys, _) => "SOFTDOT_I64",
        };
        Err(Failure::Dtype { argument, expected, found })
    }
}

/// The memory of a view: aligned, there, and no larger than memory can be. Whether it fits the other
/// arguments is softdot's to check.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    argument: &'static str,
    data: *mut c_void,
    dtype: i32,
    /// From the first to the last.
    elements: usize,
    element_bytes: usize,
    shape: [usize; 4],
    strides: [isize; 4],
}

impl Memory {
    /// What is read; nothing if the pointer is null.
    ///
    /// # Safety
    /// Unless it is null or not aligned, `view` points to a view.
    pub unsafe fn of_view(
        argument: &'static str,
        view: *const View,
        kind: Kind,
    ) -> Result<Option<Self>, Failure> {
        if view.is_null() {
            return Ok(None);
        }
        check_pointer(argument, view)?;
        // SAFETY: aligned, and there by the caller's promise.
        let View { data, dtype, reserved, shape, strides } = unsafe { view.read() };
        let view = Target { data: data.cast_mut(), dtype, reserved, shape, strides };
        Memory::check(argument, &view, kind).map(Some)
    }

    /// What is written; nothing if the pointer is null.
    ///
    /// # Safety
    /// Unless it is null or not aligned, `target` points to a target.
    pub unsafe fn of_target(
        argument: &'static str,
        target: *const Target,
        kind: Kind,
    ) -> Result<Option<Self>, Failure> {
        if target.is_null() {
            return Ok(None);
        }
        check_pointer(argument, target)?;
        // SAFETY: aligned, and there by the caller's promise.
        Memory::check(argument, &unsafe { target.read() }, kind).map(Some)
    }

    fn check(argument: &'static str, view: &Target, kind: Kind) -> Result<Self, Failure> {
        let Target { data, dtype, reserved, shape, strides } = *view;
        if reserved != 0 {
            return Err(Failure::Reserved { argument });
        }
        let element_bytes = kind.element_bytes(argument, dtype)?;
        let (shape, strides) = (extents(argument, shape)?, check_strides(argument, strides)?);
        let elements = span(shape, strides)
            .filter(|elements| fits_in_memory(*elements, element_bytes))
            .ok_or(Error::Overflow { argument, shape })?;
        if elements > 0 {
            check_memory(argument, data, elements * element_bytes, element_bytes)?;
        }
        Ok(Memory { argument, data, dtype, elements, element_bytes, shape, strides })
    }

    /// Extents.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Where it is.
    pub fn span(&self) -> Span {
        Span::new(self.argument, self.data.cast_const(), self.elements * self.element_bytes)
    }

    /// A view of floats, of [`Kind::Floats`].
    ///
    /// # Safety
    /// The memory that the caller described is there for `'a`, and nothing writes to it.
    pub unsafe fn floats<'a>(&self) -> softdot_core::View<'a> {
        // SAFETY: the caller's promise; the types are of the size and alignment that were checked.
        unsafe {
            match self.dtype {
                SOFTDOT_F16 => self.tensor::<half::f16>().into(),
                SOFTDOT_BF16 => self.tensor::<half::bf16>().into(),
                _ => self.tensor::<f32>().into(),
            }
        }
    }

    /// A mask, of [`Kind::Bytes`].
    ///
    /// # Safety
    /// As [`Memory::floats`].
    pub unsafe fn bytes<'a>(&self) -> Tensor<&'a [u8]> {
        // SAFETY: the caller's promise; bytes have any alignment.
        unsafe { self.tensor::<u8>() }
    }

    /// A writable view of floats, of [`Kind::Floats`].
    ///
    /// # Safety
    /// The memory that the caller described is there for `'a`, and nothing else uses it.
    pub unsafe fn floats_mut<'a>(&self) -> ViewMut<'a> {
        // SAFETY: the caller's promise; the types are of the size and alignment that were checked.
        unsafe {
            match self.dtype {
                SOFTDOT_F16 => self.tensor_mut::<half::f16>().into(),
                SOFTDOT_BF16 => self.tensor_mut::<half::bf16>().into(),
                _ => self.tensor_mut::<f32>().into(),
            }
        }
    }

    unsafe fn tensor<'a, T>(&self) -> TensorRef<'a, T> {
        // SAFETY: `check` saw that the elements are aligned and no more than memory holds; that they
        // are there is the caller's promise.
        let data = unsafe { slice(self.data.cast::<T>(), self.elements) };
        Tensor::with_strides(data, self.shape, self.strides)
    }

    /// A writable view of the one type that its kind allows.
    ///
    /// # Safety
    /// As [`Memory::floats_mut`], and `T` is the type of the kind.
    pub unsafe fn tensor_mut<'a, T>(&self) -> TensorMut<'a, T> {
        let data: &'a mut [T] = match self.elements {
            0 => &mut [],
            // SAFETY: as in `tensor`; that nothing else uses the elements is the caller's promise.
            count => unsafe { std::slice::from_raw_parts_mut(self.data.cast(), count) },
        };
        Tensor::with_strides(data, self.shape, self.strides)
    }
}

/// A list; nothing if the pointer is null and so is the count.
///
/// # Safety
/// Unless it is null or not aligned, `data` points to `count` elements that are there for `'a` and that
/// nothing writes to.
pub unsafe fn list<'a, T>(
    argument: &'static str,
    data: *const T,
    count: usize,
) -> Result<Option<&'a [T]>, Failure> {
    if data.is_null() && count == 0 {
        return Ok(None);
    }
    if !fits_in_memory(count, size_of::<T>()) {
        return Err(Failure::TooLarge { argument, found: count });
    }
    check_memory(argument, data.cast(), count * size_of::<T>(), align_of::<T>())?;
    // SAFETY: aligned, no larger than memory, and there by the caller's promise.
    Ok(Some(unsafe { slice(data, count) }))
}

unsafe fn slice<'a, T>(data: *const T, count: usize) -> &'a [T] {
    match count {
        0 => &[],
        // SAFETY: the caller's promise is that of `from_raw_parts`.
        _ => unsafe { std::slice::from_raw_parts(data, count) },
    }
}

/// A number that counts something.
pub fn count(argument: &'static str, found: i64) -> Result<usize, Failure> {
    usize::try_from(found).map_err(|_| Failure::Negative { argument, found })
}

fn extents(argument: &'static str, shape: [i64; 4]) -> Result<[usize; 4], Failure> {
    let mut extents = [0; 4];
    for (axis, (extent, found)) in extents.iter_mut().zip(shape).enumerate() {
        *extent = usize::try_from(found).map_err(|_| Failure::NegativeExtent {
            argument,
            axis,
            found,
        })?;
    }
    Ok(extents)
}

fn check_strides(argument: &'static str, strides: [i64; 4]) -> Result<[isize; 4], Failure> {
    // Saturates only where `isize` is narrower; such a stride spans more than there is memory.
    let strides = strides.map(|stride| isize::try_from(stride).unwrap_or(isize::MAX));
    match strides.iter().position(|&stride| stride < 0) {
        Some(axis) => Err(Error::NegativeStride { argument, axis, stride: strides[axis] }.into()),
        None => Ok(strides),
    }
}

/// Elements from the first to the last.
fn span(shape: [usize; 4], strides: [isize; 4]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().zip(strides).try_fold(1usize, |span, (&extent, stride)| {
        span.checked_add((extent - 1).checked_mul(stride.unsigned_abs())?)
    })
}

pub fn fits_in_memory(elements: usize, element_bytes: usize) -> bool {
    elements.checked_mul(element_bytes).is_some_and(|bytes| isize::try_from(bytes).is_ok())
}

/// Refuses memory that is null, not aligned, or runs over the end of the address space.
pub fn check_memory(
    argument: &'static str,
    data: *const c_void,
    bytes: usize,
    alignment: usize,
) -> Result<(), Failure> {
    let address = data.addr();
    if data.is_null() {
        return Err(Failure::Null { argument });
    }
    if !address.is_multiple_of(alignment) {
        return Err(Failure::Misaligned { argument, alignment, address });
    }
    match address.checked_add(bytes) {
        Some(_) => Ok(()),
        None => Err(Failure::TooLarge { argument, found: bytes }),
    }
}
