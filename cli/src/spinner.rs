//! A sign of life for runs that take long, on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
        let thread = Builder::new().name("spinner".into()).spawn(move || {
            if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
                let _ = stopped.recv();
                shown.finish_and_clear();
            }
        });
        // A machine without a thread to spare has no spinner.
        Self { bar, running: Some(running), thread: thread.ok() }
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
