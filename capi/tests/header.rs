//! include/softdot.h is what cbindgen makes of the sources, and other files agree with them.

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_that_of_the_sources() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = own.join("include/softdot.h");
    let mut made = Vec::new();
    cbindgen::generate(own).expect("sources that cbindgen reads").write(&mut made);
    let made = String::from_utf8(made).expect("UTF-8");
    if std::env::var_os("SOFTDOT_WRITE_HEADER").is_some() {
        fs::write(&path, &made).expect("a header that can be written");
    }
    let found = fs::read_to_string(&path).expect("the header");
    assert!(found == made, "expected {} as SOFTDOT_WRITE_HEADER=1 writes it", path.display());
}

#[test]
fn the_version_that_cmake_finds_is_that_of_the_library() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cmake/softdot-config-version.cmake");
    let found = fs::read_to_string(path).expect("CMake's file");
    let expected = concat!("set(PACKAGE_VERSION \"", env!("CARGO_PKG_VERSION"), "\")");
    assert!(found.lines().any(|line| line == expected), "expected {expected} in {found}");
}
