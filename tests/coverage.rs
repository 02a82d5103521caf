//! The canary: which instruction sets the other tests ran on, and whether these are the ones that
//! a run was meant to cover.
//!
//! - `SOFTDOT_TEST_REQUIRE_ISA=avx512,avx2,scalar`: fails if one of them is missing;
//! - `SOFTDOT_TEST_REQUIRE_ARCH=aarch64`: fails on any other architecture;
//! - `SOFTDOT_TEST_ONLY_ISA=avx512`: every test runs on this one alone.

mod common;

use softdot::Isa;
use std::env;

fn list(isas: impl IntoIterator<Item = Isa>) -> String {
    isas.into_iter().map(Isa::name).collect::<Vec<_>>().join(", ")
}

/// Past the capture of the test runner, so that a passing run shows it too.
fn report(line: &str) {
    use std::io::Write;
    writeln!(std::io::stderr(), "{line}").expect("a standard error stream");
}

#[test]
fn the_required_instruction_sets_are_tested() {
    report(&format!("architecture: {}", env::consts::ARCH));
    report(&format!("instruction sets under test: {}", list(common::isas())));
    report(&format!("short run: {}", common::emulated()));
    let Ok(required) = env::var("SOFTDOT_TEST_REQUIRE_ISA") else { return };
    for name in required.split(',').map(str::trim) {
        let isa: Isa = name.parse().unwrap_or_else(|error| panic!("{error}"));
        assert!(isa.is_available(), "{isa} is required, this CPU has {}", list(Isa::available()));
        let tested = common::isas();
        let only = env::var_os("SOFTDOT_TEST_ONLY_ISA").is_some();
        assert!(only || tested.contains(&isa), "{isa} is required, but not in the tests' list");
    }
}

#[test]
fn the_required_architecture_is_tested() {
    let Ok(required) = env::var("SOFTDOT_TEST_REQUIRE_ARCH") else { return };
    assert_eq!(required, env::consts::ARCH);
}

/// Scalar everywhere, and the instruction sets that their architecture guarantees or implies.
#[test]
fn available_instruction_sets_are_consistent() {
    let available: Vec<Isa> = Isa::available().collect();
    assert!(available.contains(&Isa::Scalar));
    assert!(available.is_sorted());
    assert_eq!(Isa::Neon.is_available(), cfg!(target_arch = "aarch64"));
    assert!(!Isa::Avx512.is_available() || Isa::Avx2.is_available());
    assert!(!Isa::Avx2.is_available() || cfg!(target_arch = "x86_64"));
}
