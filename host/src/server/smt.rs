//! Whether the server runs two threads a core: the guest's policy decides whether it
//! may be started there.

use attestation::report::{GuestPolicy, GuestPolicyBit};

use super::{Check, Facts};

pub(super) fn check(facts: &Facts) -> Check {
    const ID: &str = "smt";
    let active = facts.view.read("/sys/devices/system/cpu/smt/active");
    match (active.as_deref(), facts.wanted.policy) {
        (Ok("1"), Some(policy)) if !GuestPolicy(policy.bits()).has(GuestPolicyBit::Smt) => {
            Check::missing(
                ID,
                format!("on, and the VM's policy {policy} forbids it (bit 16 is 0)"),
                "switch SMT off in the set-up of the server's firmware, or allow it: sev.policy = \
             0x30000",
            )
        }
        (Ok("1"), _) => Check::ok(ID, "on: a guest's policy must allow it (bit 16, as in 0x30000)"),
        (Ok("0"), _) => Check::ok(ID, "off: a guest's policy may forbid it (0x20000)"),
        (Ok(_) | Err(_), _) => {
            Check::unknown(ID, "the kernel does not tell", "use the usual policy, 0x30000")
        }
    }
}
