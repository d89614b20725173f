//! Many vCPU configurations of one image at once.

use std::collections::{BTreeMap, BTreeSet};

use super::cpu::{CpuSignature, CpuType};
use super::digest::LaunchDigest;
use super::features::GuestFeatures;
use super::launch::{Launch, VcpuCount};
use super::parallel;

/// One vCPU configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combination {
    /// How many vCPUs.
    pub vcpus: VcpuCount,
    /// Of which type.
    pub cpu: CpuType,
    /// With which guest features.
    pub features: GuestFeatures,
}

impl Combination {
    /// All combinations of these, ordered by type, then features, then count.
    #[must_use]
    pub fn product(vcpus: &[VcpuCount], cpus: &[CpuType], features: &[GuestFeatures]) -> Vec<Self> {
        let mut all = Vec::new();
        for &cpu in cpus {
            for &features in features {
                all.extend(vcpus.iter().map(|&vcpus| Self { vcpus, cpu, features }));
            }
        }
        all
    }
}

impl Launch {
    /// The launch digests of these combinations, in their order, computed on
    /// several threads. Combinations that differ in the vCPU count alone cost
    /// as much as the largest of them.
    #[must_use]
    pub fn matrix(&self, combinations: &[Combination]) -> Vec<LaunchDigest> {
        let mut groups: BTreeMap<Group, BTreeSet<u32>> = BTreeMap::new();
        for combination in combinations {
            groups.entry(self.group(combination)).or_default().insert(combination.vcpus.get());
        }
        let groups: Vec<_> = groups.into_iter().collect();
        let digests = parallel::map(groups.len(), |index| {
            groups.get(index).map(|(group, counts)| (*group, self.group_digests(*group, counts)))
        });
        let digests: BTreeMap<_, _> = digests.into_iter().flatten().collect();
        let digest = |combination: &Combination| {
            let group = digests.get(&self.group(combination));
            group.and_then(|counts| counts.get(&combination.vcpus.get())).copied()
        };
        // Each is there, as its group and its count were put in above.
        combinations.iter().filter_map(digest).collect()
    }

    /// What makes combinations share the pages of their vCPUs.
    fn group(&self, combination: &Combination) -> Group {
        let measured = self.vmm().measures_cpu_type();
        let cpu = if measured { combination.cpu.signature() } else { CpuSignature::new(0) };
        (cpu, combination.features)
    }

    /// The digests with each of these counts, in one pass over the largest.
    fn group_digests(
        &self,
        (cpu, features): Group,
        counts: &BTreeSet<u32>,
    ) -> BTreeMap<u32, LaunchDigest> {
        let largest = counts.last().copied().unwrap_or(0);
        (1..=largest)
            .zip(self.digests(cpu, features))
            .filter(|(count, _)| counts.contains(count))
            .collect()
    }
}

type Group = (CpuSignature, GuestFeatures);
