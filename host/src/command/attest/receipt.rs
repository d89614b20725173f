//! `--receipt`: what the VM did at its boot, beside what its files predict.

use std::fs::File;
use std::io::BufReader;

use attestation::receipt::{Decides, Finding, Line, Measured, compare, holds};
use image_builder::initramfs::Contents;
use protocol::cmdline::CommandLine;
use protocol::config::{self, Config};
use protocol::hooks::Stage;
use protocol::load_order::LoadOrder;
use protocol::receipt::Event;
use protocol::responder::Evidence;
use serde::Serialize;

use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Text, causes};
use crate::vm::VmFile;

/// Said with lines that are not as predicted.
const NOT_PREDICTED: &str = "\
the boot receipt is not what the files of the VM description predict. The report is genuine, so \
this is what the guest says of itself; a guest of exactly these files cannot say it. Either the \
expected measurement is that of other files (--manifest, --measurement), the guest is of another \
release, or PID 1 has an error: do not use this VM, and report it";

/// Said with a receipt that is as predicted until its end, and has an end too early.
const CUT: &str = "\
the boot receipt had no room for all that the guest did. What it has is as predicted; of the rest \
nothing is known, so this is not taken for a boot as predicted. A configuration with fewer or \
shorter names of hooks, volumes and disks has room";

/// What the boot follows from, of the files of a VM.
pub(super) struct Files {
    config: Config,
    order: Option<LoadOrder>,
    hooks: Vec<(Stage, String)>,
}

/// A receipt beside what was predicted.
#[derive(Serialize)]
pub(super) struct Compared {
    as_predicted: bool,
    lines: Vec<Line>,
}

impl Files {
    /// Reads initramfs and command line, as PID 1 does.
    ///
    /// # Errors
    /// If they cannot be read, or PID 1 would refuse them.
    pub(super) fn read(file: Option<&VmFile>) -> Result<Self> {
        let file = file.ok_or_else(|| {
            Failure::usage(
                "--receipt compares with the files of a VM description, and none is named",
            )
            .help("name it with --vm")
        })?;
        let path = file.initrd()?;
        let shown = path.display();
        let opened =
            File::open(&path).map_err(|error| Failure::new(format!("{shown}: {error}")))?;
        let refused = |error: &dyn std::error::Error| {
            let failure = Failure::new(format!("{shown}: {}", causes(error)));
            failure.help("`ravelin inspect` says more of it; PID 1 would not boot with it")
        };
        let contents = Contents::read(BufReader::new(opened)).map_err(|error| refused(&error))?;
        let cmdline = CommandLine::parse(file.cmdline()?.as_str().as_bytes())
            .remedy("correct `cmdline` in the VM description")?;
        let config = config::parse(contents.configuration.as_deref(), &cmdline)
            .map_err(|error| refused(&error))?;
        let order =
            contents.load_order.map(|text| LoadOrder::parse(&String::from_utf8_lossy(&text)));
        let order = order.transpose().map_err(|error| refused(&error))?;
        Ok(Self { config, order, hooks: contents.hooks.into_iter().collect() })
    }

    /// Compares the receipt of an accepted answer.
    ///
    /// # Errors
    /// Why there is nothing to be compared.
    pub(super) fn compare(&self, evidence: &Evidence) -> std::result::Result<Compared, String> {
        let Some(receipt) = &evidence.receipt else {
            return Err(match evidence.receipt_head {
                None => "the VM has no boot receipt: its PID 1 is of an older release",
                Some(_) => {
                    "the report binds a boot receipt that the answer does not have: someone on \
                     the way took it out"
                }
            }
            .to_owned());
        };
        let events = receipt.events().map_err(|error| error.to_string())?;
        let measured = Measured {
            config: &self.config,
            order: self.order.as_ref(),
            hooks: &self.hooks,
            host_keys: &evidence.host_keys,
        };
        let lines = compare(&events, &measured);
        Ok(Compared { as_predicted: holds(&lines), lines })
    }
}

impl Compared {
    /// What is said of a receipt with lines that are not as predicted.
    pub(super) fn warning(&self) -> Option<&'static str> {
        let is_predicted = |line: &Line| matches!(line.finding, Finding::Predicted { .. });
        match self.cut().and_then(|index| self.lines.get(..index)) {
            _ if self.as_predicted => None,
            Some(until) if until.iter().all(is_predicted) => Some(CUT),
            Some(_) | None => Some(NOT_PREDICTED),
        }
    }

    /// Which line says that the rest had no room.
    fn cut(&self) -> Option<usize> {
        self.lines.iter().position(|line| line.event == Event::Cut {})
    }

    /// For people.
    pub(super) fn describe(&self, text: &mut Text) {
        text.heading("boot receipt, and what the VM's files predict");
        let cut = self.cut().unwrap_or(self.lines.len());
        for (index, Line { event, finding }) in self.lines.iter().enumerate() {
            let values: Vec<&str> = event.fields().iter().map(|(_, value)| *value).collect();
            let said = if index == cut {
                "CUT: what was done after this had no room".to_owned()
            } else if index > cut && *finding == Finding::Missing {
                "MISSING: behind the cut".to_owned()
            } else {
                said(finding)
            };
            text.field(event.kind(), format!("{}\n{said}", values.join("  ")));
        }
    }
}

fn said(finding: &Finding) -> String {
    match finding {
        Finding::Predicted { decided } => {
            let mut said = "as predicted".to_owned();
            for (by, who) in [
                (Decides::Host, "the host's choice"),
                (Decides::Owners, "by the owners' release"),
                (Decides::Image, "of the image"),
            ] {
                let names = decided.iter().filter(|(_, of)| **of == by).map(|(name, _)| *name);
                let names: Vec<&str> = names.collect();
                if !names.is_empty() {
                    said.push_str(&format!("; {who}: {}", names.join(", ")));
                }
            }
            said
        }
        Finding::Differs { expected } => {
            let expected = expected.iter().map(|(name, value)| format!("{name} {value}"));
            format!("NOT PREDICTED: expected {}", expected.collect::<Vec<_>>().join(", "))
        }
        Finding::Unexpected => "NOT PREDICTED: nothing is expected here".to_owned(),
        Finding::Missing => "MISSING: expected here".to_owned(),
    }
}
