//! AVX2 and AVX-512.
#![allow(unsafe_code, reason = "intrinsics; every one is wrapped in a checked, safe function")]

#[cfg(feature = "half")]
use super::ext::Halves;
use super::ext::{Kernel, SimdExt};
use super::store_queue::{LineCopy, PREFETCH_LINES, StoreQueue};
use crate::layout::{TRANSPOSE_WORDS, TileShape};
use core::arch::{asm, x86_64::*};
use core::mem::offset_of;
use core::sync::atomic::{Ordering, compiler_fence};
use pulp::x86::{V3, V4};

/// Four words each of eight rows that are `row_stride` elements apart, `r` and `r + APART` in the halves
/// of a register. Assembly, because LLVM would otherwise spill a pointer for every row.
///
/// # Safety
/// Each row has to have 4 elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_pairs<const APART: usize>(rows: *const f32, row_stride: usize) -> [__m256; 4] {
    let (a, b, c, d): (__m256, __m256, __m256, __m256);
    // SAFETY: the caller's promise; the assembly reads four elements of each row.
    unsafe {
        asm!(
            "vmovups {a:x}, xmmword ptr [{row}]",
            "vmovups {b:x}, xmmword ptr [{row} + {stride}]",
            "vmovups {c:x}, xmmword ptr [{row} + 2*{stride}]",
            "vmovups {d:x}, xmmword ptr [{row} + {stride_3}]",
            "lea {row}, [{row} + {apart}*{stride}]",
            "vinsertf128 {a}, {a}, xmmword ptr [{row}], 1",
            "vinsertf128 {b}, {b}, xmmword ptr [{row} + {stride}], 1",
            "vinsertf128 {c}, {c}, xmmword ptr [{row} + 2*{stride}], 1",
            "vinsertf128 {d}, {d}, xmmword ptr [{row} + {stride_3}], 1",
            a = out(ymm_reg) a,
            b = out(ymm_reg) b,
            c = out(ymm_reg) c,
            d = out(ymm_reg) d,
            row = inout(reg) rows => _,
            stride = in(reg) row_stride * size_of::<f32>(),
            stride_3 = in(reg) 3 * row_stride * size_of::<f32>(),
            apart = const APART,
            options(readonly, nostack, preserves_flags),
        );
    }
    [a, b, c, d]
}

/// The lane block of rows that are `row_stride` elements apart.
///
/// # Safety
/// Each row has to have 4 elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_8(rows: *const f32, row_stride: usize) -> [__m256; TRANSPOSE_WORDS] {
    // SAFETY: the caller's promise.
    let [a, b, c, d] = unsafe { load_pairs::<4>(rows, row_stride) };
    transpose_4(a, b, c, d)
}

/// The 4×4 transpose of each half.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose_4(a: __m256, b: __m256, c: __m256, d: __m256) -> [__m256; TRANSPOSE_WORDS] {
    let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    [
        _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
        _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
    ]
}

/// As [`transpose_8`], of sixteen rows. A load of 512 bits, masked broadcasts included, costs two loads
/// of 256 on Zen 4: so two of these are joined.
///
/// # Safety
/// Each row has to have 4 elements.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_16(rows: *const f32, row_stride: usize) -> [__m512; TRANSPOSE_WORDS] {
    // SAFETY: the caller's promise.
    let (first, second) = unsafe {
        let second = rows.wrapping_add(8 * row_stride);
        (load_pairs::<4>(rows, row_stride), load_pairs::<4>(second, row_stride))
    };
    let join = |i: usize| {
        let lower = _mm512_castps_pd(_mm512_castps256_ps512(first[i]));
        _mm512_castpd_ps(_mm512_insertf64x4::<1>(lower, _mm256_castps_pd(second[i])))
    };
    let (a, b, c, d) = (join(0), join(1), join(2), join(3));
    let (ab_low, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let (cd_low, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    [
        _mm512_shuffle_ps::<0x44>(ab_low, cd_low),
        _mm512_shuffle_ps::<0xee>(ab_low, cd_low),
        _mm512_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm512_shuffle_ps::<0xee>(ab_high, cd_high),
    ]
}

/// The sum of integers where a bit is set, else 0. Assembly, because the compiler would
/// otherwise add and mask in two instructions.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_where(kept: __mmask16, a: __m512, b: __m512) -> __m512 {
    let sum;
    // SAFETY: the assembly touches its registers only.
    unsafe {
        asm!(
            "vpaddd {sum}{{{kept}}}{{z}}, {a}, {b}",
            sum = lateout(zmm_reg) sum,
            kept = in(kreg) kept,
            a = in(zmm_reg) a,
            b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// [`SimdExt::drain_step`] with registers of a kind. Assembly, so that LLVM sees one instruction and
/// does not spill accumulators around it.
macro_rules! drain_step {
    ($name:ident, $feature:literal, $class:ident, $register:ty, $pointer:literal, $bytes:literal) => {
        /// # Safety
        /// The promises made to [`StoreQueue::copy_lines`] for the lines in the queue have to hold.
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn $name(queue: &mut StoreQueue) {
            // SAFETY: it reads a line of a source and writes one of a target, both of which are still
            // to be copied, so by the caller's promise are there and unused by others; a prefetch of
            // any address is harmless.
            unsafe {
                let (first, second): ($register, $register);
                asm!(
                    // Advances once a copy is done: without a branch, which would be mispredicted for
                    // each row.
                    "mov {copy}, qword ptr [{all} + {head}]",
                    "lea {a}, [{copy} + {copy_bytes}]",
                    "and {a}, {places}",
                    "cmp qword ptr [{all} + {copy} + {copy_lines}], 0",
                    "cmove {copy}, {a}",
                    "mov {a}, qword ptr [{all} + {copy} + {copy_lines}]",
                    "sub {a}, 1",
                    "jb 4f",
                    "mov qword ptr [{all} + {head}], {copy}",
                    "mov qword ptr [{all} + {copy} + {copy_lines}], {a}",
                    "sub qword ptr [{all} + {lines}], 1",
                    "mov {a}, qword ptr [{all} + {copy} + {source}]",
                    "vbroadcastss {first}, dword ptr [{all} + {copy} + {factor}]",
                    concat!(".if ", $bytes, " == 32"),
                    concat!("vmulps {second}, {first}, ", $pointer, " ptr [{a} + 32]"),
                    ".endif",
                    concat!("vmulps {first}, {first}, ", $pointer, " ptr [{a}]"),
                    "add {a}, qword ptr [{all} + {copy} + {source_step}]",
                    "mov qword ptr [{all} + {copy} + {source}], {a}",
                    "mov {a}, qword ptr [{all} + {copy} + {target}]",
                    "add qword ptr [{all} + {copy} + {target}], 64",
                    "cmp qword ptr [{all} + {nontemporal}], 0",
                    "jne 3f",
                    concat!("vmovups ", $pointer, " ptr [{a}], {first}"),
                    concat!(".if ", $bytes, " == 32"),
                    concat!("vmovups ", $pointer, " ptr [{a} + 32], {second}"),
                    ".endif",
                    "prefetchw byte ptr [{a} + {ahead}]",
                    "jmp 4f",
                    "3:",
                    // The first line of the next page, so that its TLB miss is over by then.
                    "mov {copy}, {a}",
                    "or {copy}, 4095",
                    "prefetcht0 byte ptr [{copy} + 1]",
                    concat!("vmovntps ", $pointer, " ptr [{a}], {first}"),
                    concat!(".if ", $bytes, " == 32"),
                    concat!("vmovntps ", $pointer, " ptr [{a} + 32], {second}"),
                    ".endif",
                    "4:",
                    "mov {a}, qword ptr [{all} + {prefetch_lines}]",
                    "sub {a}, 1",
                    "jb 5f",
                    "mov qword ptr [{all} + {prefetch_lines}], {a}",
                    "mov {a}, qword ptr [{all} + {prefetch}]",
                    "prefetcht0 byte ptr [{a}]",
                    "add {a}, 64",
                    "mov qword ptr [{all} + {prefetch}], {a}",
                    "5:",
                    all = in(reg) queue,
                    a = out(reg) _,
                    copy = out(reg) _,
                    first = out($class) first,
                    second = out($class) second,
                    ahead = const PREFETCH_LINES * 64,
                    lines = const offset_of!(StoreQueue<'static>, lines),
                    head = const offset_of!(StoreQueue<'static>, head),
                    places = const StoreQueue::<'static>::PLACES,
                    copy_bytes = const size_of::<LineCopy>(),
                    copy_lines = const offset_of!(StoreQueue<'static>, copies) + offset_of!(LineCopy, lines),
                    source = const offset_of!(StoreQueue<'static>, copies) + offset_of!(LineCopy, source),
                    source_step =
                        const offset_of!(StoreQueue<'static>, copies) + offset_of!(LineCopy, source_step),
                    target = const offset_of!(StoreQueue<'static>, copies) + offset_of!(LineCopy, target),
                    factor = const offset_of!(StoreQueue<'static>, copies) + offset_of!(LineCopy, factor),
                    nontemporal = const offset_of!(StoreQueue<'static>, nontemporal),
                    prefetch = const offset_of!(StoreQueue<'static>, prefetch),
                    prefetch_lines = const offset_of!(StoreQueue<'static>, prefetch_lines),
                    options(nostack),
                );
                // Typed, so that the compiler names whole registers.
                _ = (first, second);
            }
        }
    };
}

drain_step!(drain_step_ymm, "avx2", ymm_reg, __m256, "ymmword", "32");
drain_step!(drain_step_zmm, "avx512f", zmm_reg, __m512, "zmmword", "64");

/// [`SimdExt::select_or_neg_inf`]. Assembly, because LLVM makes a masked store of it where scores are
/// updated in memory, which has a latency of some 20 cycles.
#[inline]
#[target_feature(enable = "avx2")]
fn select_or_neg_inf_8(kept: __m256, mut scores: __m256) -> __m256 {
    // SAFETY: the assembly touches its registers only.
    unsafe {
        asm!(
            "vblendvps {scores}, {excluded}, {scores}, {kept}",
            scores = inlateout(ymm_reg) scores,
            excluded = in(ymm_reg) _mm256_set1_ps(f32::NEG_INFINITY),
            kept = in(ymm_reg) kept,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    scores
}

/// [`SimdExt::pin_in_register`].
#[inline]
#[target_feature(enable = "avx2")]
fn pin_in_register_8(mut value: __m256) -> __m256 {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {} */", inout(ymm_reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// [`SimdExt::pin_in_register`].
#[inline]
#[target_feature(enable = "avx512f")]
fn pin_in_register_16(mut value: __m512) -> __m512 {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {} */", inout(zmm_reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The lane block of rows of f16 that are `row_stride` words apart, widened by the loads: unpacking
/// words afterwards would compete for the shuffle ports. Assembly, because pulp's AVX2 does not imply
/// F16C, and because LLVM would hoist loads and spill them.
///
/// # Safety
/// Each row has to have 4 words, and the CPU F16C.
#[cfg(feature = "half")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_f16_8(rows: *const f32, row_stride: usize) -> [[__m256; 2]; TRANSPOSE_WORDS] {
    let (a, b, c, d): (__m256, __m256, __m256, __m256);
    let (e, f, g, h): (__m256, __m256, __m256, __m256);
    // SAFETY: the caller's promise; the assembly reads four words of each row.
    unsafe {
        asm!(
            "vcvtph2ps {a}, xmmword ptr [{row}]",
            "vcvtph2ps {b}, xmmword ptr [{row} + {stride}]",
            "vcvtph2ps {c}, xmmword ptr [{row} + 2*{stride}]",
            "vcvtph2ps {d}, xmmword ptr [{row} + {stride_3}]",
            "lea {row}, [{row} + 4*{stride}]",
            "vcvtph2ps {e}, xmmword ptr [{row}]",
            "vcvtph2ps {f}, xmmword ptr [{row} + {stride}]",
            "vcvtph2ps {g}, xmmword ptr [{row} + 2*{stride}]",
            "vcvtph2ps {h}, xmmword ptr [{row} + {stride_3}]",
            // Four rows: dimensions 0 to 3 in the lower halves, 4 to 7 in the upper ones.
            "vunpcklps {i}, {a}, {b}",
            "vunpckhps {a}, {a}, {b}",
            "vunpcklps {b}, {c}, {d}",
            "vunpckhps {c}, {c}, {d}",
            "vunpcklpd {d}, {i}, {b}",
            "vunpckhpd {i}, {i}, {b}",
            "vunpcklpd {b}, {a}, {c}",
            "vunpckhpd {a}, {a}, {c}",
            // The other four.
            "vunpcklps {c}, {e}, {f}",
            "vunpckhps {e}, {e}, {f}",
            "vunpcklps {f}, {g}, {h}",
            "vunpckhps {g}, {g}, {h}",
            "vunpcklpd {h}, {c}, {f}",
            "vunpckhpd {c}, {c}, {f}",
            "vunpcklpd {f}, {e}, {g}",
            "vunpckhpd {e}, {e}, {g}",
            // Both.
            "vinsertf128 {g}, {d}, {h:x}, 1",
            "vperm2f128 {d}, {d}, {h}, 0x31",
            "vinsertf128 {h}, {i}, {c:x}, 1",
            "vperm2f128 {i}, {i}, {c}, 0x31",
            "vinsertf128 {c}, {b}, {f:x}, 1",
            "vperm2f128 {b}, {b}, {f}, 0x31",
            "vinsertf128 {f}, {a}, {e:x}, 1",
            "vperm2f128 {a}, {a}, {e}, 0x31",
            a = out(ymm_reg) h,
            b = out(ymm_reg) g,
            c = out(ymm_reg) c,
            d = out(ymm_reg) e,
            e = out(ymm_reg) _,
            f = out(ymm_reg) d,
            g = out(ymm_reg) a,
            h = out(ymm_reg) b,
            i = out(ymm_reg) f,
            row = inout(reg) rows => _,
            stride = in(reg) row_stride * size_of::<f32>(),
            stride_3 = in(reg) 3 * row_stride * size_of::<f32>(),
            options(readonly, nostack, preserves_flags),
        );
    }
    [[a, b], [c, d], [e, f], [g, h]]
}

/// Eight dimensions of sixteen rows of f16 that are `row_stride` words apart, not widened: one register
/// for each dimension.
///
/// # Safety
/// Each row has to have 4 words.
#[cfg(feature = "half")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transpose_halves_16(
    rows: *const f32,
    row_stride: usize,
) -> [__m256i; 2 * TRANSPOSE_WORDS] {
    // SAFETY: the caller's promise.
    let ([a, b, c, d], [e, f, g, h]) = unsafe {
        let fifth = rows.wrapping_add(4 * row_stride);
        (load_pairs::<8>(rows, row_stride), load_pairs::<8>(fifth, row_stride))
    };
    let by_halves = |a: __m256, b: __m256| {
        let (a, b) = (_mm256_castps_si256(a), _mm256_castps_si256(b));
        (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b))
    };
    let by_words = |a, b| (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let ((ab_0, ab_4), (cd_0, cd_4)) = (by_halves(a, b), by_halves(c, d));
    let ((ef_0, ef_4), (gh_0, gh_4)) = (by_halves(e, f), by_halves(g, h));
    let ((abcd_0, abcd_2), (abcd_4, abcd_6)) = (by_words(ab_0, cd_0), by_words(ab_4, cd_4));
    let ((efgh_0, efgh_2), (efgh_4, efgh_6)) = (by_words(ef_0, gh_0), by_words(ef_4, gh_4));
    [
        _mm256_unpacklo_epi64(abcd_0, efgh_0),
        _mm256_unpackhi_epi64(abcd_0, efgh_0),
        _mm256_unpacklo_epi64(abcd_2, efgh_2),
        _mm256_unpackhi_epi64(abcd_2, efgh_2),
        _mm256_unpacklo_epi64(abcd_4, efgh_4),
        _mm256_unpackhi_epi64(abcd_4, efgh_4),
        _mm256_unpacklo_epi64(abcd_6, efgh_6),
        _mm256_unpackhi_epi64(abcd_6, efgh_6),
    ]
}

/// As [`transpose_f16_8`], of sixteen rows: here transposing first and widening whole registers then is
/// cheaper.
///
/// # Safety
/// Each row has to have 4 words.
#[cfg(feature = "half")]
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_f16_16(rows: *const f32, row_stride: usize) -> [[__m512; 2]; TRANSPOSE_WORDS] {
    // SAFETY: the caller's promise.
    let [a, b, c, d, e, f, g, h] = unsafe { transpose_halves_16(rows, row_stride) };
    [
        [_mm512_cvtph_ps(a), _mm512_cvtph_ps(b)],
        [_mm512_cvtph_ps(c), _mm512_cvtph_ps(d)],
        [_mm512_cvtph_ps(e), _mm512_cvtph_ps(f)],
        [_mm512_cvtph_ps(g), _mm512_cvtph_ps(h)],
    ]
}

/// Sixteen f16, widened. Assembly, because pulp's AVX2 does not imply F16C, and because LLVM would
/// forward the halves from the registers that were just stored, and unpack those.
///
/// # Safety
/// The CPU has to have F16C.
#[cfg(feature = "half")]
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widen_halves_16(halves: &[u16; 16]) -> [__m256; 2] {
    let (first, second);
    // SAFETY: the caller's promise; the assembly reads the sixteen.
    unsafe {
        asm!(
            "vcvtph2ps {first}, xmmword ptr [{halves}]",
            "vcvtph2ps {second}, xmmword ptr [{halves} + 16]",
            first = out(ymm_reg) first,
            second = lateout(ymm_reg) second,
            halves = in(reg) halves,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    [first, second]
}

/// The methods that are the same for both.
macro_rules! common {
    () => {
        /// Without it LLVM keeps keys of two dimensions at a time, or hoists later loads, and spills
        /// accumulators. The fence is no instruction.
        #[inline(always)]
        fn scheduling_barrier(self) {
            compiler_fence(Ordering::SeqCst);
        }

        #[inline(always)]
        fn prefetch(self, address: *const f32) {
            // SAFETY: a prefetch reads nothing and cannot fault.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
        }

        #[inline(always)]
        fn prefetch_to_l2(self, address: *const f32) {
            // SAFETY: a prefetch reads nothing and cannot fault.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
        }

        #[inline(always)]
        fn fence(self) {
            // SAFETY: a fence has no operands, and SSE is part of x86-64.
            unsafe { _mm_sfence() }
        }
    };
}

impl SimdExt for V3 {
    const TILE: TileShape = TileShape::AVX2;

    /// Rows `r` and `r + 4` share a register, half each, so that the 4×4 transpose inside
    /// the halves leaves the keys in order.
    #[inline(always)]
    fn load_transposed(self, rows: &[f32], row_stride: usize) -> [Self::f32s; TRANSPOSE_WORDS] {
        assert!(rows.len() >= 7 * row_stride + TRANSPOSE_WORDS);
        // SAFETY: `self` proves AVX2; the assertion keeps the last row inside `rows`.
        unsafe { transpose_8(rows.as_ptr(), row_stride) }.map(pulp::cast)
    }

    /// NaN converts to `i32::MIN`, whose shift is 0.
    #[inline(always)]
    fn exp2_split(self, x: Self::f32s) -> (Self::f32s, Self::u32s) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        let x = pulp::cast(x);
        // SAFETY: `self` proves AVX2.
        unsafe {
            let fraction = _mm256_sub_ps(x, _mm256_round_ps::<NEAREST>(x));
            let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(x));
            (pulp::cast(fraction), pulp::cast(exponent))
        }
    }

    #[inline(always)]
    fn add_or_zero_below(
        self,
        values: Self::f32s,
        addend: Self::u32s,
        x: Self::f32s,
        bound: f32,
    ) -> Self::f32s {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(pulp::cast(x), _mm256_set1_ps(bound));
            let sum = _mm256_add_epi32(pulp::cast(values), pulp::cast(addend));
            pulp::cast(_mm256_andnot_ps(below, pulp::cast(sum)))
        }
    }

    #[inline(always)]
    fn select_or_neg_inf(self, kept: Self::m32s, scores: Self::f32s) -> Self::f32s {
        // SAFETY: `self` proves AVX2.
        pulp::cast(unsafe { select_or_neg_inf_8(pulp::cast(kept), pulp::cast(scores)) })
    }

    #[inline(always)]
    fn mask_from_bytes(self, lanes: &[u8]) -> Self::m32s {
        assert!(lanes.len() == 8);
        // SAFETY: `self` proves AVX2; there are eight bytes.
        unsafe {
            let lanes = _mm256_cvtepu8_epi32(_mm_loadu_si64(lanes.as_ptr().cast()));
            pulp::cast(_mm256_cmpgt_epi32(lanes, _mm256_setzero_si256()))
        }
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn load_transposed_f16(
        self,
        rows: &[f32],
        row_stride: usize,
    ) -> [[Self::f32s; 2]; TRANSPOSE_WORDS] {
        assert!(rows.len() >= 7 * row_stride + TRANSPOSE_WORDS);
        // SAFETY: `self` proves AVX2, and `Isa::is_available` asked for F16C before dispatch; the assertion keeps the last row inside `rows`.
        pulp::cast(unsafe { transpose_f16_8(rows.as_ptr(), row_stride) })
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn transpose_halves(self, rows: &[f32], row_stride: usize, halves: &mut Halves) {
        assert!(rows.len() >= 15 * row_stride + TRANSPOSE_WORDS);
        // SAFETY: `self` proves AVX2; the assertion keeps the last row inside `rows`.
        *halves = pulp::cast(unsafe { transpose_halves_16(rows.as_ptr(), row_stride) });
        self.scheduling_barrier();
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn widen_halves<const REGISTERS: usize>(self, halves: &[u16; 16]) -> [Self::f32s; REGISTERS] {
        // SAFETY: `self` proves AVX2, and `Isa::is_available` asked for F16C before dispatch.
        let registers = unsafe { widen_halves_16(halves) };
        core::array::from_fn(|i| pulp::cast(registers[i]))
    }

    #[inline(always)]
    fn store_nontemporal(self, output: &mut [f32], values: Self::f32s) {
        assert!(output.len() == 8 && output.as_ptr().addr().is_multiple_of(32));
        // SAFETY: length and alignment are asserted; `self` proves AVX.
        unsafe { _mm256_stream_ps(output.as_mut_ptr(), pulp::cast(values)) }
    }

    #[inline(always)]
    fn run_outlined<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(
            enable = "avx,avx2,bmi1,bmi2,fma,fxsr,lzcnt,popcnt,sse,sse2,sse3,sse4.1,sse4.2,ssse3"
        )]
        fn outlined<K: Kernel>(simd: V3, kernel: K) -> K::Output {
            kernel.run::<V3, 2>(simd)
        }
        // SAFETY: `self` proves these features.
        unsafe { outlined(self, kernel) }
    }

    #[inline(always)]
    fn drain_step(self, queue: &mut StoreQueue) {
        // SAFETY: `self` proves the instruction set; who enqueued lines promised the rest.
        unsafe { drain_step_ymm(queue) }
    }

    #[inline(always)]
    fn pin_in_register(self, value: Self::f32s) -> Self::f32s {
        // SAFETY: `self` proves the instruction set.
        pulp::cast(unsafe { pin_in_register_8(pulp::cast(value)) })
    }

    common!();
}

impl SimdExt for V4 {
    const TILE: TileShape = TileShape::AVX512;

    /// Rows `r`, `r + 4`, `r + 8` and `r + 12` share a register, a quarter each, so that the
    /// 4×4 transpose inside the quarters leaves the keys in order.
    #[inline(always)]
    fn load_transposed(self, rows: &[f32], row_stride: usize) -> [Self::f32s; TRANSPOSE_WORDS] {
        assert!(rows.len() >= 15 * row_stride + TRANSPOSE_WORDS);
        // SAFETY: `self` proves AVX-512; the assertion keeps the last row inside `rows`.
        unsafe { transpose_16(rows.as_ptr(), row_stride) }.map(pulp::cast)
    }

    /// NaN converts to `i32::MIN`, whose shift is 0.
    #[inline(always)]
    fn exp2_split(self, x: Self::f32s) -> (Self::f32s, Self::u32s) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        let x = pulp::cast(x);
        // SAFETY: `self` proves AVX-512. (`vreduceps`, the fraction in one instruction, is slower.)
        unsafe {
            let fraction = _mm512_sub_ps(x, _mm512_roundscale_ps::<NEAREST>(x));
            let exponent = _mm512_slli_epi32::<23>(_mm512_cvt_roundps_epi32::<NEAREST>(x));
            (pulp::cast(fraction), pulp::cast(exponent))
        }
    }

    #[inline(always)]
    fn add_or_zero_below(
        self,
        values: Self::f32s,
        addend: Self::u32s,
        x: Self::f32s,
        bound: f32,
    ) -> Self::f32s {
        // SAFETY: `self` proves AVX-512.
        unsafe {
            let kept = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(pulp::cast(x), _mm512_set1_ps(bound));
            pulp::cast(add_where(kept, pulp::cast(values), pulp::cast(addend)))
        }
    }

    #[inline(always)]
    fn mask_from_bytes(self, lanes: &[u8]) -> Self::m32s {
        assert!(lanes.len() == 16);
        // SAFETY: `self` proves AVX-512 with its byte instructions; there are sixteen bytes.
        unsafe {
            let lanes = _mm_loadu_si128(lanes.as_ptr().cast());
            pulp::b16(_mm_test_epi8_mask(lanes, lanes))
        }
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn load_transposed_f16(
        self,
        rows: &[f32],
        row_stride: usize,
    ) -> [[Self::f32s; 2]; TRANSPOSE_WORDS] {
        assert!(rows.len() >= 15 * row_stride + TRANSPOSE_WORDS);
        // SAFETY: `self` proves AVX-512; the assertion keeps the last row inside `rows`.
        pulp::cast(unsafe { transpose_f16_16(rows.as_ptr(), row_stride) })
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn widen_halves<const REGISTERS: usize>(self, halves: &[u16; 16]) -> [Self::f32s; REGISTERS] {
        // SAFETY: `self` proves AVX-512; the halves are as many as are read.
        let register = unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(halves.as_ptr().cast())) };
        [pulp::cast(register); REGISTERS]
    }

    #[inline(always)]
    fn store_nontemporal(self, output: &mut [f32], values: Self::f32s) {
        assert!(output.len() == 16 && output.as_ptr().addr().is_multiple_of(64));
        // SAFETY: length and alignment are asserted; `self` proves AVX-512.
        unsafe { _mm512_stream_ps(output.as_mut_ptr(), pulp::cast(values)) }
    }

    #[inline(always)]
    fn run_outlined<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(never)]
        #[target_feature(
            enable = "avx,avx2,bmi1,bmi2,fma,fxsr,lzcnt,popcnt,sse,sse2,sse3,sse4.1,sse4.2,ssse3,avx512f,avx512bw,avx512cd,avx512dq,avx512vl"
        )]
        fn outlined<K: Kernel>(simd: V4, kernel: K) -> K::Output {
            kernel.run::<V4, 1>(simd)
        }
        // SAFETY: `self` proves these features.
        unsafe { outlined(self, kernel) }
    }

    #[inline(always)]
    fn run_half_width<K: Kernel>(self, kernel: K) -> K::Output {
        (*self).run_outlined(kernel)
    }

    #[inline(always)]
    fn drain_step(self, queue: &mut StoreQueue) {
        // SAFETY: `self` proves the instruction set; who enqueued lines promised the rest.
        unsafe { drain_step_zmm(queue) }
    }

    #[inline(always)]
    fn pin_in_register(self, value: Self::f32s) -> Self::f32s {
        // SAFETY: `self` proves the instruction set.
        pulp::cast(unsafe { pin_in_register_16(pulp::cast(value)) })
    }

    common!();
}
