//! Arrays in hot loops.

/// `array::map`, always inlined: the standard library's is a call now and then, which spills every
/// accumulator of a tile.
#[inline(always)]
pub(crate) fn map<T: Copy, U: Copy, const N: usize>(
    items: [T; N],
    value: impl Fn(T) -> U,
) -> [U; N] {
    const { assert!(N > 0) };
    let mut values = [value(items[0]); N];
    for (place, &item) in values.iter_mut().zip(&items).skip(1) {
        *place = value(item);
    }
    values
}
