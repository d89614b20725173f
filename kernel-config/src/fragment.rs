//! A Kconfig fragment made from the tables, for
//! `scripts/kconfig/merge_config.sh`.

use std::fmt::Write as _;

use crate::need::Need;
use crate::risks::{RISKS, Risk};
use crate::table::{KernelOption, OPTIONS};

const HEADER: &str = "\
# A kernel for Ravelin's VMs as a Kconfig fragment: everything is built in, no modules.
# `cargo xtask kernel` makes a whole kernel of it; docs/kernel.md has the recipe.
# Made from the tables in kernel-config; do not edit, run the tests instead:
#   RAVELIN_BLESS=1 cargo test -p kernel-config
";

/// The fragment: every option of the tables with its reason, group by group.
#[must_use]
pub fn fragment() -> String {
    let mut text = HEADER.to_owned();
    // Writing into a String does not fail.
    for group in OPTIONS.chunk_by(|a, b| a.need == b.need) {
        for (index, option) in group.iter().enumerate() {
            if index == 0 {
                let _ = writeln!(text, "\n#\n# {}\n#", option.need.description());
            }
            let _ = writeln!(text, "# {}: {}", option.symbol, option.reason);
            let _ = writeln!(text, "{}", wanted(option));
        }
    }
    let _ = writeln!(text, "\n#\n# Left out: ways in for the host, and for root\n#");
    for risk in left_out() {
        let _ = writeln!(text, "# {}: {}", risk.symbol, risk.reason);
        let _ = writeln!(text, "{}", off(risk.symbol));
    }
    text
}

/// The risks that the fragment turns off; the others are answered by another option.
pub(crate) fn left_out() -> impl Iterator<Item = &'static Risk> {
    RISKS.iter().filter(|risk| risk.answered().is_none())
}

fn wanted(option: &KernelOption) -> String {
    if option.need == Need::Never {
        off(option.symbol)
    } else {
        format!("CONFIG_{}=y", option.symbol)
    }
}

fn off(symbol: &str) -> String {
    format!("# CONFIG_{symbol} is not set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_spelling() {
        let text = fragment();
        let has = |line: &str| text.lines().any(|l| l == line);
        assert!(has("CONFIG_DM_VERITY=y"));
        assert!(has("CONFIG_XFS_FS=y"));
        assert!(has("CONFIG_EROFS_FS_ZIP=y"));
        assert!(has("# CONFIG_HW_RANDOM_VIRTIO is not set"));
        assert!(has("# CONFIG_MODULES is not set"));
        assert!(!text.contains("CONFIG_EFI_RUNTIME_WRAPPERS"), "EFI selects it");
    }

    #[test]
    fn every_option_is_in_it_once() {
        let text = fragment();
        let risks = left_out().map(|risk| off(risk.symbol));
        for line in OPTIONS.iter().map(wanted).chain(risks) {
            assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}");
        }
    }
}
