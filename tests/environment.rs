//! `SOFTDOT_MAX_ISA` is read once per process, so each value is tried in a process of its own:
//! this test program, started again for the one test that reports.
//!
//! Under an emulator that cannot start programs of its own architecture, `SOFTDOT_TEST_RUNNER`
//! holds the command that can, separated by spaces: `qemu-aarch64 -L /usr/aarch64-linux-gnu`.

mod common;

use common::call::{Call, dot, dot_on, scaled_softmax_in_place};
use softdot::{Attention, Error, Isa, TensorRef};
use std::env;
use std::process::Command;

const LIMIT: &str = "SOFTDOT_MAX_ISA";
const CHILD: &str = "SOFTDOT_TEST_CHILD";

/// What stands before each reported line, to find it in the test runner's own output.
const MARK: &str = "reported: ";

/// Not a test but the child: silent unless it was started by [`report_under`].
#[test]
fn child() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let data = [1.0f32];
    let view = TensorRef::new(&data, [1, 1]);
    let text = |result: Result<String, Error>| result.unwrap_or_else(|error| error.to_string());
    let say = |line: String| println!("\n{MARK}{line}");
    say(format!("selection {}", text(Isa::detect().map(|selection| selection.to_string()))));
    say(format!("plan {}", text(Call::new().plan(view, view).map(|plan| plan.isa.to_string()))));
    say(format!("compute {}", text(Call::new().compute(view, view).map(|w| format!("{w:?}")))));
    say(format!("dot {}", text(dot(&data, &data).map(|product| product.to_string()))));
    let softmax = scaled_softmax_in_place(&mut [1.0], 1.0).map(|()| "done".to_string());
    say(format!("softmax {}", text(softmax)));
    for isa in Isa::available() {
        let plan = Call::new().isa(isa).plan(view, view);
        let forced = plan.and_then(|plan| Ok((plan.isa, dot_on(isa, &data, &data)?)));
        say(format!("forced {}", text(forced.map(|(isa, product)| format!("{isa} {product}")))));
    }
}

/// What the child reports under this value of the variable.
fn report_under(limit: Option<&str>) -> Vec<String> {
    let program = env::current_exe().expect("the path of this program");
    let runner = env::var("SOFTDOT_TEST_RUNNER").unwrap_or_default();
    let mut words = runner.split_whitespace();
    let mut command = match words.next() {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.args(["child", "--exact", "--nocapture"]).env(CHILD, "1").env_remove(LIMIT);
    if let Some(limit) = limit {
        command.env(LIMIT, limit);
    }
    let output = command.output().expect("this program can be started again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{limit:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines().filter_map(|line| line.strip_prefix(MARK)).map(str::to_string).collect()
}

/// The answers when nothing is wrong.
#[track_caller]
fn assert_runs_on(isa: Isa, selection: &str, report: &[String]) {
    let mut expected = vec![
        format!("selection {isa}: the widest that this CPU has{selection}"),
        format!("plan {isa}"),
        "compute [1.0]".to_string(),
        "dot 1".to_string(),
        "softmax done".to_string(),
    ];
    // An instruction set forced by the caller runs whatever the limit.
    expected.extend(Isa::available().map(|isa| format!("forced {isa} 1")));
    assert_eq!(report, expected);
}

fn widest_up_to(limit: Isa) -> Isa {
    Isa::available().filter(|&isa| isa <= limit).last().expect("scalar at least")
}

#[test]
fn without_a_limit_the_widest_runs() {
    for limit in [None, Some("")] {
        assert_runs_on(widest_up_to(Isa::Avx512), "", &report_under(limit));
    }
}

#[test]
fn every_name_limits() {
    for limit in Isa::ALL {
        let selection = format!(" and SOFTDOT_MAX_ISA={limit} allows");
        for name in [limit.name(), &limit.name().to_uppercase()] {
            assert_runs_on(widest_up_to(limit), &selection, &report_under(Some(name)));
        }
    }
    assert_eq!(widest_up_to(Isa::Scalar), Isa::Scalar);
}

/// A misspelt limit is an error where detection decides, and no concern of forced calls.
#[test]
fn a_bad_name_is_refused() {
    for name in [" ", "avx3", "AVX-2", "sse"] {
        let error =
            format!("SOFTDOT_MAX_ISA: expected one of scalar, neon, avx2, avx512, found {name:?}");
        let mut expected: Vec<String> = ["selection", "plan", "compute", "dot", "softmax"]
            .iter()
            .map(|call| format!("{call} {error}"))
            .collect();
        expected.extend(Isa::available().map(|isa| format!("forced {isa} 1")));
        assert_eq!(report_under(Some(name)), expected);
    }
}

/// Not a test but the child of [`calls_are_serial_where_threads_cannot_be_started`].
#[test]
fn large_call() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let data = vec![0.5f32; 512 * 64];
    let view = TensorRef::new(&data, [512, 64]);
    for _ in 0..2 {
        let plan = Attention::new().plan(view, view).expect("a plan");
        let weights = Attention::new().weights(view, view).expect("weights");
        println!("\n{MARK}{} thread, weight {}", plan.threads, weights[0] * 512.0);
    }
}

/// rayon panics where it cannot start its pool; a call runs on its caller's thread instead.
#[test]
#[cfg(target_os = "linux")]
fn calls_are_serial_where_threads_cannot_be_started() {
    if env::var_os("SOFTDOT_TEST_RUNNER").is_some() || cfg!(not(feature = "rayon")) {
        return;
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 1048576 && exec \"$0\" large_call --exact --nocapture"])
        .arg(env::current_exe().expect("the path of this program"))
        .env(CHILD, "1")
        .env("RAYON_NUM_THREADS", "4096")
        .output()
        .expect("this program can be started again");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report.matches("reported: 1 thread, weight 1\n").count(), 2, "{report}");
}
