//! `ravelin ssh-known-hosts` and `ravelin ssh-config`: OpenSSH with attested
//! host keys.

pub(crate) mod config;
pub(crate) mod known_hosts;
