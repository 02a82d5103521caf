//! A sign of life for runs that take long, on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What a run may take in silence.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it moves.
const TICK: Duration = Duration::from_millis(100);

/// Appears on stderr after [`PATIENCE`], if that is a terminal; goes when dropped.
pub struct Spinner {
    bar: ProgressBar,
    /// Dropped to stop the thread.
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Spinner {
    /// Starts to wait.
    pub fn start() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
            .with_style(ProgressStyle::default_spinner());
        let (running, stopped) = channel();
        let shown = bar.clone();
        // It ticks by itself: indicatif's own ticker is a thread more, and a panic where there is none.
        let spin = move || {
            if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    shown.tick();
                }
                shown.finish_and_clear();
            }
        };
        // A machine without a thread to spare has no spinner.
        let start = || Builder::new().name("spinner".into()).spawn(spin).ok();
        let thread = stderr().is_terminal().then(start).flatten();
        Self { bar, running: Some(running), thread }
    }

    /// Names what is being done.
    pub fn say(&self, message: String) {
        self.bar.set_message(message);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
