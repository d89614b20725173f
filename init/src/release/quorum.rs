//! How many owners agree. Time is an argument; nothing here waits.
//!
//! One set of equal releases is collected at a time. A differing release is refused and
//! does not push the first one out; only the owner of a release can replace it by
//! another, and the set is wiped when its time is over. An owner counts from his
//! signature until then, also if his session is gone: what he signed is not taken back
//! by a broken connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::release::{self, Refusal, Release, Status};
use zeroize::Zeroizing;

use super::control::Control;
use crate::platform::Released;

/// What is collected.
pub(super) struct Quorum {
    need: u8,
    keep: Duration,
    retry: Duration,
    retry_at_most: Duration,
    phase: Phase,
    failures: u32,
    closed_until: Option<Instant>,
}

enum Phase {
    /// Nothing, or less than is needed.
    Collecting(Option<Set>),
    /// Enough, and PID 1 tries it: the release is with it.
    Trying(Vec<Member>),
    /// It opened everything, or serving is over.
    Over,
}

struct Set {
    release: Zeroizing<Vec<u8>>,
    expires: Instant,
    members: Vec<Member>,
}

/// An owner who agreed.
pub(super) struct Member {
    /// His index among the owners.
    pub(super) owner: usize,
    /// His key's fingerprint.
    pub(super) fingerprint: String,
    /// Where he waits for the answer.
    pub(super) session: Arc<Control>,
}

/// Why a release was not taken, for the session's last status.
pub(super) type Refused = (Refusal, String);

impl Quorum {
    /// `keep`: how long an incomplete set lives. After a release that did not open the
    /// volumes nothing is taken for `retry`, doubled with each, at most
    /// `retry_at_most`.
    pub(super) const fn new(
        need: u8,
        keep: Duration,
        retry: Duration,
        retry_at_most: Duration,
    ) -> Self {
        let phase = Phase::Collecting(None);
        Self { need, keep, retry, retry_at_most, phase, failures: 0, closed_until: None }
    }

    /// A verified release of an owner. Returns how many there are now; all members
    /// are told.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn offer(
        &mut self,
        member: Member,
        release: Zeroizing<Vec<u8>>,
        now: Instant,
    ) -> Result<u8, Refused> {
        self.expire(now);
        if let Some(left) = self.closed_until.and_then(|until| until.checked_duration_since(now))
            && !left.is_zero()
        {
            let text = format!("a release failed before; try again in {} s", left.as_secs() + 1);
            return Err((Refusal::Busy, text));
        }
        let set = match &mut self.phase {
            Phase::Collecting(set) => set,
            Phase::Trying(_) => {
                return Err((Refusal::Busy, "another release is being tried".to_owned()));
            }
            Phase::Over => return Err((Refusal::Busy, "the volumes are open already".to_owned())),
        };
        if let Some(set) = set {
            set.withdraw(member.owner);
        }
        if let Some(Set { release: first, members, .. }) = set
            && !members.is_empty()
            && !release::equal(first, &release)
        {
            self.tell();
            let text = "the release differs from that of the owners before";
            return Err((Refusal::Disagreement, text.to_owned()));
        }
        let expires = now.checked_add(self.keep).unwrap_or(now);
        match set {
            // The first one's time counts for the set.
            Some(set) if !set.members.is_empty() => set.members.push(member),
            _ => *set = Some(Set { release, expires, members: vec![member] }),
        }
        self.tell();
        Ok(self.have())
    }

    /// How many owners agree.
    fn have(&self) -> u8 {
        match &self.phase {
            Phase::Collecting(Some(set)) => u8::try_from(set.members.len()).unwrap_or(u8::MAX),
            Phase::Collecting(None) | Phase::Trying(_) | Phase::Over => 0,
        }
    }

    fn tell(&self) {
        let status = Status::Accepted { have: self.have(), need: self.need };
        if let Phase::Collecting(Some(set)) = &self.phase {
            set.members.iter().for_each(|member| member.session.tell(&status));
        }
    }

    /// When the set has to be looked at again.
    pub(super) fn expires(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Collecting(Some(set)) => Some(set.expires),
            Phase::Collecting(None) | Phase::Trying(_) | Phase::Over => None,
        }
    }

    /// Wipes a set whose time is over. Returns whether it did.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let over = self.have() < self.need && self.expires().is_some_and(|at| at <= now);
        if over {
            self.drop_set("not enough owners came in time");
        }
        over
    }

    fn drop_set(&mut self, why: &str) {
        if let Phase::Collecting(set) = &mut self.phase
            && let Some(set) = set.take()
        {
            let status = Status::refused(Refusal::Expired, why);
            set.members.iter().for_each(|member| member.session.tell(&status));
        }
    }

    /// The release, once enough owners agree. They wait for [`Quorum::answer`] then.
    pub(super) fn take(&mut self) -> Option<Released> {
        if self.have() < self.need {
            return None;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Collecting(None));
        let Phase::Collecting(Some(set)) = phase else {
            self.phase = phase;
            return None;
        };
        // It was read before it was offered.
        let release = Release::decode(&set.release).ok()?;
        let owners = set.members.iter().map(|member| member.fingerprint.clone()).collect();
        self.phase = Phase::Trying(set.members);
        Some(Released { release, owners })
    }

    /// What became of the release that was taken. After a refusal a new set may come,
    /// but not at once.
    pub(super) fn answer(&mut self, status: &Status, now: Instant) {
        let Phase::Trying(members) = &self.phase else { return };
        members.iter().for_each(|member| member.session.tell(status));
        match status {
            Status::Accepted { .. } => {}
            Status::Opened { .. } => self.phase = Phase::Over,
            Status::Refused { .. } => {
                let delay = self.retry.saturating_mul(1 << self.failures.min(16));
                self.failures = self.failures.saturating_add(1);
                self.closed_until = now.checked_add(delay.min(self.retry_at_most));
                self.phase = Phase::Collecting(None);
            }
        }
    }

    /// Nothing is taken any more; an incomplete set is wiped.
    pub(super) fn close(&mut self) {
        self.drop_set("the guest waits no longer");
        self.phase = Phase::Over;
    }
}

impl Set {
    /// An owner's earlier release makes room for his newer one.
    fn withdraw(&mut self, owner: usize) {
        let status = Status::refused(Refusal::Busy, "the same owner sent another release");
        self.members.retain(|member| {
            let stays = member.owner != owner;
            if !stays {
                member.session.tell(&status);
            }
            stays
        });
    }
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
