//! A kernel's configuration against the table: what is missing, what has to come as a
//! module, what must not be there, what is risky.

use crate::config::{KernelConfig, State};
use crate::need::Need;
use crate::risks::{AML_SANDBOX, RISKS, Risk};
use crate::table::{KernelOption, OPTIONS};

/// What was found out about a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Options that are needed and off.
    pub missing: Vec<&'static KernelOption>,
    /// Options that are needed and are modules: the initramfs has to carry them.
    pub modules: Vec<&'static KernelOption>,
    /// Options that are built in and must not be.
    pub forbidden: Vec<&'static KernelOption>,
    /// Options that an image may want and that are off, with their group.
    pub absent: Vec<&'static KernelOption>,
    /// Risky options that are on.
    pub risky: Vec<&'static Risk>,
    /// Whether the host's AML can touch memory of the VM.
    pub aml: Aml,
}

/// What the host's ACPI tables can do. They are not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aml {
    /// There is no interpreter.
    NoInterpreter,
    /// AML reaches memory that is shared with the host, and no other.
    Sandboxed,
    /// AML reads and writes the VM's memory.
    Unprotected,
}

impl Findings {
    /// Whether every image of these needs boots with it.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.missing.is_empty() && self.forbidden.is_empty()
    }
}

/// Checks a configuration for images with these needs; [`Need::Base`] is always one.
#[must_use]
pub fn check(config: &KernelConfig, needs: &[Need]) -> Findings {
    let mut findings = Findings {
        missing: Vec::new(),
        modules: Vec::new(),
        forbidden: Vec::new(),
        absent: Vec::new(),
        risky: Vec::new(),
        aml: aml(config),
    };
    for option in OPTIONS {
        let needed = option.need == Need::Base || needs.contains(&option.need);
        match (option.need, config.state(option.symbol)) {
            (Need::Never, State::BuiltIn) => findings.forbidden.push(option),
            (Need::Never, _) | (_, State::BuiltIn) => {}
            (_, State::Module) if option.module.is_some() => {
                if needed {
                    findings.modules.push(option);
                }
            }
            // An option that has no module cannot be one.
            (_, State::Module | State::Off | State::Value) => {
                if needed {
                    findings.missing.push(option);
                } else {
                    findings.absent.push(option);
                }
            }
        }
    }
    let on = |symbol| matches!(config.state(symbol), State::BuiltIn | State::Module);
    let risky = |risk: &&Risk| on(risk.symbol) && !risk.unless.is_some_and(on);
    findings.risky.extend(RISKS.iter().filter(risky));
    findings
}

fn aml(config: &KernelConfig) -> Aml {
    if config.state("ACPI") == State::Off {
        Aml::NoInterpreter
    } else if config.state(AML_SANDBOX) == State::BuiltIn {
        Aml::Sandboxed
    } else {
        Aml::Unprotected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment;

    fn config(more: &str) -> KernelConfig {
        KernelConfig::parse(&format!("{}{more}", fragment())).unwrap()
    }

    fn without(symbol: &str) -> KernelConfig {
        let line = format!("CONFIG_{symbol}=");
        let text: String = fragment()
            .lines()
            .filter(|l| !l.starts_with(&line))
            .map(|l| format!("{l}\n"))
            .collect();
        KernelConfig::parse(&text).unwrap()
    }

    #[test]
    fn the_fragment_is_usable_for_everything() {
        let findings = check(&config(""), &[]);
        assert!(findings.usable(), "{findings:?}");
        assert!(findings.missing.is_empty() && findings.absent.is_empty());
    }

    #[test]
    fn each_option_is_missed_where_it_is_needed() {
        for option in OPTIONS.iter().filter(|option| option.need != Need::Never) {
            let needed = check(&without(option.symbol), &[option.need]);
            assert_eq!(needed.missing, [option], "{}", option.symbol);
            assert!(!needed.usable());
            let not_needed = check(&without(option.symbol), &[]);
            if option.need != Need::Base {
                assert_eq!(not_needed.absent, [option], "{}", option.symbol);
                assert!(not_needed.usable());
            }
        }
    }

    #[test]
    fn what_must_not_be_there_is_told() {
        let found = check(&config("CONFIG_HW_RANDOM_VIRTIO=y\n"), &[]);
        assert_eq!(found.forbidden.len(), 1);
        assert!(!found.usable());
        assert!(check(&config("CONFIG_HW_RANDOM_VIRTIO=m\n"), &[]).usable());
    }

    #[test]
    fn every_risk_is_told_once_and_has_a_reason() {
        for (index, risk) in RISKS.iter().enumerate() {
            assert!(RISKS[index + 1..].iter().all(|other| other.symbol != risk.symbol));
            assert!(risk.reason.len() > 10 && !risk.reason.ends_with('.'), "{}", risk.symbol);
            assert!(crate::option(risk.symbol).is_none(), "{} is needed", risk.symbol);
            let with = format!("CONFIG_{}=m\n", risk.symbol);
            let alone = KernelConfig::parse(&with).unwrap();
            assert_eq!(check(&alone, &[]).risky, [risk], "{}", risk.symbol);
            let answered = risk.unless.map(|other| format!("{with}CONFIG_{other}=y\n"));
            if let Some(config) = answered.map(|text| KernelConfig::parse(&text).unwrap()) {
                assert!(check(&config, &[]).risky.is_empty(), "{}", risk.symbol);
            }
        }
        assert!(RISKS.is_sorted_by_key(|risk| risk.from));
        assert_eq!(check(&config(""), &[]).risky, [] as [&Risk; 0]);
    }

    #[test]
    fn the_host_s_aml_is_told() {
        assert_eq!(check(&config(""), &[]).aml, Aml::Sandboxed);
        assert_eq!(check(&without(AML_SANDBOX), &[]).aml, Aml::Unprotected);
        assert_eq!(check(&without("ACPI"), &[]).aml, Aml::NoInterpreter);
    }
}
