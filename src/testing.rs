//! What the project's own tests reach into; not part of the interface.

pub use crate::isa::EmulatedLanes;
use crate::isa::Isa;
use crate::kernel;
use crate::simd::{Kernel, SimdExt};
use core::marker::PhantomData;

/// The kernels' `exp2`, in place, on a multiple of 16 arguments.
pub fn exp2(isa: Isa, arguments: &mut [f32]) {
    struct Exp2;
    impl Function for Exp2 {
        #[inline(always)]
        fn of<S: SimdExt>(simd: S, x: S::f32s) -> S::f32s {
            kernel::exp2(simd, x)
        }
    }
    apply::<Exp2>(isa, arguments);
}

/// The kernels' `tanh`, in place, on a multiple of 16 arguments.
pub fn tanh(isa: Isa, arguments: &mut [f32]) {
    struct Tanh;
    impl Function for Tanh {
        #[inline(always)]
        fn of<S: SimdExt>(simd: S, x: S::f32s) -> S::f32s {
            kernel::tanh(simd, x)
        }
    }
    apply::<Tanh>(isa, arguments);
}

/// A function of the kernels, of every lane by itself.
trait Function {
    fn of<S: SimdExt>(simd: S, x: S::f32s) -> S::f32s;
}

fn apply<F: Function>(isa: Isa, arguments: &mut [f32]) {
    struct InPlace<'a, F>(&'a mut [f32], PhantomData<F>);
    impl<F: Function> Kernel for InPlace<'_, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
            for x in S::as_mut_simd_f32s(self.0).0 {
                *x = F::of(simd, *x);
            }
        }
    }
    assert!(isa.is_available() && arguments.len().is_multiple_of(16));
    isa.run(InPlace(arguments, PhantomData::<F>));
}
