//! Options with their memory, to be set on softdot, on its definition and on the transcription.

use super::call::Call;
use super::strided::{index_of, nest};
use super::{Extents, Random};
use core::ops::Range;
use softdot::{Causal, Tensor, TensorRef, alibi_slopes};

/// A tensor with its own memory that is read at every index of a larger shape: axes of extent 1
/// are repeated.
#[derive(Clone, Debug)]
pub struct Broadcast<T> {
    data: Vec<T>,
    shape: [usize; 4],
    strides: [isize; 4],
}

impl<T: Copy> Broadcast<T> {
    /// `value` at every index of `shape`, which lies dense in memory.
    pub fn new(shape: [usize; 4], value: impl FnMut() -> T) -> Self {
        let elements = shape.iter().product();
        let data = std::iter::repeat_with(value).take(elements).collect();
        Broadcast { data, shape, strides: nest(shape, [0, 1, 2, 3], 1, 0) }
    }

    /// The same elements in another order in memory, `step` apart, with `gap` between them.
    fn laid_out(self, outer_to_inner: [usize; 4], step: usize, gap: T) -> Self {
        let strides = nest(self.shape, outer_to_inner, step, step);
        let mut data = vec![gap; 1 + place(strides, self.shape.map(|extent| extent.max(1) - 1))];
        for (element, value) in self.data.iter().enumerate() {
            data[place(strides, index_of(element, self.shape))] = *value;
        }
        Broadcast { data, strides, ..self }
    }

    pub fn view(&self) -> TensorRef<'_, T> {
        Tensor::with_strides(&self.data, self.shape, self.strides)
    }

    fn position(&self, index: [usize; 4]) -> usize {
        let index = std::array::from_fn(|i| if self.shape[i] == 1 { 0 } else { index[i] });
        place(self.strides, index)
    }

    pub fn at(&self, index: [usize; 4]) -> T {
        self.data[self.position(index)]
    }

    pub fn set(&mut self, index: [usize; 4], value: T) {
        let position = self.position(index);
        self.data[position] = value;
    }

    /// Some of its batch entries and rows, or the one that stands for all.
    pub fn part(&self, entries: Range<usize>, rows: Range<usize>) -> Self {
        let [batch, heads, own_rows, keys] = self.shape;
        let entries = if batch == 1 { 0..1 } else { entries };
        let rows = if own_rows == 1 { 0..1 } else { rows };
        let shape = [entries.len(), heads, rows.len(), keys];
        let indices = (0..shape.iter().product()).map(|element| index_of(element, shape));
        let mut values = indices.map(|[entry, head, row, key]| {
            self.at([entries.start + entry, head, rows.start + row, key])
        });
        Broadcast::new(shape, || values.next().expect("one for each index"))
    }

    /// What is read at every index of `shape`, row-major.
    pub fn dense(&self, shape: [usize; 4]) -> Vec<T> {
        (0..shape.iter().product()).map(|element| self.at(index_of(element, shape))).collect()
    }
}

fn place(strides: [isize; 4], index: [usize; 4]) -> usize {
    strides.iter().zip(index).map(|(stride, index)| stride.unsigned_abs() * index).sum()
}

/// Every option of [`Call`] that decides about the result.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub scale: Option<f32>,
    pub softcap: Option<f32>,
    pub bias: Option<Broadcast<f32>>,
    pub alibi_slopes: Option<Vec<f32>>,
    pub mask: Option<Broadcast<bool>>,
    pub causal: Option<Causal>,
    pub window: (Option<usize>, Option<usize>),
    pub key_lengths: Option<Vec<usize>>,
    pub sinks: Option<Vec<f32>>,
}

/// What [`Options::random`] can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Scale,
    Softcap,
    Bias,
    Alibi,
    Mask,
    Causal,
    Window,
    KeyLengths,
    Sinks,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Scale,
        Kind::Softcap,
        Kind::Bias,
        Kind::Alibi,
        Kind::Mask,
        Kind::Causal,
        Kind::Window,
        Kind::KeyLengths,
        Kind::Sinks,
    ];
}

impl Options {
    /// These options on top of others.
    pub fn set_on<'a>(&'a self, mut attention: Call<'a>) -> Call<'a> {
        if let Some(scale) = self.scale {
            attention = attention.scale(scale);
        }
        if let Some(softcap) = self.softcap {
            attention = attention.softcap(softcap);
        }
        if let Some(bias) = &self.bias {
            attention = attention.bias(bias.view());
        }
        if let Some(slopes) = &self.alibi_slopes {
            attention = attention.alibi_slopes(slopes);
        }
        if let Some(mask) = &self.mask {
            attention = attention.mask(mask.view());
        }
        if let Some(causal) = self.causal {
            attention = attention.causal(causal);
        }
        if let Some(lengths) = &self.key_lengths {
            attention = attention.key_lengths(lengths);
        }
        if let Some(sinks) = &self.sinks {
            attention = attention.sinks(sinks);
        }
        attention.window(self.window.0, self.window.1)
    }

    /// Whether nothing but `causal` says where rows stand: then some rows can be a call of their own.
    pub fn can_split_rows(&self) -> bool {
        let counts_from_position = self.window != (None, None) || self.alibi_slopes.is_some();
        self.causal.is_some() || !counts_from_position
    }

    /// The options of a call of one batch entry and some of its rows alone, as they are in a call of
    /// these extents; of all rows unless [`Options::can_split_rows`].
    pub fn of_entry(&self, extents: &Extents, entry: usize, rows: Range<usize>) -> Self {
        let length = self.key_lengths.as_ref().map_or(extents.keys, |lengths| lengths[entry]);
        let first_position = |causal| match causal {
            Causal::TopLeft => 0,
            Causal::Offset(offset) => offset,
            Causal::BottomRight => length as isize - extents.rows as isize,
        };
        let offset = |causal| Causal::Offset(first_position(causal) + rows.start as isize);
        let entries = entry..entry + 1;
        Options {
            bias: self.bias.as_ref().map(|bias| bias.part(entries.clone(), rows.clone())),
            mask: self.mask.as_ref().map(|mask| mask.part(entries.clone(), rows.clone())),
            causal: self.causal.map(offset),
            key_lengths: self.key_lengths.as_ref().map(|_| vec![length]),
            ..self.clone()
        }
    }

    /// Random values for some options.
    pub fn random(extents: &Extents, kinds: &[Kind], seed: u64) -> Options {
        let mut random = Random::new(seed);
        let mut options = Options::default();
        for kind in kinds {
            options.set_random(*kind, extents, &mut random);
        }
        options
    }

    /// A problem of a few heads, grouped or not, with one of these numbers of rows and of keys, and
    /// options of some kinds.
    pub fn random_case<const ROWS: usize, const KEYS: usize>(
        random: &mut Random,
        rows: [usize; ROWS],
        keys: [usize; KEYS],
        seed: u64,
    ) -> (Extents, Options) {
        let extents = Extents {
            batch: 1 + random.below(2),
            q_heads: 4,
            kv_heads: random.one_of([1, 2, 4]),
            rows: random.one_of(rows),
            keys: random.one_of(keys),
            head_dim: 1 + random.below(9),
        };
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|_| random.below(3) == 0).collect();
        (extents, Options::random(&extents, &kinds, seed))
    }

    fn set_random(&mut self, kind: Kind, extents: &Extents, random: &mut Random) {
        let Extents { batch, q_heads, rows, keys, .. } = *extents;
        match kind {
            Kind::Scale => self.scale = Some(random.one_of([-3.0, -0.25, 0.0, 0.5, 2.0, 17.0])),
            Kind::Softcap => self.softcap = Some(random.one_of([0.05, 0.7, 2.0, 30.0, 50.0])),
            Kind::Bias => {
                let often = random.one_of([0, 8, 2]);
                self.bias = Some(random_broadcast(extents, f32::NAN, random, |random| {
                    let excluded = often > 0 && random.below(often) == 0;
                    if excluded { f32::NEG_INFINITY } else { 4.0 * random.unit() }
                }));
            }
            Kind::Alibi => {
                self.alibi_slopes = Some(match random.below(2) {
                    0 => alibi_slopes(q_heads),
                    _ => (0..q_heads).map(|_| random.unit()).collect(),
                });
            }
            Kind::Mask => {
                let often = random.one_of([1, 2, 20, 1000]);
                self.mask = Some(random_broadcast(extents, true, random, |random| {
                    random.below(often) != 0
                }));
            }
            Kind::Causal => {
                let offset = random.below(keys + rows + 4) as isize - (rows + 2) as isize;
                self.causal = Some(random.one_of([
                    Causal::TopLeft,
                    Causal::BottomRight,
                    Causal::Offset(offset),
                ]));
            }
            Kind::Window => {
                let mut side = || match random.below(3) {
                    0 => None,
                    1 => Some(random.below(4)),
                    _ => Some(random.below(keys + 3)),
                };
                self.window = (side(), side());
            }
            Kind::KeyLengths => {
                self.key_lengths = Some((0..batch).map(|_| random.below(keys + 1)).collect());
            }
            Kind::Sinks => {
                let sink = |random: &mut Random| match random.below(6) {
                    0 => f32::NEG_INFINITY,
                    1 => 0.0,
                    _ => 9.0 * random.unit(),
                };
                self.sinks = Some((0..q_heads).map(|_| sink(random)).collect());
            }
        }
    }
}

/// Random elements for some shape that broadcasts to the result's, in some order in memory.
fn random_broadcast<T: Copy>(
    extents: &Extents,
    gap: T,
    random: &mut Random,
    mut value: impl FnMut(&mut Random) -> T,
) -> Broadcast<T> {
    let shape = extents.output_shape().map(|extent| if random.below(3) == 0 { 1 } else { extent });
    let order = random.one_of([[0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2], [3, 2, 1, 0]]);
    let step = 1 + random.below(2);
    Broadcast::new(shape, || value(random)).laid_out(order, step, gap)
}
