//! The kernel options that Ravelin needs, each with its reason: one table, from
//! which everything else that speaks of kernel options is made.
//!
//! - [`OPTIONS`]: the table itself;
//! - [`option_for_module`]: which option gives a module, for the builder's
//!   errors;
//! - [`RISKS`]: what a kernel is better without;
//! - [`fragment()`]: both as a Kconfig fragment of a kernel without modules; the
//!   checked-in `kernel-config/ravelin.config` is its output;
//! - [`tables()`]: both for `docs/kernel.md`;
//! - [`check()`]: a kernel's configuration ([`KernelConfig`]) against both.
//!
//! Debian's stock kernel has all that is needed; a test checks that.

#![forbid(unsafe_code)]

mod check;
mod config;
mod fragment;
mod need;
mod page;
mod risks;
mod table;

pub use check::{Aml, Findings, check};
pub use config::{ConfigError, KernelConfig, MAX_TEXT, State};
pub use fragment::fragment;
pub use need::Need;
pub use page::tables;
pub use risks::{AML_SANDBOX, From, RISKS, Risk};
pub use table::{KernelOption, OPTIONS};

/// The row of a symbol, given with or without `CONFIG_`.
#[must_use]
pub fn option(symbol: &str) -> Option<&'static KernelOption> {
    let symbol = symbol.strip_prefix("CONFIG_").unwrap_or(symbol);
    OPTIONS.iter().find(|option| option.symbol == symbol)
}

/// The row whose module is called `name`; `-` and `_` are the same in it, as
/// they are to the kernel.
#[must_use]
pub fn option_for_module(name: &str) -> Option<&'static KernelOption> {
    let name = name.replace('-', "_");
    OPTIONS.iter().find(|option| option.module == Some(name.as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn lookups_find_rows_under_each_spelling() {
        let verity = option("DM_VERITY").unwrap();
        assert_eq!(option("CONFIG_DM_VERITY"), Some(verity));
        assert_eq!(option_for_module("dm_verity"), Some(verity));
        assert_eq!(option_for_module("dm-verity"), Some(verity));
        assert_eq!(option("NO_SUCH_OPTION"), None);
        assert_eq!(option_for_module("no_such_module"), None);
    }

    #[test]
    fn symbols_and_modules_are_there_once_and_well_formed() {
        let mut symbols = HashSet::new();
        let mut modules = HashSet::new();
        for KernelOption { symbol, module, reason, .. } in OPTIONS {
            let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            assert!(symbol.bytes().all(plain) && !symbol.starts_with("CONFIG_"), "{symbol}");
            assert!(symbols.insert(symbol), "{symbol} is there twice");
            if let Some(module) = module {
                assert!(!module.contains('-'), "{module} is written with underscores");
                assert!(modules.insert(module), "{module} is there twice");
            }
            assert!(reason.len() > 10 && !reason.ends_with('.'), "{symbol}: {reason}");
        }
    }

    #[test]
    fn rows_are_grouped_by_need() {
        let mut seen: Vec<Need> = Vec::new();
        for option in OPTIONS {
            if seen.last() != Some(&option.need) {
                assert!(!seen.contains(&option.need), "{} is out of its group", option.symbol);
                seen.push(option.need);
            }
        }
    }
}
