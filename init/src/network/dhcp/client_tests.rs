//! The client against a scripted server, with a clock that is only set.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::client::To;
use super::server::{Answer, Question};
use super::*;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 15);
const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

type Random = Box<dyn FnMut() -> u32>;

/// A client, the time, and what it sent and was told.
struct Bench {
    client: Client<Random>,
    now: Duration,
    wake: Duration,
    sent: Vec<(u64, To, Question)>,
    changes: Vec<(u64, Change)>,
}

impl Bench {
    fn new() -> Self {
        let mut next = 1000_u32;
        // No jitter in the tries, and another number each time.
        let random = move || {
            next += 2001;
            next
        };
        let client = Client::new(MAC, Box::new(random) as Random);
        let (sent, changes) = (Vec::new(), Vec::new());
        let mut bench = Self { client, now: Duration::ZERO, wake: Duration::ZERO, sent, changes };
        bench.poll();
        bench
    }

    fn poll(&mut self) {
        let step = self.client.poll(self.now);
        assert!(step.wake > self.now, "the client would spin at {:?}", self.now);
        self.wake = step.wake;
        let at = self.now.as_secs();
        self.sent.extend(step.send.map(|(to, query)| (at, to, Question(query.encode()))));
        self.changes.extend(step.change.map(|change| (at, change)));
    }

    /// Lets the time go on to `seconds`, with nobody answering.
    fn silence(&mut self, seconds: u64) {
        let until = Duration::from_secs(seconds);
        while self.wake <= until {
            self.now = self.wake;
            self.poll();
        }
        self.now = until;
        self.poll();
    }

    fn last(&self) -> &Question {
        &self.sent.last().unwrap().2
    }

    /// A datagram comes.
    fn give(&mut self, answer: &Answer) -> Result<(), RefusedReply> {
        let change = self.client.receive(self.now, &answer.encode())?;
        self.changes.extend(change.map(|change| (self.now.as_secs(), change)));
        self.poll();
        Ok(())
    }

    fn answer(&mut self, kind: u8, address: Ipv4Addr) -> Result<(), RefusedReply> {
        let answer = Answer::new(self.last(), kind, address);
        self.give(&answer)
    }

    /// What was sent since the last call: second, message type, whether it was a broadcast.
    fn take_sent(&mut self) -> Vec<(u64, u8, bool)> {
        let row =
            |(at, to, question): (u64, To, Question)| (at, question.kind(), to == To::Broadcast);
        let last = self.sent.last().cloned();
        let rows = self.sent.drain(..).map(row).collect();
        self.sent.extend(last);
        rows
    }

    /// The usual way to a lease.
    fn bound() -> Self {
        let mut bench = Self::new();
        bench.answer(OFFER, ADDRESS).unwrap();
        bench.answer(ACK, ADDRESS).unwrap();
        bench.sent.clear();
        bench
    }

    fn lost(&self) -> Vec<u64> {
        self.changes.iter().filter(|(_, change)| *change == Change::Lost).map(|row| row.0).collect()
    }
}

#[test]
fn a_lease_in_four_messages() {
    let mut bench = Bench::new();
    assert_eq!(bench.last().kind(), DISCOVER);
    bench.answer(OFFER, ADDRESS).unwrap();
    assert_eq!(bench.last().kind(), REQUEST);
    assert_eq!(bench.last().option(50).unwrap(), ADDRESS.octets());
    assert_eq!(bench.last().option(54).unwrap(), SERVER.octets());
    assert_eq!(bench.changes, []);
    bench.answer(ACK, ADDRESS).unwrap();
    let [(0, Change::Bound(lease))] = bench.changes[..] else { panic!("{:?}", bench.changes) };
    assert_eq!((lease.address, lease.prefix, lease.router), (ADDRESS, 24, Some(SERVER)));
    assert_eq!(bench.sent.len(), 2);
    // Nothing more until T1.
    bench.silence(1799);
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn nobody_answers() {
    let mut bench = Bench::new();
    bench.silence(200);
    let times: Vec<u64> = bench.sent.iter().map(|row| row.0).collect();
    assert_eq!(times, [0, 4, 12, 28, 60, 124, 188]);
    assert!(bench.sent.iter().all(|row| row.2.kind() == DISCOVER && row.2.wants_broadcast()));
    assert_eq!(bench.client.progress().to_string(), "7 messages were sent, none was answered");
}

#[test]
fn an_offer_that_is_not_confirmed_is_given_up() {
    let mut bench = Bench::new();
    bench.answer(OFFER, ADDRESS).unwrap();
    bench.silence(29);
    let kinds = bench.take_sent();
    let request = |at| (at, REQUEST, true);
    assert_eq!(
        kinds,
        [(0, DISCOVER, true), request(0), request(4), request(12), (29, DISCOVER, true)]
    );
    let text = bench.client.progress().to_string();
    assert!(text.ends_with("192.0.2.15 was offered and not given by 192.0.2.1"), "{text}");
}

#[test]
fn more_time_is_asked_of_the_server_then_of_all_then_it_ends() {
    let mut bench = Bench::bound();
    bench.silence(3599);
    // T1 is 1800, T2 3150: half of what is left, but not below a minute.
    assert_eq!(
        bench.take_sent(),
        [
            (1800, REQUEST, false),
            (2475, REQUEST, false),
            (2812, REQUEST, false),
            (2981, REQUEST, false),
            (3065, REQUEST, false),
            (3125, REQUEST, false),
            (3150, REQUEST, true),
            (3375, REQUEST, true),
            (3487, REQUEST, true),
            (3547, REQUEST, true),
        ]
    );
    assert_eq!(bench.last().0[12..16], ADDRESS.octets());
    assert_eq!(bench.lost(), [0; 0]);
    bench.silence(3600);
    assert_eq!(bench.lost(), [3600]);
    bench.silence(3601);
    assert_eq!(bench.last().kind(), DISCOVER);
    assert_eq!(bench.sent.last().unwrap().0, 3601);
}

#[test]
fn an_extended_lease_counts_from_the_question() {
    let mut bench = Bench::bound();
    bench.silence(1805);
    assert_eq!(bench.sent.last().unwrap().1, To::Server(SERVER));
    bench.answer(ACK, ADDRESS).unwrap();
    bench.silence(5399);
    assert_eq!(bench.lost(), [0; 0]);
    bench.silence(5400);
    assert_eq!(bench.lost(), [5400]);

    // While rebinding, another server may give it.
    let mut bench = Bench::bound();
    bench.silence(3150);
    let answer = Answer::new(bench.last(), ACK, ADDRESS).with(54, &OTHER.octets());
    bench.give(&answer).unwrap();
    assert!(
        matches!(bench.changes.last(), Some((_, Change::Bound(lease))) if lease.server == OTHER)
    );
}

#[test]
fn an_answer_out_of_turn_changes_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.answer(ACK, ADDRESS), Err(RefusedReply::Unasked));
    assert_eq!(bench.answer(NAK, ADDRESS), Err(RefusedReply::Unasked));
    let discover = bench.last().clone();
    bench.answer(OFFER, ADDRESS).unwrap();
    // A second offer, another address, another server.
    assert_eq!(bench.answer(OFFER, OTHER), Err(RefusedReply::NotOurs));
    assert_eq!(bench.answer(ACK, OTHER), Err(RefusedReply::Unasked));
    for kind in [ACK, NAK] {
        let answer = Answer::new(&discover, kind, ADDRESS).with(54, &OTHER.octets());
        assert_eq!(bench.give(&answer), Err(RefusedReply::Unasked));
    }
    assert_eq!(bench.changes, []);
    bench.answer(ACK, ADDRESS).unwrap();
    // Not before it is asked.
    let late = Answer::new(bench.last(), NAK, ADDRESS);
    assert_eq!(bench.give(&late), Err(RefusedReply::NotOurs));
    bench.silence(1800);
    assert_eq!(bench.give(&late), Err(RefusedReply::NotOurs));
    assert_eq!(bench.answer(ACK, OTHER), Err(RefusedReply::Unasked));
    let stranger = Answer::new(bench.last(), NAK, ADDRESS).with(54, &OTHER.octets());
    assert_eq!(bench.give(&stranger), Err(RefusedReply::Unasked));
    assert_eq!(bench.changes.len(), 1);
}

#[test]
fn a_refusal_takes_the_address_and_starts_again_slower_each_time() {
    let mut bench = Bench::bound();
    bench.silence(1800);
    bench.answer(NAK, ADDRESS).unwrap();
    assert_eq!(bench.lost(), [1800]);
    bench.sent.clear();
    // A server that offers and takes back at once.
    let mut starts = Vec::new();
    for _ in 0..8 {
        bench.silence(bench.wake.as_secs());
        starts.push(bench.now.as_secs() - 1800);
        bench.answer(OFFER, ADDRESS).unwrap();
        bench.answer(NAK, ADDRESS).unwrap();
    }
    assert_eq!(starts, [1, 3, 7, 15, 31, 63, 127, 191]);
    let text = bench.client.progress().to_string();
    assert!(text.ends_with("the server took its offer back 8 times"), "{text}");
    // Once a lease has been extended, it is as at first.
    bench.silence(bench.wake.as_secs());
    bench.answer(OFFER, ADDRESS).unwrap();
    bench.answer(ACK, ADDRESS).unwrap();
    bench.silence(bench.wake.as_secs());
    bench.answer(ACK, ADDRESS).unwrap();
    bench.silence(bench.wake.as_secs());
    bench.answer(NAK, ADDRESS).unwrap();
    assert_eq!(bench.wake - bench.now, Duration::from_secs(1));
}

#[test]
fn a_bad_offer_is_named_and_the_next_is_taken() {
    let mut bench = Bench::new();
    let bad = Answer::new(bench.last(), OFFER, ADDRESS).with(51, &[0; 4]);
    for _ in 0..1000 {
        assert_eq!(bench.give(&bad), Err(RefusedReply::Term { seconds: 0 }));
    }
    assert_eq!(bench.sent.len(), 1);
    let text = bench.client.progress().to_string();
    assert!(text.contains("1 messages were sent") && text.contains("0 s is below 30 s"), "{text}");
    bench.answer(OFFER, ADDRESS).unwrap();
    bench.answer(ACK, ADDRESS).unwrap();
    assert_eq!(bench.changes.len(), 1);
}

#[test]
fn a_lease_for_ever_is_left_alone() {
    let mut bench = Bench::new();
    bench.answer(OFFER, ADDRESS).unwrap();
    let ever = Answer::new(bench.last(), ACK, ADDRESS).with(51, &[255; 4]);
    bench.give(&ever).unwrap();
    bench.silence(100_000_000);
    assert_eq!((bench.sent.len(), bench.lost()), (2, vec![]));
}

#[test]
fn a_lease_that_cannot_be_used_is_asked_for_again_later() {
    let mut bench = Bench::bound();
    bench.client.give_up(bench.now);
    bench.poll();
    assert_eq!(bench.sent.len(), 0);
    bench.silence(1);
    assert_eq!(bench.last().kind(), DISCOVER);
}

#[test]
fn whatever_is_said_a_message_gets_one_answer_at_most() {
    let mut state = 88_172_645_463_325_252_u64;
    let mut number = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) % below
    };
    let mut bench = Bench::new();
    let (mut given, mut polls) = (0_u64, 0_u64);
    for _ in 0..20_000 {
        if number(3) == 0 {
            bench.now = bench.wake.min(bench.now + Duration::from_millis(number(100_000)));
            bench.poll();
            polls += 1;
        }
        let kind = [OFFER, ACK, NAK, 1, 8][usize::try_from(number(5)).unwrap()];
        let address = if number(8) == 0 { OTHER } else { ADDRESS };
        let mut answer = Answer::new(bench.last(), kind, address);
        if number(2) == 0 {
            let end = u32::try_from(
                [0, 30, 31, 4000, u64::from(u32::MAX)][usize::try_from(number(5)).unwrap()],
            )
            .unwrap();
            let early = u32::try_from(number(40)).unwrap().to_be_bytes();
            answer = answer.with(51, &end.to_be_bytes()).with(58, &early).with(59, &early);
        }
        given += 1;
        let _refused = bench.give(&answer);
    }
    assert!(bench.sent.len() as u64 <= given + polls + 1);
    let bound = bench.changes.iter().filter(|(_, change)| matches!(change, Change::Bound(_)));
    assert!(bound.count() > 10 && bench.lost().len() > 10, "{}", bench.changes.len());
    // Not more than one message a second in the long run, whatever the server does.
    assert!(bench.sent.len() as u64 <= bench.now.as_secs() * 2 + 10, "{}", bench.sent.len());
}
