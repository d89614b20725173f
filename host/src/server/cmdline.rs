//! The server's own kernel command line.

use super::View;

/// Its words, in order.
pub(super) struct Cmdline(Vec<String>);

impl Cmdline {
    pub(super) fn of(view: &View) -> Self {
        let text = view.read("/proc/cmdline").unwrap_or_default();
        Self(text.split_whitespace().map(str::to_owned).collect())
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The word that gives `key` one of these values among its comma-separated ones.
    pub(super) fn setting(&self, key: &str, values: &[&str]) -> Option<&str> {
        self.words().find(|word| {
            word.strip_prefix(key)
                .and_then(|rest| rest.strip_prefix('='))
                .is_some_and(|given| given.split(',').any(|one| values.contains(&one)))
        })
    }
}
