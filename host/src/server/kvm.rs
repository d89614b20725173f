//! KVM's parameters for SEV.

use super::{Check, Facts, View};

const MODULE: &str = "/sys/module/kvm_amd";
/// The names of the checks and of the parameters.
const PARAMETERS: [(&str, &str); 3] =
    [("kvm-sev", "sev"), ("kvm-sev-es", "sev_es"), ("kvm-sev-snp", "sev_snp")];

/// Whether KVM says that it starts SNP guests. It does only where the RMP table, the
/// IOMMU and the processor are as they must be.
pub(super) fn snp_is_on(view: &View) -> bool {
    view.read(&parameter("sev_snp")).is_ok_and(|value| is_on(&value))
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    PARAMETERS.iter().map(|(id, name)| check(facts, id, name)).collect()
}

fn check(facts: &Facts, id: &'static str, name: &str) -> Check {
    let path = parameter(name);
    match facts.view.read(&path) {
        Ok(value) if is_on(&value) => Check::ok(id, format!("kvm_amd.{name} is {value}")),
        Ok(value) => {
            let word = facts.cmdline.setting(&format!("kvm_amd.{name}"), &["0", "n", "N", "off"]);
            let remedy = match word {
                Some(word) => format!("take {word} off the kernel command line and reboot"),
                None => format!(
                    "repair what is missing above, and take `options kvm_amd {name}=0` out of \
                     /etc/modprobe.d if it is there; then reboot"
                ),
            };
            Check::missing(id, format!("kvm_amd.{name} is {value}"), remedy)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (found, remedy) = match facts.view.exists(MODULE) {
                Ok(true) => (
                    format!("kvm_amd has no parameter {name}"),
                    "this kernel has no SEV-SNP for guests; see `kernel`",
                ),
                Ok(false) | Err(_) => (
                    "kvm_amd is not loaded".to_owned(),
                    "modprobe kvm_amd; if that fails, enable SVM in the set-up of the server's \
                     firmware",
                ),
            };
            Check::missing(id, found, remedy)
        }
        Err(error) => Check::unknown(id, format!("{path} cannot be read: {error}"), "mount /sys"),
    }
}

fn parameter(name: &str) -> String {
    format!("{MODULE}/parameters/{name}")
}

/// Older kernels show numbers.
fn is_on(value: &str) -> bool {
    matches!(value, "Y" | "1")
}
