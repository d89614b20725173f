//! One file a subcommand: its arguments, what it does with the libraries, what
//! it prints.

pub(crate) mod completions;
pub(crate) mod guest;
pub(crate) mod image;
pub(crate) mod inspect;
pub(crate) mod launch;
pub(crate) mod man;
pub(crate) mod measure;
