//! Keys kept in panels from call to call: a key cache that attention reads at the rate of memory.

use crate::dispatch;
use crate::element::Elements;
use crate::error::Error;
use crate::isa::Isa;
use crate::kernel::{PadBuffer, pack_keys, pack_panel};
use crate::layout::PANEL;
use crate::rows::{HeadRows, KeyPanels};
use crate::simd::{Kernel, SimdExt};
use crate::tensor::{View, element_count, expect_extent};
use alloc::vec::Vec;

/// Keys in the order in which the kernels read them, `[batch, kv_heads, keys, head_dim]`.
///
/// Usable wherever a view of keys is, with the same bits. Packing is paid once per key instead of
/// once per call; a decoder appends the keys of each new token.
///
/// ```
/// use softdot::{Attention, PackedKeys, TensorRef};
///
/// let key = [0.5f32; 2 * 3 * 8];
/// let key = TensorRef::new(&key[..], [2, 3, 8]);
/// let query = [1.0f32; 4 * 8];
/// let query = TensorRef::new(&query[..], [4, 1, 8]);
///
/// let mut cache = PackedKeys::new(1, 2, 8);
/// cache.append(key)?;
/// cache.append(key)?;
/// assert_eq!(cache.shape(), [1, 2, 6, 8]);
/// cache.truncate(3);
/// let attention = Attention::new();
/// assert_eq!(attention.weights(query, &cache)?, attention.weights(query, key)?);
/// # Ok::<(), softdot::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PackedKeys {
    /// Head by head, each `capacity` keys in panels.
    data: Vec<f32>,
    batch: usize,
    kv_heads: usize,
    head_dim: usize,
    keys: usize,
    /// Keys that each head has room for: whole panels.
    capacity: usize,
    /// The instruction set that packs; detected if there is none.
    isa: Option<Isa>,
}

impl PackedKeys {
    /// No keys yet.
    pub fn new(batch: usize, kv_heads: usize, head_dim: usize) -> Self {
        PackedKeys { data: Vec::new(), batch, kv_heads, head_dim, keys: 0, capacity: 0, isa: None }
    }

    /// The keys of a view `[batch, kv_heads, keys, head_dim]`.
    ///
    /// # Errors
    /// As [`PackedKeys::append`].
    pub fn from_view<'a>(key: impl Into<View<'a>>) -> Result<Self, Error> {
        let key = key.into();
        let [batch, kv_heads, _, head_dim] = key.shape();
        let mut packed = Self::new(batch, kv_heads, head_dim);
        packed.append(key)?;
        Ok(packed)
    }

    /// Forces the instruction set that packs keys. The panels have the same bits on each.
    #[must_use]
    pub fn isa(mut self, isa: Isa) -> Self {
        self.isa = Some(isa);
        self
    }

    /// `[batch, kv_heads, keys, head_dim]`.
    pub fn shape(&self) -> [usize; 4] {
        [self.batch, self.kv_heads, self.keys, self.head_dim]
    }

    /// Keys per head.
    pub fn len(&self) -> usize {
        self.keys
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// Keys per head that fit without moving.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `additional` more keys per head.
    ///
    /// # Errors
    /// [`Error::Overflow`] or [`Error::Allocation`]; then nothing has changed.
    pub fn reserve(&mut self, additional: usize) -> Result<(), Error> {
        let wanted = self.keys.saturating_add(additional);
        if wanted <= self.capacity {
            return Ok(());
        }
        // At least twice as much: however keys are appended, each moves once on average.
        let capacity = wanted.max(self.capacity.saturating_mul(2));
        let capacity = capacity.checked_next_multiple_of(PANEL).unwrap_or(usize::MAX);
        *self = self.copied(self.keys, capacity)?;
        Ok(())
    }

    /// The first `keys` keys of every head, all if there are fewer, in memory of their own that has
    /// room for `additional` more. Unlike `clone`, it takes memory for these alone, and can fail.
    ///
    /// # Errors
    /// As [`PackedKeys::reserve`].
    pub fn prefix(&self, keys: usize, additional: usize) -> Result<Self, Error> {
        let keys = keys.min(self.keys);
        let capacity = keys.saturating_add(additional).checked_next_multiple_of(PANEL);
        self.copied(keys, capacity.unwrap_or(usize::MAX))
    }

    /// The first `keys` keys of every head, with a capacity that has room for them.
    fn copied(&self, keys: usize, capacity: usize) -> Result<Self, Error> {
        let shape = [self.batch, self.kv_heads, capacity, self.head_dim];
        let elements = element_count("key", shape)?;
        let mut data = Vec::new();
        data.try_reserve_exact(elements)
            .map_err(|_| Error::Allocation { argument: "packed keys", elements })?;
        let (old, new) = (self.head_elements(), self.per_head(elements));
        if old > 0 {
            let kept = keys.next_multiple_of(PANEL) * self.head_dim;
            for head in self.data.chunks_exact(old) {
                data.extend_from_slice(&head[..kept]);
                data.resize(data.len() + new - kept, 0.0);
            }
        }
        data.resize(elements, 0.0);
        Ok(PackedKeys { data, keys, capacity, ..*self })
    }

    /// Appends keys `[batch, kv_heads, new keys, head_dim]` to every head; those that are there
    /// already stay where they are unless the capacity grows.
    ///
    /// # Errors
    /// [`Error::Extent`] if batch, heads or head_dim differ, errors of the view itself,
    /// [`Error::OutOfRange`] if the keys cannot be counted, [`Error::IsaUnavailable`], and those of
    /// [`PackedKeys::reserve`]; then nothing has changed.
    pub fn append<'a>(&mut self, key: impl Into<View<'a>>) -> Result<(), Error> {
        let key = key.into();
        let strides = key.layout.check("key", key.data.len())?;
        let [batch, kv_heads, new_keys, head_dim] = key.shape();
        let from = "as the packed keys";
        expect_extent("key", "batch entries", self.batch, from, batch)?;
        expect_extent("key", "heads", self.kv_heads, from, kv_heads)?;
        expect_extent("key", "columns (head_dim)", self.head_dim, from, head_dim)?;
        let isa = dispatch::choose(self.isa)?;
        // Heads without elements take any number of keys, which still has to be a number.
        let limit = usize::MAX - self.keys;
        if new_keys > limit {
            let (argument, expected) = ("key", "new keys up to");
            return Err(Error::OutOfRange { argument, expected, limit, found: new_keys });
        }
        self.reserve(new_keys)?;
        let head_elements = self.head_elements();
        if head_elements > 0 {
            for (head, packed) in self.data.chunks_exact_mut(head_elements).enumerate() {
                let (batch, kv_head) = (head / self.kv_heads, head % self.kv_heads);
                let head = HeadRows::new(key.data, strides, batch, kv_head, new_keys);
                isa.run(AppendKeys { head, first: self.keys, packed, head_dim });
            }
        }
        self.keys += new_keys;
        Ok(())
    }

    /// Keeps the first `keys` keys of every head; more than there are changes nothing.
    pub fn truncate(&mut self, keys: usize) {
        self.keys = self.keys.min(keys);
    }

    /// Writes the keys as dense rows `[batch, kv_heads, keys, head_dim]`, as they came in but in f32.
    ///
    /// # Errors
    /// [`Error::Length`] unless there is one element for each; then nothing has been written.
    pub fn unpack(&self, rows: &mut [f32]) -> Result<(), Error> {
        let elements = element_count("packed keys", self.shape())?;
        if rows.len() != elements {
            let (argument, expected) = ("rows", "one for each element of the keys, here");
            return Err(Error::Length { argument, expected, value: elements, found: rows.len() });
        }
        if elements == 0 {
            return Ok(());
        }
        let packed = self.data.chunks_exact(self.head_elements());
        for (head, packed) in rows.chunks_exact_mut(self.keys * self.head_dim).zip(packed) {
            for (key, row) in head.chunks_exact_mut(self.head_dim).enumerate() {
                let panel = &packed[key / PANEL * PANEL * self.head_dim..];
                for (dim, element) in row.iter_mut().enumerate() {
                    *element = panel[dim * PANEL + key % PANEL];
                }
            }
        }
        Ok(())
    }

    /// Elements that each head has room for.
    fn head_elements(&self) -> usize {
        self.per_head(self.data.len())
    }

    /// Each head's share of the elements of all; 0 without heads.
    fn per_head(&self, elements: usize) -> usize {
        elements.checked_div(self.batch.saturating_mul(self.kv_heads)).unwrap_or(0)
    }

    /// The panels of all heads.
    pub(crate) fn panels(&self) -> KeyPanels<'_> {
        let head_elements = self.head_elements();
        let head_stride = head_elements;
        KeyPanels { data: &self.data, head_elements, head_stride, shape: self.shape() }
    }
}

/// Writes the keys of one head behind the `first` that are there.
struct AppendKeys<'a> {
    head: HeadRows<Elements<'a>>,
    first: usize,
    packed: &'a mut [f32],
    head_dim: usize,
}

impl Kernel for AppendKeys<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: SimdExt, const REGISTERS: usize>(self, simd: S) {
        let AppendKeys { head, first, packed, head_dim } = self;
        let last = first + head.rows;
        let mut key = first;
        while key < last {
            let panel = &mut packed[key / PANEL * PANEL * head_dim..][..PANEL * head_dim];
            let (lane, new) = (key % PANEL, key - first);
            let count = (PANEL - lane).min(last - key);
            if count == PANEL {
                pack_panel(simd, &head, new, &mut PadBuffer::<PANEL>::new(), panel);
            } else {
                pack_keys(&head, new, lane..lane + count, panel);
            }
            key += count;
        }
    }
}
