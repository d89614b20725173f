//! What `ravelin unlock` prints: the verdict before the release, the outcome after
//! it; as JSON both in one document.

use attestation::report::Hex;
use attestation::verify::Verdict;
use protocol::release::{Evidence, VolumeName};
use serde::Serialize;

use super::volumes::Volume;
use crate::attest::address::Address;
use crate::command::report::verify::text;
use crate::failure::Result;
use crate::terminal::{Terminal, Text};
use crate::unlock::record::Record;
use crate::unlock::session::Session;

/// The JSON document.
#[derive(Serialize)]
pub(super) struct Printed<'a> {
    address: String,
    nonce: String,
    #[serde(flatten)]
    verdict: &'a Verdict,
    receipt_head: Option<Hex<32>>,
    threshold: u8,
    wanted: Vec<&'a str>,
    pub(super) dry_run: bool,
    released: bool,
    owner: Option<String>,
    pub(super) instance: PrintedInstance,
    volumes: Vec<PrintedVolume<'a>>,
}

#[derive(Serialize)]
pub(super) struct PrintedInstance {
    report_id: Hex<32>,
    chip_id: Option<Hex<64>>,
    records: Vec<String>,
    pub(super) recorded: bool,
}

#[derive(Serialize)]
struct PrintedVolume<'a> {
    name: &'a str,
    format: &'static str,
    sidecar: Option<String>,
    min_epoch: u64,
    provision: bool,
    epoch: Option<u64>,
}

impl<'a> Printed<'a> {
    pub(super) fn new(
        address: &Address,
        session: &Session<'_>,
        evidence: &'a Evidence,
        verdict: &'a Verdict,
        volumes: &'a [Volume<'_>],
        records: &[Record],
    ) -> Self {
        let identity = verdict.identity();
        let volume = |volume: &'a Volume<'_>| PrintedVolume {
            name: volume.planned.name.as_str(),
            format: if volume.sidecar.is_some() { "ravelin" } else { "luks2" },
            sidecar: volume.planned.sidecar().map(|path| path.display().to_string()),
            min_epoch: volume.min_epoch(),
            provision: volume.provision(),
            epoch: None,
        };
        Self {
            address: address.to_string(),
            nonce: hex::encode(session.nonce()),
            verdict,
            // A refused VM's is anybody's.
            receipt_head: evidence.receipt_head.filter(|_| verdict.accepted()).map(Hex),
            threshold: evidence.threshold,
            wanted: evidence.wanted.iter().map(VolumeName::as_str).collect(),
            dry_run: false,
            released: false,
            owner: None,
            instance: PrintedInstance {
                report_id: identity.report_id,
                chip_id: Some(identity.chip_id).filter(|chip| !chip.is_zero()),
                records: records.iter().map(|one| one.path().display().to_string()).collect(),
                recorded: false,
            },
            volumes: volumes.iter().map(volume).collect(),
        }
    }

    /// The verdict, for people: before anything is released.
    pub(super) fn verdict(&self, terminal: &Terminal) -> Result<()> {
        if terminal.json() {
            return Ok(());
        }
        let mut text = text(self.verdict);
        // What a refused VM says of itself is anybody's word.
        if self.verdict.accepted() {
            text.field("waits for", self.wanted.join(", ")).field("owners", self.threshold);
            if let Some(head) = &self.receipt_head {
                text.field("boot receipt", head);
            }
        }
        terminal.result("unlock", self, &text)
    }

    /// The volumes are open.
    pub(super) fn opened(&mut self, owner: &str, epochs: &[(VolumeName, u64)]) {
        self.released = true;
        self.owner = Some(owner.to_owned());
        for volume in &mut self.volumes {
            let found = epochs.iter().find(|(name, _)| name.as_str() == volume.name);
            volume.epoch = found.map(|(_, epoch)| *epoch);
        }
    }

    /// The outcome for people, or the whole as JSON.
    pub(super) fn end(&self, terminal: &Terminal) -> Result<()> {
        let mut text = Text::new();
        if self.released {
            text.line("\nOPENED: the VM has its keys and goes on booting");
            for volume in &self.volumes {
                // A LUKS2 disk made elsewhere counts none.
                let epoch = volume.epoch.filter(|_epoch| volume.sidecar.is_some());
                text.field(
                    volume.name,
                    epoch.map_or("open".into(), |epoch| format!("epoch {epoch}")),
                );
            }
            if let Some(owner) = &self.owner {
                text.field("released by", owner);
            }
            for record in &self.instance.records {
                text.field("recorded in", record);
            }
        }
        terminal.result("unlock", self, &text)
    }
}
