//! Progress bars: one at a time, on standard error, gone when the stage is
//! over.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use image_builder::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const WITH_SIZE: &str = "{spinner} {msg} {wide_bar} {bytes}/{total_bytes} {eta:>4} left";
const WITHOUT_SIZE: &str = "{spinner} {msg} {elapsed}";

/// The progress of one command.
#[derive(Debug)]
pub(crate) struct Bars {
    visible: bool,
    verbose: bool,
    current: Mutex<Option<Stage>>,
}

#[derive(Debug)]
struct Stage {
    name: String,
    bar: ProgressBar,
    begun: Instant,
}

impl Bars {
    /// Bars if `visible`; a line for each finished stage if `verbose`.
    #[must_use]
    pub(crate) fn new(visible: bool, verbose: bool) -> Self {
        Self { visible, verbose, current: Mutex::new(None) }
    }

    /// Ends the last stage and leaves no trace on the screen.
    pub(crate) fn finish(&self) {
        self.replace(None);
    }

    fn replace(&self, next: Option<Stage>) {
        let before = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, next)
        };
        if let Some(stage) = before {
            stage.bar.finish_and_clear();
            if self.verbose {
                let seconds = stage.begun.elapsed().as_secs_f64();
                let _ = writeln!(anstream::stderr(), "detail: {}: {seconds:.2} s", stage.name);
            }
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress for Bars {
    fn stage(&self, name: &str, total_bytes: Option<u64>) {
        self.replace(None);
        let target =
            if self.visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(total_bytes, target);
        let template = if total_bytes.is_some() { WITH_SIZE } else { WITHOUT_SIZE };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(name.to_owned());
        if self.visible {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        self.replace(Some(Stage { name: name.to_owned(), bar, begun: Instant::now() }));
    }

    fn advance(&self, bytes: u64) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stage) = &*current {
            stage.bar.inc(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_valid() {
        for template in [WITH_SIZE, WITHOUT_SIZE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
