//! From the indices of a found guess to words.

use super::super::cpu::{CpuSignature, QemuModel};
use super::cmdline::{Edit, quoted};
use super::search::{Guess, Search};
use super::{Difference, Input};

impl Search<'_> {
    /// What differs between the description and `guess`, in the order of
    /// [`Input`].
    pub(super) fn differences(&self, guess: &Guess) -> Vec<Difference> {
        let base = &self.base;
        let mut found = Vec::new();
        if guess.vcpus != base.vcpus {
            found.push(Difference::new(Input::VcpuCount, base.vcpus, guess.vcpus));
        }
        if let Some(cpu) = self.cpus.get(guess.cpu).filter(|_| guess.cpu != 0) {
            found.push(Difference::new(Input::CpuType, &self.described_cpu, cpu_name(*cpu)));
        }
        if let (Some(described), Some(measured), true) =
            (self.features.first(), self.features.get(guess.features), guess.features != 0)
        {
            found.push(Difference::features(*described, *measured));
        }
        let (was, is) = (&base.start, &guess.start);
        // Where the described boot had no kernel hashes, all three are news.
        let news = is.hashes && !was.hashes;
        if news || is.edits != was.edits {
            let described = if news { "none".to_owned() } else { quoted(&self.cmdline) };
            found.push(Difference::new(Input::CommandLine, described, self.edited(is.edits)));
        }
        for (input, list, was, is) in [
            (Input::Initrd, &self.initrds, was.initrd, is.initrd),
            (Input::Kernel, &self.kernels, was.kernel, is.kernel),
        ] {
            if news || was != is {
                let name = |index: usize| list.get(index).map_or("none", |file| file.name.as_str());
                found.push(Difference::new(input, if news { "none" } else { name(was) }, name(is)));
            }
        }
        if was.hashes != is.hashes {
            let text = |hashes| if hashes { "measured" } else { "not measured" };
            found.push(Difference::new(Input::KernelHashes, text(was.hashes), text(is.hashes)));
        }
        if was.firmware != is.firmware {
            let name =
                |index: usize| self.firmware.get(index).map_or("", |file| file.name.as_str());
            found.push(Difference::new(Input::Firmware, name(was.firmware), name(is.firmware)));
        }
        if was.vmm != is.vmm {
            let name = |index: usize| self.vmms.get(index).copied().unwrap_or_default();
            found.push(Difference::new(Input::Vmm, name(was.vmm), name(is.vmm)));
        }
        found
    }

    fn edited(&self, edits: [Option<usize>; 2]) -> String {
        let line = quoted(&self.cmdline(edits).unwrap_or_default());
        let how: Vec<_> = edits
            .into_iter()
            .flatten()
            .filter_map(|edit| self.edits.get(edit))
            .map(Edit::to_string)
            .collect();
        if how.is_empty() { line } else { format!("{line} ({})", how.join(", then ")) }
    }
}

/// A signature with all that it may be called.
fn cpu_name(cpu: CpuSignature) -> String {
    let models: Vec<_> = cpu.models().map(QemuModel::name).collect();
    if models.is_empty() {
        let (family, model, stepping) = cpu.family_model_stepping();
        format!("{cpu} (-cpu host on family {family}, model {model}, stepping {stepping})")
    } else {
        format!("{cpu} ({})", models.join(", "))
    }
}
