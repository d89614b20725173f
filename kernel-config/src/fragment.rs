//! A Kconfig fragment made from the table, for
//! `scripts/kconfig/merge_config.sh`.

use std::fmt::Write as _;

use crate::table::{KernelOption, Need, OPTIONS};

const HEADER: &str = "\
# The kernel options that Ravelin needs, as a Kconfig fragment. Merge it with:
#   scripts/kconfig/merge_config.sh .config ravelin.config
# Made from the table in kernel-config; do not edit, run the tests instead:
#   RAVELIN_BLESS=1 cargo test -p kernel-config
#
# What every image needs is built in. What only some images need is a module:
# the builder takes into the initramfs those that the image uses.
";

/// The fragment: every option of the table with its reason, group by group.
#[must_use]
pub fn fragment() -> String {
    let mut text = HEADER.to_owned();
    for group in OPTIONS.chunk_by(|a, b| a.need == b.need) {
        for (index, option) in group.iter().enumerate() {
            if index == 0 {
                // Writing into a String does not fail.
                let _ = writeln!(text, "\n#\n# {}\n#", option.need.description());
            }
            let _ = writeln!(text, "# {}: {}", option.symbol, option.reason);
            let _ = writeln!(text, "{}", assignment(option));
        }
    }
    text
}

fn assignment(option: &KernelOption) -> String {
    let symbol = option.symbol;
    match (option.need, option.module) {
        (Need::Never, _) => format!("# CONFIG_{symbol} is not set"),
        (
            Need::Encrypted | Need::Network | Need::FileSystem | Need::Device | Need::Speed,
            Some(_),
        ) => format!("CONFIG_{symbol}=m"),
        (_, None) | (Need::Base | Need::Verity | Need::Evidence, Some(_)) => {
            format!("CONFIG_{symbol}=y")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_spelling() {
        let text = fragment();
        let has = |line: &str| text.lines().any(|l| l == line);
        assert!(has("CONFIG_DM_VERITY=y"));
        assert!(has("CONFIG_XFS_FS=m"));
        assert!(has("CONFIG_EROFS_FS_ZIP=y"));
        assert!(has("# CONFIG_HW_RANDOM_VIRTIO is not set"));
    }

    #[test]
    fn every_option_is_in_it_once() {
        let text = fragment();
        for option in OPTIONS {
            let line = assignment(option);
            assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}");
        }
    }
}
