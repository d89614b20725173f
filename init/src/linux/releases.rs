//! The owners' releases, by the release server.

use std::cell::OnceCell;
use std::error::Error;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::config::{OwnerKey, Unlock};
use protocol::receipt::Head;
use protocol::release::{Status, VolumeName};

use super::{Linux, log};
use crate::platform::{Released, Releases};
use crate::release::{Ask, Limits, Server, Setup, Sink};
use crate::reports::Guest;
use crate::responder::listen;

impl Releases for Linux {
    fn serve_owners(
        &self,
        unlock: &Unlock,
        wanted: &[VolumeName],
        evidence_deadline: Duration,
        receipt_head: &Head,
        guest: &Guest,
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        let port = unlock.port.get();
        let mut listeners = vec![listen::tcp(port)?];
        let mut summary = format!("port {port}");
        if let Some(vsock) = listen::vsock(port)? {
            listeners.push(vsock);
            summary.push_str(" and vsock");
        }
        let server = Server::start(Setup {
            listeners,
            owners: unlock.owners.iter().map(OwnerKey::public_key).cloned().collect(),
            threshold: unlock.threshold.get(),
            wanted: wanted.to_vec(),
            receipt_head: *receipt_head,
            reports: self.reports_for_owners(guest.clone())?,
            log: self.sink(),
            limits: Limits {
                evidence: evidence_deadline,
                quorum: unlock.quorum_deadline.duration(),
                ..Limits::default()
            },
        })?;
        self.stop_serving_owners();
        self.releases.replace(Some(server));
        Ok(summary)
    }

    fn wait_for_release(&self, until: Option<Duration>) -> io::Result<Option<Released>> {
        let server = self.releases.borrow();
        let server = server.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        // A time that cannot be represented does not come.
        Ok(server.wait(until.and_then(|until| self.start.checked_add(until))))
    }

    fn wait_until_recorded(&self) -> io::Result<bool> {
        let server = self.releases.borrow();
        Ok(server.as_ref().ok_or(io::ErrorKind::NotConnected)?.wait_recorded())
    }

    fn answer_owners(&self, status: &Status) {
        if let Some(server) = &*self.releases.borrow() {
            server.answer(status);
        }
    }

    fn stop_serving_owners(&self) {
        if let Some(server) = self.releases.take() {
            server.stop();
        }
    }
}

impl Linux {
    fn reports_for_owners(&self, guest: Guest) -> Result<Ask, &'static str> {
        let source = self.reports.get().ok_or("no report source was opened")?.clone();
        Ok(Box::new(move |data, until| guest.admit(source.report(data, until)?)))
    }

    /// The boot log, from any thread.
    fn sink(&self) -> Sink {
        let (start, kmsg) = (self.start, Mutex::new(OnceCell::new()));
        Box::new(move |level, line| {
            let kmsg = kmsg.lock().unwrap_or_else(PoisonError::into_inner);
            let ms = start.elapsed().as_millis();
            log::line(&kmsg, level, &format!("ravelin: [{ms:>5} ms] {line}"));
        })
    }
}
