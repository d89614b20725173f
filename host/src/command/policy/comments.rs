//! The comments of a policy that `ravelin policy init` writes: one a key.

use std::fmt::Write as _;

use attestation::policy::Policy;

const HEAD: &str = "\
# What an attestation report must say to be accepted.
# Unknown keys are errors. What is left out is not checked, except for what weakens a guest: debug,
# migration agents, another VMPL than 0, masked chip ids, provisional firmware and unknown bits
# are refused unless `allow` names them. `ravelin policy check` says what this file comes to.
";

/// A table or a key, and what to know of it.
const COMMENTS: [(&str, &str); 21] = [
    ("product", "Processor families: milan, genoa (with Bergamo and Siena), turin."),
    ("measurement", "Launch digests of what may run; `ravelin measure` computes them."),
    ("vmpl", "The privilege level that the report must be from, exactly."),
    ("allow", "What is allowed though it weakens the guest."),
    ("minimum_guest_svn", "The guest's security version, from its ID block."),
    ("minimum_firmware", "Version of the secure processor's firmware, current and committed."),
    ("host_data", "32 bytes that were chosen at launch (host_data of vm.toml)."),
    ("family_id", "From the ID block."),
    ("image_id", "From the ID block."),
    ("id_key_digest", "SHA-384 of the key that signed the ID block."),
    ("author_key_digest", "SHA-384 of the key that certified the ID key."),
    (
        "[minimum_tcb]",
        "Security versions of the processor's firmware, at least; of the current, committed,\n# \
         launch and reported TCB. Raise them when AMD publishes fixes.",
    ),
    ("[guest_policy]", "Bits of the guest policy, fixed at launch; see `ravelin report show`."),
    ("required", "Bits that must be set."),
    ("forbidden", "Bits that must not be set."),
    ("exact", "The field as a whole."),
    ("minimum_abi", "The ABI version that the guest policy asks for."),
    ("[platform_info]", "Bits of the platform, set by the host's BIOS and firmware."),
    ("[instance]", "One guest (report_id) on one processor (chip_id), and no other."),
    ("signing_key", "Kinds of keys that may sign: vcek, vlek."),
    ("require_crl", "A current revocation list must be given."),
];

/// The policy as TOML with comments.
pub(super) fn commented(policy: &Policy, origin: &str, hints: &[&str]) -> String {
    let mut text = format!("{HEAD}# Made from {origin}.\n");
    let mut first = true;
    for line in policy.to_string().lines() {
        let key = line.split(" =").next().unwrap_or(line);
        let table = line.starts_with('[');
        // Within a table the comment stands at its head.
        let known = COMMENTS.iter().find(|(name, _)| *name == key);
        if let Some((_, comment)) = known {
            if !table && !in_table(&text) || first {
                text.push('\n');
            }
            let _ = writeln!(text, "# {comment}");
        }
        first = false;
        text.push_str(line);
        text.push('\n');
    }
    if !hints.is_empty() {
        text.push_str("\n# Not in this policy, because it was not known:\n");
        for hint in hints {
            let _ = writeln!(text, "#   {hint}");
        }
    }
    text
}

fn in_table(text: &str) -> bool {
    text.lines().any(|line| line.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_change_nothing() {
        let text = "product = [\"milan\"]\nmeasurement = [\"{}\"]\nhost_data = \"{h}\"\n\
                    [minimum_tcb]\nsnp = 8\n[guest_policy]\nforbidden = [\"smt\"]\nexact = 0x20000\n\
                    [platform_info]\nrequired = [\"ecc\"]\n[instance]\nreport_id = \"{h}\"\n"
            .replace("{}", &"ab".repeat(48))
            .replace("{h}", &"cd".repeat(32));
        let policy = Policy::parse(&text).unwrap();
        let written = commented(&policy, "a test", &["nothing"]);
        assert_eq!(Policy::parse(&written).unwrap(), policy, "{written}");
        assert!(written.contains("# Launch digests of what may run"), "{written}");
        assert!(written.contains("\n\n# Security versions"), "{written}");
    }
}
