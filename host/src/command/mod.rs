//! One file a subcommand: its arguments, what it does with the libraries, what
//! it prints.

pub(crate) mod attest;
pub(crate) mod certs;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod guest;
pub(crate) mod host;
pub(crate) mod id_block;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod judge;
pub(crate) mod kernel;
pub(crate) mod launch;
pub(crate) mod man;
pub(crate) mod measure;
pub(crate) mod policy;
pub(crate) mod report;
pub(crate) mod ssh;
pub(crate) mod store;
pub(crate) mod unlock;
