//! How long work tells its caller how far it is.
//!
//! The libraries draw nothing: the command line shows a bar, a test shows
//! nothing, and neither is known here.

/// Receives the progress of one build. It is called from several threads.
pub trait Progress: Sync {
    /// A stage begins: `name` is shown to the user (an activity, such as
    /// "hashing"); `total_bytes` is its size where that is known. The stage
    /// before it is over.
    fn stage(&self, name: &str, total_bytes: Option<u64>);

    /// `bytes` more of the current stage are done.
    fn advance(&self, bytes: u64);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _name: &str, _total_bytes: Option<u64>) {}

    fn advance(&self, _bytes: u64) {}
}
