//! The client's states (RFC 2131, section 4.4 and figure 5).
//!
//! Times are since any moment that stays the same; whoever drives the client has the
//! clock and the socket. A server, or whoever answers in its place, can make the client
//! send at most one message for each of its own, and every start from the beginning
//! waits twice as long as the one before.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::lease::{Lease, Term};
use super::query::{Purpose, Query};
use super::reply::{RefusedReply, Reply};
use super::timing;

/// How long to sleep if nothing is to be done.
const IDLE: Duration = Duration::from_secs(3600);

/// What happened to the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This lease holds, or holds on; it may differ from the one before.
    Bound(Lease),
    /// There is no lease any more: the address must not be used.
    Lost,
}

/// Where a message goes, always to [`super::SERVER_PORT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// 255.255.255.255.
    Broadcast,
    /// The server of the lease, from the leased address.
    Server(Ipv4Addr),
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// A message to send.
    pub send: Option<(To, Query)>,
    /// What happened to the address.
    pub change: Option<Change>,
    /// When to ask again, if no datagram comes before.
    pub wake: Duration,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// INIT: nothing is said until then.
    Waiting { until: Duration },
    /// SELECTING.
    Selecting(Talk),
    /// REQUESTING what was offered.
    Requesting(Talk, Lease),
    /// BOUND, RENEWING or REBINDING.
    Holding(Holding),
}

/// One question that is said again until there is an answer.
#[derive(Debug, Clone, Copy)]
struct Talk {
    xid: u32,
    since: Duration,
    tries: u32,
    again: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Holding {
    lease: Lease,
    /// When its request was sent.
    since: Duration,
    /// The last question for more time.
    asked: Option<Asked>,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    phase: Phase,
    xid: u32,
    at: Duration,
    again: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Renewing,
    Rebinding,
}

/// How far the client has come: for the message if it takes too long.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    sent: u32,
    offered: Option<Lease>,
    naks: u32,
    refused: Option<RefusedReply>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages were sent, ", self.sent)?;
        match (self.refused, self.naks, self.offered) {
            (Some(refused), ..) => write!(f, "the last answer is refused: {refused}"),
            (None, 0, None) => write!(f, "none was answered"),
            (None, 0, Some(lease)) => {
                write!(f, "{} was offered and not given by {}", lease.address, lease.server)
            }
            (None, naks, _) => write!(f, "the server took its offer back {naks} times"),
        }
    }
}

/// The client. `R` gives random numbers; nothing secret depends on them.
#[derive(Debug)]
pub struct Client<R> {
    mac: [u8; 6],
    random: R,
    state: State,
    restarts: u32,
    progress: Progress,
}

impl<R: FnMut() -> u32> Client<R> {
    /// A client that starts at once.
    pub fn new(mac: [u8; 6], random: R) -> Self {
        let state = State::Waiting { until: Duration::ZERO };
        Self { mac, random, state, restarts: 0, progress: Progress::default() }
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// What is to be done at `now`. Asked again at the same time, nothing more.
    pub fn poll(&mut self, now: Duration) -> Step {
        if let State::Waiting { until } = self.state
            && now >= until
        {
            let xid = (self.random)();
            self.state = State::Selecting(Talk { xid, since: now, tries: 0, again: now });
        }
        match self.state {
            State::Waiting { until } => idle(until),
            State::Selecting(talk) if now < talk.again => idle(talk.again),
            State::Selecting(talk) => {
                let talk = self.said(talk, now);
                self.state = State::Selecting(talk);
                self.send(To::Broadcast, talk.xid, now - talk.since, Purpose::Discover, talk.again)
            }
            State::Requesting(talk, _) if now < talk.again => idle(talk.again),
            State::Requesting(talk, _) if talk.tries >= timing::REQUESTS => {
                idle(self.start_again(now))
            }
            State::Requesting(talk, lease) => {
                let talk = self.said(talk, now);
                self.state = State::Requesting(talk, lease);
                let purpose = Purpose::Select { address: lease.address, server: lease.server };
                self.send(To::Broadcast, talk.xid, now - talk.since, purpose, talk.again)
            }
            State::Holding(holding) => match holding.lease.term {
                Some(term) => self.hold(holding, term, now),
                None => idle(now + IDLE),
            },
        }
    }

    /// Takes a datagram that came to [`super::CLIENT_PORT`].
    ///
    /// # Errors
    /// [`RefusedReply`]: it changes nothing.
    pub fn receive(
        &mut self,
        now: Duration,
        datagram: &[u8],
    ) -> Result<Option<Change>, RefusedReply> {
        let taken = self.take(now, datagram);
        match taken {
            Err(RefusedReply::NotOurs) | Ok(_) => {}
            Err(refused) => self.progress.refused = Some(refused),
        }
        taken
    }

    /// Forgets the lease and starts again, after a while: the address cannot be used.
    pub fn give_up(&mut self, now: Duration) {
        self.start_again(now);
    }

    fn take(&mut self, now: Duration, datagram: &[u8]) -> Result<Option<Change>, RefusedReply> {
        match self.state {
            State::Waiting { .. } => Err(RefusedReply::NotOurs),
            State::Selecting(talk) => match Reply::read(datagram, talk.xid, self.mac)? {
                Reply::Offer(lease) => {
                    self.progress.offered = Some(lease);
                    let talk = Talk { tries: 0, again: now, since: now, ..talk };
                    self.state = State::Requesting(talk, lease);
                    Ok(None)
                }
                Reply::Ack(_) | Reply::Nak(_) => Err(RefusedReply::Unasked),
            },
            State::Requesting(talk, offer) => match Reply::read(datagram, talk.xid, self.mac)? {
                Reply::Ack(lease) if same(&lease, &offer) && lease.server == offer.server => {
                    Ok(Some(self.bound(lease, talk.since)))
                }
                Reply::Nak(server) if server == offer.server => {
                    self.progress.naks = self.progress.naks.saturating_add(1);
                    self.start_again(now);
                    Ok(None)
                }
                // Others may have offered as well: not worth a word.
                Reply::Offer(_) => Err(RefusedReply::NotOurs),
                Reply::Ack(_) | Reply::Nak(_) => Err(RefusedReply::Unasked),
            },
            State::Holding(Holding { asked: None, .. }) => Err(RefusedReply::NotOurs),
            State::Holding(Holding { asked: Some(asked), lease: held, .. }) => {
                let reply = Reply::read(datagram, asked.xid, self.mac)?;
                let from = |server| asked.phase == Phase::Rebinding || server == held.server;
                match reply {
                    Reply::Ack(lease) if same(&lease, &held) && from(lease.server) => {
                        self.restarts = 0;
                        Ok(Some(self.bound(lease, asked.at)))
                    }
                    Reply::Nak(server) if from(server) => {
                        self.start_again(now);
                        Ok(Some(Change::Lost))
                    }
                    Reply::Offer(_) | Reply::Ack(_) | Reply::Nak(_) => Err(RefusedReply::Unasked),
                }
            }
        }
    }

    fn hold(&mut self, mut holding: Holding, term: Term, now: Duration) -> Step {
        let (end, rebind) = (holding.since + term.end, holding.since + term.rebind);
        if now >= end {
            let step = idle(self.start_again(now));
            return Step { change: Some(Change::Lost), ..step };
        }
        let (phase, until, to) = if now >= rebind {
            (Phase::Rebinding, end, To::Broadcast)
        } else if now >= holding.since + term.renew {
            (Phase::Renewing, rebind, To::Server(holding.lease.server))
        } else {
            return idle(holding.since + term.renew);
        };
        if let Some(asked) = holding.asked.filter(|asked| asked.phase == phase)
            && now < asked.again
        {
            return idle(asked.again);
        }
        let xid = (self.random)();
        let again = now + timing::renewal(until - now);
        holding.asked = Some(Asked { phase, xid, at: now, again });
        self.state = State::Holding(holding);
        let purpose = Purpose::Extend { address: holding.lease.address };
        self.send(to, xid, Duration::ZERO, purpose, again)
    }

    fn bound(&mut self, lease: Lease, since: Duration) -> Change {
        self.state = State::Holding(Holding { lease, since, asked: None });
        Change::Bound(lease)
    }

    /// Back to the beginning; returns when that is.
    fn start_again(&mut self, now: Duration) -> Duration {
        let until = now + timing::restart(self.restarts);
        self.restarts = self.restarts.saturating_add(1);
        self.state = State::Waiting { until };
        until
    }

    fn said(&mut self, talk: Talk, now: Duration) -> Talk {
        let again = now + timing::retry(talk.tries, (self.random)());
        Talk { tries: talk.tries.saturating_add(1), again, ..talk }
    }

    fn send(
        &mut self,
        to: To,
        xid: u32,
        since: Duration,
        purpose: Purpose,
        wake: Duration,
    ) -> Step {
        self.progress.sent = self.progress.sent.saturating_add(1);
        let query = Query { mac: self.mac, xid, since, purpose };
        Step { send: Some((to, query)), change: None, wake }
    }
}

/// The address is what was asked for: a server that changes it is asked again instead.
fn same(given: &Lease, asked: &Lease) -> bool {
    given.address == asked.address
}

const fn idle(wake: Duration) -> Step {
    Step { send: None, change: None, wake }
}
