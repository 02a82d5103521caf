//! What the rows of a block become, one file for each output.
//!
//! A new output is a file here, a method of [`Outputs`](crate::Outputs) and a field of the
//! validated [`targets`](crate::targets).

mod keep_larger;
mod key_mass;
mod no_keys;
mod row_results;
mod short_rows;
mod top_k;
mod values;
mod weights;

pub(crate) use key_mass::KeyMass;
pub(crate) use no_keys::write_rows_without_keys;
pub(crate) use row_results::write_row_results;
pub(crate) use short_rows::write_short_row;
pub(crate) use top_k::TopK;
pub(crate) use values::write_output_row;
pub(crate) use weights::WeightsWriter;
