//! Everything that may not change the output and the log-sum-exp, all of it at once: each call has an
//! instruction set, a number of threads, a batch or an entry of it, some rows or one, layouts, element
//! types, packed keys or not, and other outputs beside, or none, at random. All give the bits of one
//! serial scalar call on dense memory.

mod common;

use common::elements::Type;
use common::options::Options;
use common::strided::Layout;
use common::{Extents, Problem, Random, assert_same_bits, isas, pool, random, scaled_down, serial};
use core::ops::Range;
use rayon::ThreadPool;
use softdot::{Isa, Keys, Outputs, PackedKeys, TensorMut, TensorRef, Threads, Workspace};

/// Weights of `top_k`.
const K: usize = 3;

/// A problem with its values and options, and what it gives.
struct Case {
    problem: Problem,
    value: Vec<f32>,
    v_dim: usize,
    options: Options,
    types: [Type; 3],
    output: Vec<f32>,
    lse: Vec<f32>,
}

impl Case {
    fn new(random_numbers: &mut Random, seed: u64) -> Self {
        let (extents, options) = match seed % 6 {
            0 => Options::random_case(random_numbers, [1, 2, 3], [10_000, 40_000], seed),
            1 => Options::random_case(random_numbers, [1, 7, 20], [2100, 5000], seed),
            _ => {
                Options::random_case(random_numbers, [1, 2, 9, 30], [1, 6, 17, 40, 130, 1025], seed)
            }
        };
        let v_dim = random_numbers.one_of([1, 8, 16, 19, 48]);
        let types = [(); 3].map(|()| Type::ALL[random_numbers.below(Type::ALL.len())]);
        let mut problem = Problem::random(extents, seed);
        let mut value = random(value_shape(&extents, v_dim).iter().product(), seed ^ 0x5eed);
        for (data, of_type) in
            [&mut problem.query, &mut problem.key, &mut value].into_iter().zip(types)
        {
            data.iter_mut().for_each(|element| *element = of_type.round(*element));
        }
        let mut case = Case { problem, value, v_dim, options, types, output: vec![], lse: vec![] };
        case.compute_expected();
        case
    }

    fn compute_expected(&mut self) {
        let extents = self.problem.extents;
        let (query, key) = (self.problem.query_view(), self.problem.key_view());
        let value = TensorRef::new(&self.value, value_shape(&extents, self.v_dim));
        let mut outputs = Memory::new(extents, self.v_dim, false);
        self.options
            .set_on(serial(Isa::Scalar))
            .into_attention()
            .run(query, (key, value), outputs.outputs(), &mut Workspace::new())
            .expect("a valid problem");
        (self.output, self.lse) = (outputs.output, outputs.lse);
    }

    /// What the rows of some batch entries have of a result with so many columns.
    fn rows_of(&self, result: &[f32], entries: Range<usize>, rows: &Range<usize>) -> Vec<f32> {
        let Extents { batch, q_heads, rows: all_rows, .. } = self.problem.extents;
        let heads = result.chunks((result.len() / (batch * q_heads)).max(1));
        let columns = result.len() / (batch * q_heads * all_rows);
        heads
            .skip(entries.start * q_heads)
            .take(entries.len() * q_heads)
            .flat_map(|head| head[rows.start * columns..rows.end * columns].to_vec())
            .collect()
    }
}

fn value_shape(extents: &Extents, v_dim: usize) -> [usize; 4] {
    [extents.batch, extents.kv_heads, extents.keys, v_dim]
}

/// How one call is made.
#[derive(Clone, Copy, Debug)]
struct Way {
    isa: Isa,
    threads: usize,
    /// Of query, keys and values; rows of `chunk` at most, or the whole batch at once.
    layouts: [Layout; 3],
    chunk: Option<usize>,
    packed: bool,
    with_others: bool,
}

impl Way {
    fn random(random: &mut Random, case: &Case) -> Self {
        // Layouts that repeat elements have other inputs.
        let layouts = &Layout::ALL[..6];
        assert!(!layouts.contains(&Layout::SharedHeads) && !layouts.contains(&Layout::SharedRows));
        let isas = isas();
        let rows = case.problem.extents.rows;
        let some = 1 + random.below(rows);
        let chunk = random.one_of([None, Some(1), Some(some), Some(rows)]);
        Way {
            isa: isas[random.below(isas.len())],
            threads: random.one_of([1, 2, 7]),
            layouts: [(); 3].map(|()| layouts[random.below(layouts.len())]),
            chunk: chunk.map(|chunk| if case.options.can_split_rows() { chunk } else { rows }),
            packed: random.below(2) == 0,
            with_others: random.below(2) == 0,
        }
    }

    fn check(&self, case: &Case, pool: &ThreadPool, what: &str) {
        let Extents { batch, rows, .. } = case.problem.extents;
        let Some(chunk) = self.chunk else {
            return self.check_part(case, pool, (0..batch, 0..rows), &case.options, what);
        };
        for entry in 0..batch {
            for start in (0..rows).step_by(chunk) {
                let some = start..rows.min(start + chunk);
                let options = case.options.of_entry(&case.problem.extents, entry, some.clone());
                self.check_part(case, pool, (entry..entry + 1, some), &options, what);
            }
        }
    }

    /// Some rows of some entries, in a call of their own.
    fn check_part(
        &self,
        case: &Case,
        pool: &ThreadPool,
        (entries, rows): (Range<usize>, Range<usize>),
        options: &Options,
        what: &str,
    ) {
        let Case { problem, v_dim, .. } = case;
        let part = Extents { batch: entries.len(), rows: rows.len(), ..problem.extents };
        let [query_layout, key_layout, value_layout] = self.layouts;
        let [query_type, key_type, value_type] = case.types;
        let mut elements = case.rows_of(&problem.query, entries.clone(), &rows).into_iter();
        let query = query_layout.query(part.query_shape()).filled(|_| next(&mut elements));
        let mut elements = of_entries(&problem.key, problem.extents.batch, &entries);
        let key = key_layout.key(part.key_shape()).filled(|_| next(&mut elements));
        let mut elements = of_entries(&case.value, problem.extents.batch, &entries);
        let value = value_layout.key(value_shape(&part, *v_dim)).filled(|_| next(&mut elements));
        let (query, key) = (query_type.tensor(&query), key_type.tensor(&key));
        let value = value_type.tensor(&value);
        let packed = self.packed.then(|| PackedKeys::from_view(key.view()).expect("valid keys"));
        let keys = packed.as_ref().map_or(Keys::from(key.view()), Keys::from);
        let mut memory = Memory::new(part, *v_dim, self.with_others);
        let attention = options.set_on(serial(self.isa)).into_attention().threads(Threads::Pool);
        pool.install(|| {
            let outputs = memory.outputs();
            attention.run(query.view(), (keys, value.view()), outputs, &mut Workspace::new())
        })
        .expect("valid views");
        let what = format!("{what}, entries {entries:?}, rows {rows:?}");
        let expected = case.rows_of(&case.output, entries.clone(), &rows);
        assert_same_bits(&expected, &memory.output, format_args!("output: {what}"));
        let expected = case.rows_of(&case.lse, entries, &rows);
        assert_same_bits(&expected, &memory.lse, format_args!("lse: {what}"));
    }
}

fn next(elements: &mut impl Iterator<Item = f32>) -> f32 {
    elements.next().expect("one for each index")
}

/// The elements of some batch entries.
fn of_entries<'a>(
    data: &'a [f32],
    batch: usize,
    entries: &Range<usize>,
) -> impl Iterator<Item = f32> + use<'a> {
    let entry = data.len() / batch;
    data[entries.start * entry..entries.end * entry].iter().copied()
}

/// Memory for the outputs of a call: the two that are compared, and some beside.
struct Memory {
    extents: Extents,
    output: Vec<f32>,
    lse: Vec<f32>,
    with_others: bool,
    weights: Vec<f32>,
    entropy: Vec<f32>,
    key_mass: Vec<f64>,
    top_weights: Vec<f32>,
    top_keys: Vec<i64>,
}

impl Memory {
    fn new(extents: Extents, v_dim: usize, with_others: bool) -> Self {
        let Extents { batch, q_heads, rows, keys, .. } = extents;
        let all_rows = batch * q_heads * rows;
        Memory {
            extents,
            output: vec![f32::NAN; all_rows * v_dim],
            lse: vec![f32::NAN; all_rows],
            with_others,
            weights: vec![f32::NAN; if with_others { all_rows * keys } else { 0 }],
            entropy: vec![f32::NAN; all_rows],
            key_mass: vec![0.0; batch * q_heads * keys],
            top_weights: vec![f32::NAN; all_rows * K],
            top_keys: vec![0; all_rows * K],
        }
    }

    fn outputs(&mut self) -> Outputs<'_> {
        let Extents { batch, q_heads, rows, keys, .. } = self.extents;
        let of_rows = |columns| [batch, q_heads, rows, columns];
        let v_dim = self.output.len() / self.lse.len();
        let outputs = Outputs::new()
            .output(TensorMut::new(&mut self.output[..], of_rows(v_dim)))
            .lse(TensorMut::new(&mut self.lse[..], of_rows(1)));
        if !self.with_others {
            return outputs;
        }
        outputs
            .weights(TensorMut::new(&mut self.weights[..], of_rows(keys)))
            .entropy(TensorMut::new(&mut self.entropy[..], of_rows(1)))
            .key_mass(TensorMut::new(&mut self.key_mass[..], [batch, q_heads, 1, keys]))
            .top_k(
                TensorMut::new(&mut self.top_weights[..], of_rows(K)),
                TensorMut::new(&mut self.top_keys[..], of_rows(K)),
            )
    }
}

#[test]
fn the_output_is_the_same_whichever_way() {
    let pools = [1, 2, 7].map(pool);
    for seed in 0..scaled_down(240, 30) as u64 {
        let mut random = Random::new(seed);
        let case = Case::new(&mut random, seed);
        for _ in 0..3 {
            let way = Way::random(&mut random, &case);
            let pool = pools.iter().find(|pool| pool.current_num_threads() == way.threads);
            let what = format!("seed {seed}, {:?}, {way:?}", case.problem.extents);
            way.check(&case, pool.expect("a pool of each size"), &what);
        }
    }
}
