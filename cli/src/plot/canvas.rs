//! What pictures are drawn on.

use plotters::prelude::DrawingBackend;
use std::error::Error;

/// A backend whose errors can be passed on.
pub trait Canvas: DrawingBackend<ErrorType: Error + Send + Sync + 'static> {}

impl<Backend> Canvas for Backend where
    Backend: DrawingBackend<ErrorType: Error + Send + Sync + 'static>
{
}
