//! The owners of the recording machine.

use std::error::Error;
use std::io;
use std::time::Duration;

use protocol::config::Unlock;
use protocol::receipt::Head;
use protocol::release::{Release, Status, VolumeName};

use super::Fake;
use crate::platform::{Released, Releases};
use crate::reports::{self, Guest, RawReport};

impl Releases for Fake {
    fn serve_owners(
        &self,
        unlock: &Unlock,
        wanted: &[VolumeName],
        _evidence_deadline: Duration,
        receipt_head: &Head,
        guest: &Guest,
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        let names: Vec<&str> = wanted.iter().map(VolumeName::as_str).collect();
        self.call(format!("serve-owners {} {}", unlock.port, names.join(" ")))?;
        self.served_head.replace(Some(hex::encode(receipt_head)));
        if let Some(first) = self.owners_guest.get() {
            let mut answer = reports::tests::report(&[0; 64]);
            answer[0x140] = first;
            let report = RawReport::check(&answer, None, &[0; 64])?;
            let _the_owner_is_told = guest.admit(report);
        }
        Ok(format!("port {}", unlock.port))
    }

    fn wait_for_release(&self, until: Option<Duration>) -> io::Result<Option<Released>> {
        self.call("wait-for-release".to_owned())?;
        let mut releases = self.releases.borrow_mut();
        if releases.is_empty() {
            assert!(until.is_some(), "the fake machine would wait for ever");
            return Ok(None);
        }
        let release = Release::decode(&releases.remove(0)).unwrap();
        Ok(Some(Released { release, owners: vec!["SHA256:owner".to_owned()] }))
    }

    fn wait_until_recorded(&self) -> io::Result<bool> {
        self.call("wait-until-recorded".to_owned())?;
        let unrecorded = self.unrecorded.get();
        self.unrecorded.set(unrecorded.saturating_sub(1));
        Ok(unrecorded == 0)
    }

    fn answer_owners(&self, status: &Status) {
        // It has no way to fail.
        let _recorded = self.call(match status {
            Status::Accepted { .. } => "answer accepted".to_owned(),
            Status::Opened { epochs } => {
                let epoch = |(name, epoch): &(VolumeName, u64)| format!(" {name}={epoch}");
                format!("answer opened{}", epochs.iter().map(epoch).collect::<String>())
            }
            Status::Booting => "answer booting".to_owned(),
            Status::Refused { why, text } => format!("answer {why:?}: {text}"),
        });
    }

    fn stop_serving_owners(&self) {
        let _recorded = self.call("stop-serving".to_owned());
    }
}
