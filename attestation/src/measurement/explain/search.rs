//! The search itself: sets of inputs by size, and all values of each set.

use std::ops::ControlFlow;

use super::super::cpu::CpuSignature;
use super::super::digest::{LaunchDigest, Sha256Digest};
use super::super::features::GuestFeatures;
use super::super::firmware::Firmware;
use super::super::kernel_hashes::KernelHashes;
use super::super::launch::{Launch, VcpuCount};
use super::super::vmm::VmmKind;
use super::cmdline::{self, Edit};
use super::{Candidates, Description, Explanation, Limits, Named};

/// Something that can be changed. In the order in which values are set: what a
/// later one depends on is before it, and what is cheap to vary is last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Vmm,
    Firmware,
    KernelHashes,
    Kernel,
    Initrd,
    Cmdline,
    CmdlineAgain,
    Cpu,
    Features,
    Vcpus,
}

/// All, the likelier first.
const CHANGES: [Change; 10] = [
    Change::Vcpus,
    Change::Cpu,
    Change::Features,
    Change::Cmdline,
    Change::KernelHashes,
    Change::Initrd,
    Change::Kernel,
    Change::Firmware,
    Change::CmdlineAgain,
    Change::Vmm,
];

const MAX_CHANGES: usize = 4;

/// A page of hashes and some sections: what measuring a boot costs at least.
const LAUNCH_COST: u64 = 16;

/// Indices into the lists of a [`Search`]; 0 is what was described. An edit is
/// none or an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) start: Start,
    pub(super) cpu: usize,
    pub(super) features: usize,
    pub(super) vcpus: u32,
}

/// The part of a guess that the vCPUs have no part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) vmm: usize,
    pub(super) firmware: usize,
    pub(super) hashes: bool,
    pub(super) kernel: usize,
    pub(super) initrd: usize,
    pub(super) edits: [Option<usize>; 2],
}

enum Stop {
    Found(Guess),
    OutOfHashes,
}

pub(super) struct Search<'a> {
    target: LaunchDigest,
    limits: Limits,
    max_vcpus: u32,
    pub(super) base: Guess,
    pub(super) firmware: Vec<&'a Named<Firmware>>,
    pub(super) kernels: Vec<Named<Sha256Digest>>,
    pub(super) initrds: Vec<Named<Sha256Digest>>,
    pub(super) cmdline: Vec<u8>,
    pub(super) edits: Vec<Edit>,
    pub(super) vmms: Vec<VmmKind>,
    pub(super) cpus: Vec<CpuSignature>,
    pub(super) features: Vec<GuestFeatures>,
    pub(super) described_cpu: String,
    tried: u64,
    hashes: u64,
    last: Option<(Start, Option<Launch>)>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        target: LaunchDigest,
        description: &'a Description,
        candidates: &'a Candidates,
        limits: Limits,
    ) -> Self {
        let none = Named::new("none", Sha256Digest::EMPTY);
        let boot = description.boot.as_ref();
        let kernels = boot.map(|boot| &boot.kernel).into_iter().chain(&candidates.kernels);
        let initrds = boot.map(|boot| &boot.initrd).into_iter().chain(&candidates.initrds);
        let cmdline = boot.map(|boot| boot.cmdline.clone());
        let cmdline = cmdline.or_else(|| candidates.cmdlines.first().cloned()).unwrap_or_default();
        let toggled = GuestFeatures::known().map(|bit| description.features.toggle(bit));
        let features =
            [description.features].into_iter().chain(candidates.features.iter().copied());
        let start = Start {
            vmm: 0,
            firmware: 0,
            hashes: boot.is_some(),
            kernel: 0,
            initrd: 0,
            edits: [None; 2],
        };
        Self {
            target,
            limits,
            max_vcpus: candidates.max_vcpus,
            base: Guess { start, cpu: 0, features: 0, vcpus: description.vcpus.get() },
            firmware: distinct(
                [&description.firmware].into_iter().chain(&candidates.firmware),
                |a, b| a.value == b.value,
            ),
            kernels: distinct(kernels.cloned(), |a, b| a.value == b.value),
            initrds: distinct(initrds.cloned().chain([none]), |a, b| a.value == b.value),
            edits: cmdline::edits(
                &cmdline,
                &candidates.words,
                &candidates.root_hashes,
                &candidates.cmdlines,
            ),
            cmdline,
            vmms: distinct([description.vmm].into_iter().chain(candidates.vmms.clone()), eq),
            cpus: distinct(
                [description.cpu.signature()].into_iter().chain(candidates.cpus.clone()),
                eq,
            ),
            features: distinct(features.chain(toggled), eq),
            described_cpu: description.cpu.to_string(),
            tried: 0,
            hashes: 0,
            last: None,
        }
    }

    pub(super) fn run(mut self) -> Explanation {
        match self.all() {
            ControlFlow::Break(Stop::Found(guess)) if guess == self.base => Explanation::Same,
            ControlFlow::Break(Stop::Found(guess)) => {
                Explanation::Differs { differences: self.differences(&guess), tried: self.tried }
            }
            ControlFlow::Break(Stop::OutOfHashes) => {
                Explanation::NothingFits { tried: self.tried, complete: false }
            }
            ControlFlow::Continue(()) => {
                Explanation::NothingFits { tried: self.tried, complete: true }
            }
        }
    }

    fn all(&mut self) -> ControlFlow<Stop> {
        for size in 0..=self.limits.max_changes.min(MAX_CHANGES) {
            for mut set in subsets(&CHANGES, size) {
                if set.contains(&Change::CmdlineAgain) && !set.contains(&Change::Cmdline) {
                    continue;
                }
                set.sort_unstable();
                self.visit(&set, &self.base.clone())?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Every value of every change in `set`, on top of `guess`.
    fn visit(&mut self, set: &[Change], guess: &Guess) -> ControlFlow<Stop> {
        match set.split_first() {
            None => self.compare(guess),
            Some((Change::Vcpus, _)) => self.compare_counts(guess),
            Some((change, rest)) => {
                for next in self.values(*change, guess) {
                    self.visit(rest, &next)?;
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// `guess` with every other value of one input, where it has a meaning.
    fn values(&self, change: Change, guess: &Guess) -> Vec<Guess> {
        let vmm = self.vmms.get(guess.start.vmm).copied().unwrap_or_default();
        let with = |start: Start| Guess { start, ..*guess };
        let start = guess.start;
        match change {
            Change::Vmm => (1..self.vmms.len()).map(|vmm| with(Start { vmm, ..start })).collect(),
            Change::Firmware => {
                (1..self.firmware.len()).map(|firmware| with(Start { firmware, ..start })).collect()
            }
            Change::KernelHashes if self.kernels.is_empty() => Vec::new(),
            Change::KernelHashes => vec![with(Start { hashes: !start.hashes, ..start })],
            Change::Kernel | Change::Initrd | Change::Cmdline | Change::CmdlineAgain
                if !start.hashes =>
            {
                Vec::new()
            }
            Change::Kernel => {
                (1..self.kernels.len()).map(|kernel| with(Start { kernel, ..start })).collect()
            }
            Change::Initrd => {
                (1..self.initrds.len()).map(|initrd| with(Start { initrd, ..start })).collect()
            }
            Change::Cmdline => (0..self.edits.len())
                .map(|edit| with(Start { edits: [Some(edit), None], ..start }))
                .collect(),
            Change::CmdlineAgain => (0..self.edits.len())
                .map(|edit| {
                    let [first, _] = start.edits;
                    with(Start { edits: [first, Some(edit)], ..start })
                })
                .collect(),
            Change::Cpu if !vmm.measures_cpu_type() => Vec::new(),
            Change::Cpu => (1..self.cpus.len()).map(|cpu| Guess { cpu, ..*guess }).collect(),
            Change::Features => {
                (1..self.features.len()).map(|features| Guess { features, ..*guess }).collect()
            }
            // All at once, by `compare_counts`.
            Change::Vcpus => Vec::new(),
        }
    }

    fn compare(&mut self, guess: &Guess) -> ControlFlow<Stop> {
        let Some((launch, cpu, features)) = self.launch(guess) else {
            return self.budget();
        };
        let Ok(vcpus) = VcpuCount::try_from(guess.vcpus) else { return self.budget() };
        self.hashes = self.hashes.saturating_add(u64::from(guess.vcpus));
        self.budget()?;
        self.tried += 1;
        if launch.digest(vcpus, cpu, features) == self.target {
            return ControlFlow::Break(Stop::Found(*guess));
        }
        ControlFlow::Continue(())
    }

    /// All vCPU counts but the described one.
    fn compare_counts(&mut self, guess: &Guess) -> ControlFlow<Stop> {
        let Some((launch, cpu, features)) = self.launch(guess) else {
            return self.budget();
        };
        for (vcpus, digest) in (1..=self.max_vcpus).zip(launch.digests(cpu, features)) {
            self.hashes = self.hashes.saturating_add(1);
            self.budget()?;
            if vcpus == guess.vcpus {
                continue;
            }
            self.tried += 1;
            if digest == self.target {
                return ControlFlow::Break(Stop::Found(Guess { vcpus, ..*guess }));
            }
        }
        ControlFlow::Continue(())
    }

    fn budget(&self) -> ControlFlow<Stop> {
        if self.hashes >= self.limits.max_hashes {
            ControlFlow::Break(Stop::OutOfHashes)
        } else {
            ControlFlow::Continue(())
        }
    }

    /// What a guess measures, but for the vCPU count. Nothing if it is no guest
    /// (a kernel on firmware without a hash table) or changes nothing.
    fn launch(&mut self, guess: &Guess) -> Option<(Launch, CpuSignature, GuestFeatures)> {
        let cpu = *self.cpus.get(guess.cpu)?;
        let features = *self.features.get(guess.features)?;
        let launch = match &self.last {
            Some((start, launch)) if *start == guess.start => *launch,
            _ => {
                let launch = self.start(&guess.start);
                self.last = Some((guess.start, launch));
                launch
            }
        };
        Some((launch?, cpu, features))
    }

    fn start(&mut self, start: &Start) -> Option<Launch> {
        let firmware = &self.firmware.get(start.firmware)?.value;
        let pages = firmware.sections().iter().map(|section| u64::from(section.pages()));
        self.hashes = self.hashes.saturating_add(LAUNCH_COST).saturating_add(pages.sum());
        let kernel = if start.hashes {
            let cmdline = self.cmdline(start.edits)?;
            Some(KernelHashes {
                kernel: self.kernels.get(start.kernel)?.value,
                initrd: self.initrds.get(start.initrd)?.value,
                cmdline: Sha256Digest::of_command_line(&cmdline).ok()?,
            })
        } else {
            None
        };
        Launch::new(firmware, kernel.as_ref(), *self.vmms.get(start.vmm)?).ok()
    }

    /// The command line with these edits; nothing if one of them changes
    /// nothing.
    pub(super) fn cmdline(&self, edits: [Option<usize>; 2]) -> Option<Vec<u8>> {
        let mut line = self.cmdline.clone();
        for edit in edits.into_iter().flatten() {
            line = self.edits.get(edit)?.apply(&line)?;
        }
        (edits == [None; 2] || line != self.cmdline).then_some(line)
    }
}

fn eq<T: PartialEq>(one: &T, other: &T) -> bool {
    one == other
}

/// The first of each, in their order.
fn distinct<T>(all: impl IntoIterator<Item = T>, same: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for value in all {
        if !kept.iter().any(|before| same(before, &value)) {
            kept.push(value);
        }
    }
    kept
}

/// All subsets of `size`, those with earlier elements first.
fn subsets(of: &[Change], size: usize) -> Vec<Vec<Change>> {
    let Some(rest_size) = size.checked_sub(1) else { return vec![Vec::new()] };
    let mut all = Vec::new();
    let mut rest = of;
    while let Some((first, after)) = rest.split_first() {
        for mut subset in subsets(after, rest_size) {
            subset.insert(0, *first);
            all.push(subset);
        }
        rest = after;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_complete_and_in_order() {
        assert_eq!(subsets(&CHANGES, 0), [Vec::new()]);
        assert_eq!(subsets(&CHANGES, 1).len(), 10);
        assert_eq!(subsets(&CHANGES, 2).len(), 45);
        assert_eq!(subsets(&CHANGES, 3).len(), 120);
        assert_eq!(subsets(&CHANGES, 2)[0], [Change::Vcpus, Change::Cpu]);
    }
}
