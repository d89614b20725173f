//! What is put into a tree on its way: users with their keys, a host name, files.
//!
//! It is declared in a TOML file, which is read strictly: an unknown key is an error. The same
//! file gives the same members: nothing is looked up on the machine, and what is put in has
//! the times of 1970.
//!
//! Nothing is written through a symbolic link of the tree, because the tree may be somebody
//! else's and a link may lead where the declaration does not say.

mod accounts;
mod customizer;
mod declaration;
#[cfg(test)]
mod tests;

pub(super) use customizer::Customizer;
pub use declaration::{Customization, CustomizeError};
