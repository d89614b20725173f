//! How many owners agree. Time is an argument; nothing here waits.
//!
//! Equal releases are collected in one set. An owner has one vote: his newer release
//! replaces his older one. So there are never more sets, and releases in memory, than
//! owners; and what one owner sends changes nothing for those who agree on another
//! release: not their set, not their time, and not when it is tried. An owner counts from
//! his signature until his time is over, also if his session is gone: what he signed is
//! not taken back by a broken connection.
//!
//! Sets that are complete are tried one after the other. After one that did not open the
//! volumes its owners have to wait for a time, and nobody else has to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::release::{self, DIGEST, Refusal, Release, Status};

use super::control::Control;
use crate::platform::Released;

/// What is collected.
pub(super) struct Quorum {
    need: u8,
    keep: Duration,
    retry: Duration,
    retry_at_most: Duration,
    phase: Phase,
    /// In the order in which they were begun; none is empty.
    sets: Vec<Set>,
    /// By owner.
    failures: BTreeMap<usize, Failures>,
}

enum Phase {
    /// PID 1 waits for a set that is complete.
    Waiting,
    /// PID 1 tries one: its release is there, until the boot goes on or it is refused.
    Trying(Tried),
    /// A release opened everything, or serving is over.
    Over,
}

struct Tried {
    digest: [u8; DIGEST],
    members: Vec<Member>,
}

struct Set {
    digest: [u8; DIGEST],
    release: Release,
    members: Vec<Member>,
}

/// An owner's releases that did not open the volumes.
struct Failures {
    count: u32,
    closed_until: Instant,
}

/// An owner who agreed.
struct Member {
    /// His index among the owners.
    owner: usize,
    /// His key's fingerprint.
    fingerprint: String,
    /// Where he waits for the answer.
    session: Arc<Control>,
    /// Until when he counts.
    expires: Instant,
    /// Whether he has recorded the epochs of the volumes that it opened.
    recorded: bool,
}

/// What an owner signed, and who he is.
pub(super) struct Vote {
    /// His index among the owners.
    pub(super) owner: usize,
    /// His key's fingerprint.
    pub(super) fingerprint: String,
    /// Where he waits for the answer.
    pub(super) session: Arc<Control>,
    /// Of the encoded release.
    pub(super) digest: [u8; DIGEST],
    pub(super) release: Release,
}

/// How many owners there are after a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    /// For the same release.
    pub(super) have: u8,
    /// For other ones.
    pub(super) others: u8,
}

/// Why a release was not taken, for the session's last status.
pub(super) type Refused = (Refusal, String);

impl Quorum {
    /// `keep`: how long an owner counts while others are missing. Of those whose release did not open the
    /// volumes nothing is taken for `retry`, doubled with each, at most `retry_at_most`.
    pub(super) const fn new(
        need: u8,
        keep: Duration,
        retry: Duration,
        retry_at_most: Duration,
    ) -> Self {
        Self {
            need,
            keep,
            retry,
            retry_at_most,
            phase: Phase::Waiting,
            sets: Vec::new(),
            failures: BTreeMap::new(),
        }
    }

    /// A verified release of an owner. All who wait are told how many there are now.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) fn offer(&mut self, vote: Vote, now: Instant) -> Result<Count, Refused> {
        self.expire(now);
        let Vote { owner, fingerprint, session, digest, release } = vote;
        if let Phase::Over = self.phase {
            return Err((Refusal::Busy, "the volumes are open already".to_owned()));
        }
        if let Some(left) = self.closed_for(owner, now) {
            let text = format!("your release failed before; try again in {} s", left.as_secs() + 1);
            return Err((Refusal::Busy, text));
        }
        if let Phase::Trying(tried) = &self.phase
            && tried.members.iter().any(|member| member.owner == owner)
        {
            return Err((Refusal::Busy, "your release is being tried".to_owned()));
        }
        self.withdraw(owner);
        let expires = now.checked_add(self.keep).unwrap_or(now);
        let member = Member { owner, fingerprint, session, expires, recorded: false };
        let equal = self.sets.iter_mut().find(|set| release::equal(&set.digest, &digest));
        let have = if let Some(set) = equal {
            set.members.push(member);
            count(&set.members)
        } else {
            self.sets.push(Set { digest, release, members: vec![member] });
            1
        };
        self.tell();
        Ok(Count { have, others: self.votes().saturating_sub(have) })
    }

    /// How long nothing is taken of an owner yet.
    fn closed_for(&self, owner: usize, now: Instant) -> Option<Duration> {
        let until = self.failures.get(&owner)?.closed_until;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// An owner's earlier release makes room for his newer one.
    fn withdraw(&mut self, owner: usize) {
        let status = Status::refused(Refusal::Busy, "the same owner sent another release");
        for set in &mut self.sets {
            for earlier in set.members.extract_if(.., |member| member.owner == owner) {
                earlier.session.tell(&status);
            }
        }
        self.sets.retain(|set| !set.members.is_empty());
    }

    /// How many owners wait in sets.
    fn votes(&self) -> u8 {
        self.sets.iter().fold(0, |votes, set| count(&set.members).saturating_add(votes))
    }

    fn accepted(&self, count: Count) -> Status {
        Status::Accepted { have: count.have, need: self.need, others: count.others }
    }

    fn tell(&self) {
        let votes = self.votes();
        for set in &self.sets {
            let have = count(&set.members);
            set.tell(&self.accepted(Count { have, others: votes.saturating_sub(have) }));
        }
    }

    /// When the sets have to be looked at again.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.sets.iter().flat_map(|set| &set.members).map(|member| member.expires).min()
    }

    /// Owners whose time is over leave incomplete sets; empty sets are wiped. Returns
    /// whether somebody left.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let status = Status::refused(Refusal::Expired, "not enough owners came in time");
        let mut some = false;
        for set in self.sets.iter_mut().filter(|set| count(&set.members) < self.need) {
            for member in set.members.extract_if(.., |member| member.expires <= now) {
                member.session.tell(&status);
                some = true;
            }
        }
        if some {
            self.sets.retain(|set| !set.members.is_empty());
            self.tell();
        }
        some
    }

    /// The release of the first set that is complete. Its owners wait for
    /// [`Quorum::answer`] then.
    pub(super) fn take(&mut self) -> Option<Released> {
        let Phase::Waiting = self.phase else { return None };
        let complete = self.sets.iter().position(|set| count(&set.members) >= self.need)?;
        let Set { digest, release, members } = self.sets.remove(complete);
        let owners = members.iter().map(|member| member.fingerprint.clone()).collect();
        self.phase = Phase::Trying(Tried { digest, members });
        Some(Released { release, owners })
    }

    /// The owner of this session has recorded the epochs of the release that is tried.
    pub(super) fn record(&mut self, session: &Arc<Control>) {
        let Phase::Trying(tried) = &mut self.phase else { return };
        let of_session = |member: &&mut Member| Arc::ptr_eq(&member.session, session);
        tried.members.iter_mut().filter(of_session).for_each(|member| member.recorded = true);
    }

    /// Whether an owner whose session is not over has yet to record the epochs.
    pub(super) fn awaits_records(&self) -> bool {
        self.tried().iter().any(|member| !member.recorded && !member.session.is_stopped())
    }

    /// Whether an owner has recorded the epochs.
    pub(super) fn is_recorded(&self) -> bool {
        self.tried().iter().any(|member| member.recorded)
    }

    fn tried(&self) -> &[Member] {
        match &self.phase {
            Phase::Trying(tried) => &tried.members,
            Phase::Waiting | Phase::Over => &[],
        }
    }

    /// What became of the release that was taken. After a refusal the next set is tried;
    /// the owners of this one may come again, but not at once.
    pub(super) fn answer(&mut self, status: &Status, now: Instant) {
        let Phase::Trying(tried) = &self.phase else { return };
        tried.members.iter().for_each(|member| member.session.tell(status));
        match status {
            Status::Accepted { .. } | Status::Opened { .. } => {}
            Status::Booting => {
                let opened = tried.digest;
                let late = |set: &mut Set| release::equal(&set.digest, &opened);
                let status = Status::refused(Refusal::Busy, "the volumes are open already");
                self.sets.extract_if(.., late).for_each(|set| set.tell(&status));
                let text = "the volumes were opened by owners who agree on another release";
                self.end(&Status::refused(Refusal::Disagreement, text));
            }
            // Nothing is wrong with the release.
            Status::Refused { why: Refusal::Unrecorded, .. } => self.phase = Phase::Waiting,
            Status::Refused { .. } => {
                for member in &tried.members {
                    let before = self.failures.get(&member.owner).map_or(0, |before| before.count);
                    let delay = self.retry.saturating_mul(1 << before.min(16));
                    let delay = delay.min(self.retry_at_most);
                    let closed_until = now.checked_add(delay).unwrap_or(now);
                    let failures = Failures { count: before.saturating_add(1), closed_until };
                    self.failures.insert(member.owner, failures);
                }
                self.phase = Phase::Waiting;
            }
        }
    }

    /// Nothing is taken any more; incomplete sets are wiped.
    pub(super) fn close(&mut self) {
        self.end(&Status::refused(Refusal::Expired, "the guest waits no longer"));
    }

    fn end(&mut self, status: &Status) {
        self.sets.drain(..).for_each(|set| set.tell(status));
        self.phase = Phase::Over;
    }
}

impl Set {
    fn tell(&self, status: &Status) {
        self.members.iter().for_each(|member| member.session.tell(status));
    }
}

/// There are at most 32 owners.
fn count(members: &[Member]) -> u8 {
    u8::try_from(members.len()).unwrap_or(u8::MAX)
}

#[cfg(test)]
#[path = "quorum_tests.rs"]
mod tests;
