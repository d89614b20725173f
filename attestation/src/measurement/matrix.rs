//! Many vCPU configurations of one image at once.

use std::collections::BTreeMap;

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
        let mut groups: BTreeMap<(CpuSignature, GuestFeatures), BTreeMap<u32, LaunchDigest>> =
            BTreeMap::new();
        for combination in combinations {
            groups
                .entry(self.group(combination))
                .or_default()
                .insert(combination.vcpus.get(), LaunchDigest::START);
        }
        let groups: Vec<_> = groups.into_iter().collect();
        let computed = parallel::map(groups.len(), |index| {
            groups.get(index).map(|(group, counts)| (*group, self.counts(*group, counts)))
        });
        let computed: BTreeMap<_, _> = computed.into_iter().flatten().collect();
        combinations
            .iter()
            .map(|combination| {
                let known = computed
                    .get(&self.group(combination))
                    .and_then(|counts| counts.get(&combination.vcpus.get()));
                known.copied().unwrap_or_else(|| {
                    self.digest(
                        combination.vcpus,
                        combination.cpu.signature(),
                        combination.features,
                    )
                })
            })
            .collect()
    }

    /// What makes two combinations share their vCPU pages.
    fn group(&self, combination: &Combination) -> (CpuSignature, GuestFeatures) {
        let measured = self.vmm().measures_cpu_type();
        let cpu = if measured { combination.cpu.signature() } else { CpuSignature::new(0) };
        (cpu, combination.features)
    }

    fn counts(
        &self,
        (cpu, features): (CpuSignature, GuestFeatures),
        counts: &BTreeMap<u32, LaunchDigest>,
    ) -> BTreeMap<u32, LaunchDigest> {
        let last = counts.last_key_value().map_or(0, |(count, _)| *count);
        (1..=last)
            .zip(self.digests(cpu, features))
            .filter(|(count, _)| counts.contains_key(count))
            .collect()
    }
}
