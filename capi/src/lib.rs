//! softdot's C interface: docs/c.md says how to use it, include/softdot.h is made from it.
//!
//! Data flows one way: a C struct is copied and checked (`parameters`), its views become memory with
//! known bounds (`memory`), options and outputs are opened (`options`, `outputs`), nothing that is
//! written may overlap anything else (`spans`), and then there are softdot's own views (`call`).

mod attention;
mod boundary;
mod call;
mod failure;
mod handle;
mod isa;
mod memory;
mod options;
mod outputs;
mod packed_keys;
mod parallel_for;
mod parameters;
mod pointer;
mod pool;
mod spans;
mod structs;
mod threads;
mod version;
mod views;
mod workspace;
