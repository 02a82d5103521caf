//! What is measured, under which name, and when.

use super::task::Task;

/// A named task.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The kind, the heads × query rows × keys, the head_dim.
    pub name: String,
    /// What is computed.
    pub task: Task,
    /// What its rate is compared with: measured in turn with it.
    pub plain: Option<Box<Workload>>,
    /// Whether `--quick` measures it.
    pub quick: bool,
    /// Whether it is small enough for the scalar kernel to be measured unasked.
    pub with_scalar: bool,
    /// Its point of the scaling plot. Such workloads are measured on numbers of threads between
    /// one and all, too.
    pub scaling: Option<ScalingPoint>,
}

/// Where a workload is in the scaling plot.
#[derive(Clone, Copy, Debug)]
pub struct ScalingPoint {
    /// Keys of a row.
    pub keys: usize,
    /// Elements of a query row and of a key.
    pub head_dim: usize,
}
