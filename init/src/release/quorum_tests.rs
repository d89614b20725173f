use protocol::release::{ReleasedKey, ReleasedVolume, VolumeName};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const KEEP: Duration = Duration::from_secs(100);

fn release(secret: u8) -> Zeroizing<Vec<u8>> {
    let key = ReleasedKey::Spec { spec: [5; 96], secret: Zeroizing::new([secret; 32]) };
    let volume = ReleasedVolume { name: VolumeName::root(), key, min_epoch: 0, provision: false };
    Release::new(vec![volume]).unwrap().encode()
}

fn quorum(need: u8) -> Quorum {
    Quorum::new(need, KEEP, SECOND, SECOND * 30)
}

fn member(owner: usize) -> (Member, Arc<Control>) {
    let session = Arc::new(Control::new().unwrap());
    (Member { owner, fingerprint: owner.to_string(), session: Arc::clone(&session) }, session)
}

/// Offers; what the quorum says, and the session.
fn offer(
    quorum: &mut Quorum,
    owner: usize,
    secret: u8,
    now: Instant,
) -> (Result<u8, Refusal>, Arc<Control>) {
    let (member, session) = member(owner);
    (quorum.offer(member, release(secret), now).map_err(|(why, _)| why), session)
}

fn refusal(session: &Control) -> Option<Refusal> {
    match session.told() {
        Some(Status::Refused { why, .. }) => Some(why),
        _ => None,
    }
}

#[test]
fn only_distinct_owners_of_equal_releases_count() {
    let (mut quorum, now) = (quorum(3), Instant::now());
    assert_eq!(offer(&mut quorum, 0, 1, now).0, Ok(1));
    assert_eq!(offer(&mut quorum, 0, 1, now).0, Ok(1));
    assert_eq!(offer(&mut quorum, 1, 2, now).0, Err(Refusal::Disagreement));
    assert_eq!(offer(&mut quorum, 1, 1, now).0, Ok(2));
    assert!(quorum.take().is_none());
    // Who takes his word back does not count any more.
    assert_eq!(offer(&mut quorum, 1, 2, now).0, Err(Refusal::Disagreement));
    let (counted, session) = offer(&mut quorum, 2, 1, now);
    assert_eq!(counted, Ok(2));
    assert!(quorum.take().is_none());
    assert_eq!(offer(&mut quorum, 4, 1, now).0, Ok(3));
    assert_eq!(session.told(), Some(Status::Accepted { have: 3, need: 3 }));
    assert_eq!(quorum.take().unwrap().owners, ["0", "2", "4"]);
    assert!(quorum.take().is_none());
}

#[test]
fn a_set_lives_as_long_as_its_first_release() {
    let (mut quorum, now) = (quorum(3), Instant::now());
    let (_, first) = offer(&mut quorum, 0, 1, now);
    let (_, second) = offer(&mut quorum, 1, 1, now + SECOND * 60);
    assert_eq!(quorum.expires(), Some(now + KEEP));
    assert!(!quorum.expire(now + KEEP - SECOND));
    assert!(quorum.expire(now + KEEP));
    assert_eq!(
        (refusal(&first), refusal(&second)),
        (Some(Refusal::Expired), Some(Refusal::Expired))
    );
    // An offer looks at the time as well.
    let later = now + KEEP * 2;
    assert_eq!(offer(&mut quorum, 0, 1, later).0, Ok(1));
    assert_eq!(offer(&mut quorum, 1, 2, later + KEEP).0, Ok(1));
}

#[test]
fn enough_owners_do_not_expire() {
    let (mut quorum, now) = (quorum(1), Instant::now());
    assert_eq!(offer(&mut quorum, 0, 1, now).0, Ok(1));
    assert!(!quorum.expire(now + KEEP * 2));
    assert!(quorum.take().is_some());
}

#[test]
fn each_failure_doubles_the_delay() {
    let (mut quorum, mut now) = (quorum(1), Instant::now());
    for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
        let (counted, session) = offer(&mut quorum, 0, 1, now);
        assert_eq!(counted, Ok(1));
        assert_eq!(session.told(), Some(Status::Accepted { have: 1, need: 1 }));
        assert!(quorum.take().is_some());
        assert_eq!(offer(&mut quorum, 1, 1, now).0, Err(Refusal::Busy));
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
    let status = Status::Opened { epochs: Vec::new() };
    opened.answer(&status, now);
    opened.close();
    assert_eq!(session.told(), Some(status));
    assert_eq!(offer(&mut opened, 1, 1, now).0, Err(Refusal::Busy));

    let mut closed = quorum(2);
    let (_, session) = offer(&mut closed, 0, 1, now);
    closed.close();
    assert_eq!(refusal(&session), Some(Refusal::Expired));
    assert_eq!(offer(&mut closed, 1, 1, now).0, Err(Refusal::Busy));
}
