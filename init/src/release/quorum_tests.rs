use protocol::release::{ReleasedKey, ReleasedVolume, VolumeName};
use zeroize::Zeroizing;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const KEEP: Duration = Duration::from_secs(100);

fn release(secret: u8) -> Release {
    let key = ReleasedKey::Spec { spec: [5; 96], secret: Zeroizing::new([secret; 32]) };
    let volume = ReleasedVolume { name: VolumeName::root(), key, min_epoch: 0, provision: false };
    Release::new(vec![volume]).unwrap()
}

fn quorum(need: u8) -> Quorum {
    Quorum::new(need, KEEP, SECOND, SECOND * 30)
}

/// Offers; what the quorum says, and the session.
fn offer(
    quorum: &mut Quorum,
    owner: usize,
    secret: u8,
    now: Instant,
) -> (Result<(u8, u8), Refusal>, Arc<Control>) {
    let session = Arc::new(Control::new().unwrap());
    let (release, waiting) = (release(secret), Arc::clone(&session));
    let digest = protocol::release::digest(&release.encode());
    let vote = Vote { owner, fingerprint: owner.to_string(), session, digest, release };
    let counted = quorum.offer(vote, now).map(|count| (count.have, count.others));
    (counted.map_err(|(why, _)| why), waiting)
}

fn refusal(session: &Control) -> Option<Refusal> {
    match session.told() {
        Some(Status::Refused { why, .. }) => Some(why),
        _ => None,
    }
}

/// The secret that is tried, and by whom.
fn taken(quorum: &mut Quorum) -> Option<(u8, Vec<String>)> {
    let Released { release, owners } = quorum.take()?;
    match &release.volumes()[0].key {
        ReleasedKey::Spec { secret, .. } => Some((secret[0], owners)),
        ReleasedKey::Luks { .. } => None,
    }
}

fn owners(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn only_distinct_owners_of_equal_releases_count() {
    let (mut quorum, now) = (quorum(3), Instant::now());
    assert_eq!(offer(&mut quorum, 0, 1, now).0, Ok((1, 0)));
    assert_eq!(offer(&mut quorum, 0, 1, now).0, Ok((1, 0)));
    assert_eq!(offer(&mut quorum, 1, 2, now).0, Ok((1, 1)));
    assert_eq!(offer(&mut quorum, 1, 1, now).0, Ok((2, 0)));
    assert_eq!(taken(&mut quorum), None);
    // Who changes his word does not count for the old one any more.
    let (counted, changed) = offer(&mut quorum, 1, 2, now);
    assert_eq!(counted, Ok((1, 1)));
    let (counted, session) = offer(&mut quorum, 2, 1, now);
    assert_eq!(counted, Ok((2, 1)));
    assert_eq!(taken(&mut quorum), None);
    assert_eq!(offer(&mut quorum, 4, 1, now).0, Ok((3, 1)));
    assert_eq!(session.told(), Some(Status::Accepted { have: 3, need: 3, others: 1 }));
    assert_eq!(taken(&mut quorum), Some((1, owners(&["0", "2", "4"]))));
    assert_eq!(taken(&mut quorum), None);
    quorum.answer(&Status::Booting, now);
    assert_eq!(refusal(&changed), Some(Refusal::Disagreement));
    assert!(quorum.sets.is_empty());
}

/// There are never more releases in memory than owners, whatever they send.
#[test]
fn an_owner_has_one_release() {
    let (mut quorum, now) = (quorum(2), Instant::now());
    let mut earlier: Option<Arc<Control>> = None;
    for secret in 0..100 {
        let (counted, session) = offer(&mut quorum, 0, secret, now);
        assert_eq!(counted, Ok((1, 0)));
        assert_eq!(quorum.sets.len(), 1);
        if let Some(earlier) = earlier.replace(session) {
            assert_eq!(refusal(&earlier), Some(Refusal::Busy));
        }
    }
}

/// What one sends does not touch the others' time, nor when they may come again.
#[test]
fn sets_are_apart() {
    let (mut quorum, now) = (quorum(2), Instant::now());
    let (_, stranger) = offer(&mut quorum, 0, 9, now);
    let (_, first) = offer(&mut quorum, 1, 1, now + SECOND * 50);
    assert!(quorum.expire(now + KEEP));
    assert_eq!(refusal(&stranger), Some(Refusal::Expired));
    assert_eq!(first.told(), Some(Status::Accepted { have: 1, need: 2, others: 0 }));
    let now = now + KEEP;
    // Two are wrong; two others agree while that is tried.
    assert_eq!(offer(&mut quorum, 2, 9, now).0, Ok((1, 1)));
    assert_eq!(offer(&mut quorum, 0, 9, now).0, Ok((2, 1)));
    assert_eq!(taken(&mut quorum), Some((9, owners(&["2", "0"]))));
    assert_eq!(offer(&mut quorum, 0, 8, now).0, Err(Refusal::Busy));
    assert_eq!(offer(&mut quorum, 3, 1, now).0, Ok((2, 0)));
    assert_eq!(taken(&mut quorum), None, "one at a time");
    quorum.answer(&Status::refused(Refusal::NotOpened, "wrong"), now);
    assert_eq!(offer(&mut quorum, 0, 9, now).0, Err(Refusal::Busy));
    assert_eq!(offer(&mut quorum, 5, 2, now).0, Ok((1, 2)));
    assert_eq!(taken(&mut quorum), Some((1, owners(&["1", "3"]))));
}

#[test]
fn who_agrees_too_late_is_told_so() {
    let (mut quorum, now) = (quorum(1), Instant::now());
    assert_eq!(offer(&mut quorum, 0, 1, now).0, Ok((1, 0)));
    assert!(taken(&mut quorum).is_some());
    let (counted, late) = offer(&mut quorum, 1, 1, now);
    assert_eq!(counted, Ok((1, 0)));
    quorum.answer(&Status::Booting, now);
    assert_eq!(refusal(&late), Some(Refusal::Busy));
}

#[test]
fn an_owner_counts_for_a_time_from_his_own_release_on() {
    let (mut quorum, now) = (quorum(3), Instant::now());
    let (_, first) = offer(&mut quorum, 0, 1, now);
    let (_, second) = offer(&mut quorum, 1, 1, now + SECOND * 60);
    assert_eq!(quorum.expires(), Some(now + KEEP));
    assert!(!quorum.expire(now + KEEP - SECOND));
    // Nobody's time is cut by who came before.
    assert!(quorum.expire(now + KEEP));
    assert_eq!(refusal(&first), Some(Refusal::Expired));
    assert_eq!(second.told(), Some(Status::Accepted { have: 1, need: 3, others: 0 }));
    assert_eq!(quorum.expires(), Some(now + KEEP + SECOND * 60));
    // An offer looks at the time as well; what nobody stands for is gone.
    let later = now + KEEP * 2;
    assert_eq!(offer(&mut quorum, 0, 2, later).0, Ok((1, 0)));
    assert_eq!(refusal(&second), Some(Refusal::Expired));
    assert_eq!(quorum.sets.len(), 1);
}

#[test]
fn enough_owners_do_not_expire() {
    let (mut quorum, now) = (quorum(1), Instant::now());
    assert_eq!(offer(&mut quorum, 0, 1, now).0, Ok((1, 0)));
    assert!(!quorum.expire(now + KEEP * 2));
    assert!(quorum.take().is_some());
}

#[test]
fn each_failure_doubles_the_delay() {
    let (mut quorum, mut now) = (quorum(1), Instant::now());
    for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
        let (counted, session) = offer(&mut quorum, 0, 1, now);
        assert_eq!(counted, Ok((1, 0)));
        let accepted = Status::Accepted { have: 1, need: 1, others: 0 };
        assert_eq!(session.told(), Some(accepted));
        assert!(quorum.take().is_some());
        quorum.answer(&Status::refused(Refusal::NotOpened, "wrong"), now);
        assert_eq!(refusal(&session), Some(Refusal::NotOpened));
        let early = now + SECOND * seconds - Duration::from_millis(1);
        assert_eq!(offer(&mut quorum, 0, 1, early).0, Err(Refusal::Busy));
        now += SECOND * seconds;
    }
}

#[test]
fn nothing_is_taken_after_the_end() {
    let now = Instant::now();
    let mut opened = quorum(1);
    let (_, session) = offer(&mut opened, 0, 1, now);
    assert!(opened.take().is_some());
    opened.answer(&Status::Booting, now);
    opened.close();
    assert_eq!(session.told(), Some(Status::Booting));
    assert_eq!(offer(&mut opened, 1, 1, now).0, Err(Refusal::Busy));

    let mut closed = quorum(2);
    let (_, session) = offer(&mut closed, 0, 1, now);
    closed.close();
    assert_eq!(refusal(&session), Some(Refusal::Expired));
    assert_eq!(offer(&mut closed, 1, 1, now).0, Err(Refusal::Busy));
}
