//! A warm call allocates nothing: counted by the allocator of this test program.

mod common;

use common::call::{
    Call, Stage, dot, dot_on, scaled_softmax, scaled_softmax_in_place_on, scaled_softmax_on,
};
use common::{Extents, Problem, isas, random};
use softdot::{Attention, Logits, Outputs, TensorMut, Threads, Workspace};

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts for each thread what it hands out.
struct Counting;

thread_local! {
    /// Constant at first and without a destructor, so that the counter itself never allocates.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every method hands its arguments on to the system's allocator, whose promises hold.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; every pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates on this thread.
fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Shapes below the size where the pool is used: single rows, blocks, groups, several segments,
/// no dimensions.
const SHAPES: [Extents; 5] = [
    Extents { batch: 1, q_heads: 1, kv_heads: 1, rows: 1, keys: 1, head_dim: 1 },
    Extents { batch: 1, q_heads: 1, kv_heads: 1, rows: 1, keys: 5000, head_dim: 64 },
    Extents { batch: 2, q_heads: 4, kv_heads: 2, rows: 13, keys: 77, head_dim: 33 },
    Extents { batch: 1, q_heads: 8, kv_heads: 1, rows: 9, keys: 1030, head_dim: 8 },
    Extents { batch: 1, q_heads: 1, kv_heads: 1, rows: 50, keys: 100, head_dim: 0 },
];

fn compute(attention: &Call, problem: &Problem, output: &mut [f32], memory: &mut Workspace) {
    let output = TensorMut::new(output, problem.extents.output_shape());
    attention
        .compute_into(problem.query_view(), problem.key_view(), output, memory)
        .expect("a valid problem");
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
    let problem = Problem::random(SHAPES[2], 1);
    let mut output = vec![0.0; 2 * 4 * 13 * 77];
    let cold = || compute(&Call::new(), &problem, &mut output, &mut Workspace::new());
    assert!(allocations(cold) > 0);
}

#[test]
fn a_warm_workspace_allocates_nothing() {
    for isa in isas() {
        for threads in [Threads::Serial, Threads::Pool] {
            for stage in [Stage::Scores, Stage::Weights] {
                let attention = Call::new().isa(isa).threads(threads).stage(stage);
                for extents in SHAPES {
                    assert!(extents.work() < 1 << 20, "{extents:?} would use the pool");
                    let problem = Problem::random(extents, 1);
                    let mut output = vec![0.0; extents.output_shape().iter().product()];
                    let mut memory = Workspace::new();
                    compute(&attention, &problem, &mut output, &mut memory);
                    let bytes = memory.bytes();
                    let warm = || compute(&attention, &problem, &mut output, &mut memory);
                    assert_eq!(allocations(warm), 0, "{isa}, {threads:?}, {stage:?}, {extents:?}");
                    assert_eq!(memory.bytes(), bytes);
                }
            }
        }
    }
}

/// Weights, logits and the weights of one head, into a third of `results` each.
fn three_outputs(results: &mut [f32], shape: [usize; 4]) -> Outputs<'_> {
    let [batch, _, rows, keys] = shape;
    let (weights, rest) = results.split_at_mut(shape.iter().product());
    let (logits, of_head) = rest.split_at_mut(weights.len());
    Outputs::new()
        .weights(TensorMut::new(weights, shape))
        .logits(Logits::Scores, TensorMut::new(logits, shape))
        .weights_of_heads(&[0], TensorMut::new(of_head, [batch, 1, rows, keys]))
}

/// A reserved workspace is warm from the first call on, whatever it is asked for.
#[test]
fn a_reserved_workspace_allocates_nothing() {
    for extents in SHAPES {
        let problem = Problem::random(extents, 1);
        let shape = extents.output_shape();
        let mut results = vec![0.0; 3 * shape.iter().product::<usize>()];
        let attention = Attention::new().threads(Threads::Serial);
        let (query, key) = (problem.query_view(), problem.key_view());
        let mut memory = Workspace::new();
        let outputs = three_outputs(&mut results, shape);
        attention.reserve(query, key, outputs, &mut memory).expect("valid");
        let bytes = memory.bytes();
        let outputs = three_outputs(&mut results, shape);
        let first = || attention.run(query, key, outputs, &mut memory).expect("valid");
        assert_eq!(allocations(first), 0, "{extents:?}");
        assert_eq!(memory.bytes(), bytes);
    }
}

/// Memory that is lent, of just the size that is asked for beforehand, wherever it begins and whatever
/// is in it.
#[test]
fn lent_memory_allocates_nothing() {
    for extents in SHAPES {
        let problem = Problem::random(extents, 1);
        let shape = extents.output_shape();
        let mut results = vec![0.0; 3 * shape.iter().product::<usize>()];
        let (query, key) = (problem.query_view(), problem.key_view());
        let attention = Attention::new().threads(Threads::Serial);
        let expected = attention.weights(query, key).expect("valid");
        let outputs = three_outputs(&mut results, shape);
        let elements = attention.workspace_elements(query, key, outputs).expect("valid");
        let mut memory = vec![f32::NAN; elements + 3];
        for start in 0..4 {
            results.fill(f32::NAN);
            memory.fill(f32::NAN);
            let mut workspace = Workspace::lent(&mut memory[start..start + elements]);
            let outputs = three_outputs(&mut results, shape);
            let run = || attention.run(query, key, outputs, &mut workspace).expect("valid");
            assert_eq!(allocations(run), 0, "{extents:?}");
            assert_eq!(results[..expected.len()], expected, "{extents:?}");
        }
    }
}

/// Less than that is an error, and nothing has been written.
#[test]
fn lent_memory_that_is_too_little() {
    let extents = SHAPES[2];
    let problem = Problem::random(extents, 1);
    let shape = extents.output_shape();
    let mut results = vec![7.0; 3 * shape.iter().product::<usize>()];
    let (query, key) = (problem.query_view(), problem.key_view());
    let attention = Attention::new().threads(Threads::Serial);
    let outputs = three_outputs(&mut results, shape);
    let elements = attention.workspace_elements(query, key, outputs).expect("valid");
    let mut memory = vec![0.0; elements - 1];
    let outputs = three_outputs(&mut results, shape);
    let error = attention
        .run(query, key, outputs, &mut Workspace::lent(&mut memory))
        .expect_err("too little memory");
    let found = memory.len();
    let expected = format!(
        "workspace: expected a number of f32 elements of at least {elements}, found {found}"
    );
    assert_eq!(error.to_string(), expected);
    assert!(results.iter().all(|&result| result == 7.0));
}

/// Serial work of a size that would otherwise be shared.
#[test]
fn large_serial_calls_allocate_nothing() {
    let attention = Call::new().threads(Threads::Serial);
    let problem = Problem::random(Extents::single(100, 1100, 40), 1);
    let mut output = vec![0.0; 100 * 1100];
    let mut memory = Workspace::new();
    compute(&attention, &problem, &mut output, &mut memory);
    assert_eq!(allocations(|| compute(&attention, &problem, &mut output, &mut memory)), 0);
}

/// The largest call decides: smaller ones find their place.
#[test]
fn a_workspace_serves_smaller_calls() {
    let attention = Call::new().threads(Threads::Serial);
    let mut memory = Workspace::new();
    let mut output = vec![0.0; 100 * 1100];
    let large = Problem::random(Extents::single(100, 1100, 40), 1);
    compute(&attention, &large, &mut output, &mut memory);
    for extents in [Extents::single(99, 1100, 40), Extents::single(3, 17, 40)] {
        let problem = Problem::random(extents, 2);
        let output = &mut output[..extents.rows * extents.keys];
        let smaller = || compute(&attention, &problem, output, &mut memory);
        assert_eq!(allocations(smaller), 0, "{extents:?}");
    }
}

/// Memory goes back where there is more than is to be kept, and the next call gets it anew.
#[test]
fn a_workspace_gives_memory_back() {
    let attention = Call::new().threads(Threads::Serial);
    let problem = Problem::random(Extents::single(9, 1100, 40), 1);
    let mut output = vec![0.0; 9 * 1100];
    let mut memory = Workspace::new();
    compute(&attention, &problem, &mut output, &mut memory);
    let (bytes, expected) = (memory.bytes(), output.clone());
    memory.shrink_to(bytes);
    assert_eq!(memory.bytes(), bytes);
    for kept in [bytes - 1, 0] {
        memory.shrink_to(kept);
        assert_eq!(memory.bytes(), 0);
        output.fill(f32::NAN);
        compute(&attention, &problem, &mut output, &mut memory);
        assert_eq!((memory.bytes(), &output), (bytes, &expected));
    }
}

#[test]
fn primitives_allocate_nothing() {
    let (a, b) = (random(16_384, 1), random(16_384, 2));
    let mut output = vec![0.0; 16_384];
    // The first call detects the instruction sets and reads the environment.
    dot(&a, &b).expect("equal lengths");
    for length in [0, 1, 17, 1024, 1025, 16_384] {
        let (a, b, output) = (&a[..length], &b[..length], &mut output[..length]);
        let detected = || {
            dot(a, b).expect("equal lengths");
            scaled_softmax(a, 1.0, output).expect("valid");
        };
        assert_eq!(allocations(detected), 0, "length {length}");
        for isa in isas() {
            let forced = || {
                dot_on(isa, a, b).expect("equal lengths");
                scaled_softmax_on(isa, a, 1.0, output).expect("valid");
                scaled_softmax_in_place_on(isa, output, 1.0).expect("valid");
            };
            assert_eq!(allocations(forced), 0, "{isa}, length {length}");
        }
    }
}

/// A refused call names what is wrong without allocating.
#[test]
fn errors_allocate_nothing() {
    let problem = Problem::random(SHAPES[2], 1);
    let mut output = [0.0; 8];
    let refused = || {
        let output = TensorMut::new(&mut output[..], [2, 4]);
        let (query, key) = (problem.query_view(), problem.key_view());
        let result = Call::new().compute_into(query, key, output, &mut Workspace::new());
        assert!(result.is_err());
    };
    assert_eq!(allocations(refused), 0);
}
