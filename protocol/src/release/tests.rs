//! Everything comes back, and nothing else is accepted.

use zeroize::Zeroizing;

use super::*;
use crate::responder::REPORT;

fn release() -> Release {
    let root = ReleasedVolume {
        name: VolumeName::root(),
        key: ReleasedKey::Spec { spec: [0x33; SPEC], secret: Zeroizing::new([0x11; SECRET]) },
        min_epoch: 7,
        provision: false,
    };
    let data = ReleasedVolume {
        name: "data".parse().unwrap(),
        key: ReleasedKey::Luks {
            header_sha256: [0x44; 32],
            passphrase: Zeroizing::new(b"correct horse".to_vec()),
        },
        min_epoch: 0,
        provision: true,
    };
    Release::new(vec![root, data]).unwrap()
}

fn statuses() -> [Status; 4] {
    [
        Status::Accepted { have: 1, need: 2, others: 1 },
        Status::Opened { epochs: vec![("data".parse().unwrap(), 0), (VolumeName::root(), 8)] },
        Status::refused(Refusal::NotOpened, "volume root: wrong key\n"),
        Status::Booting,
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The vectors of `docs/formats.md`.
#[test]
fn the_documented_vectors_hold() {
    let page = include_str!("../../../docs/formats.md");
    let encoded = release().encode();
    let vectors = [
        hex(&encoded),
        hex(&statement(&[0x22; 32], &encoded)),
        hex(&statuses()[0].encode()),
        hex(&statuses()[1].encode()),
        hex(&statuses()[2].encode()),
        format!("booting    {}", hex(&statuses()[3].encode())),
        format!("recorded   {}", hex(&frame(FrameType::Recorded, &[]))),
    ];
    for vector in vectors {
        assert!(page.contains(&vector), "docs/formats.md lacks {vector}");
    }
}

#[test]
fn a_release_comes_back_and_every_cut_is_refused() {
    let encoded = release().encode();
    assert!(Release::decode(&encoded).unwrap() == release());
    for length in 0..encoded.len() {
        assert!(Release::decode(&encoded[..length]).is_err(), "{length}");
    }
}

/// One content has one encoding: whatever is accepted encodes to the same bytes.
#[test]
fn every_changed_bit_is_refused_or_another_release() {
    let encoded = release().encode();
    for bit in 0..encoded.len() * 8 {
        let mut changed = encoded.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Release::decode(&changed) {
            assert!(other != release(), "bit {bit}");
            assert_eq!(other.encode().as_slice(), changed, "bit {bit}");
        }
        assert!(!equal(&encoded, &changed));
    }
    assert!(equal(&encoded, &encoded.clone()));
}

#[test]
fn volumes_have_names_and_are_there_once() {
    for name in ["", "Root", "1a", "-", "a.b", &"a".repeat(MAX_NAME + 1)] {
        assert_eq!(name.parse::<VolumeName>(), Err(ReleaseError::Name), "{name}");
    }
    let volume = || release().volumes.remove(0);
    let twice = Release::new(vec![volume(), volume()]);
    assert!(matches!(twice, Err(ReleaseError::VolumeOrder)));
    assert!(matches!(Release::new(vec![]), Err(ReleaseError::VolumeCount { count: 0 })));
    let mut empty = volume();
    empty.key =
        ReleasedKey::Luks { header_sha256: [0; 32], passphrase: Zeroizing::new(Vec::new()) };
    assert!(matches!(Release::new(vec![empty]), Err(ReleaseError::Passphrase)));
}

#[test]
fn a_statement_depends_on_session_and_release() {
    let encoded = release().encode();
    let statement_ = statement(&[1; 32], &encoded);
    assert_ne!(statement_, statement(&[2; 32], &encoded));
    assert_ne!(statement_, statement(&[1; 32], &encoded[1..]));
}

#[test]
fn signed_releases_evidence_and_statuses_come_back() {
    let signed = SignedRelease { release: release().encode(), signature: vec![5; 90] };
    let content = signed.encode();
    let read = SignedRelease::decode(&content).unwrap();
    assert_eq!((read.release, read.signature), (signed.release, signed.signature));
    let mut long = SignedRelease { release: release().encode(), signature: vec![] };
    long.signature.resize(MAX_SIGNATURE + 1, 0);
    assert!(SignedRelease::decode(&long.encode()).is_err());

    let evidence = Evidence {
        report: Box::new([7; REPORT]),
        certificates: Some(vec![1, 2, 3]),
        receipt_head: Some([9; 32]),
        threshold: 2,
        wanted: vec!["data".parse().unwrap(), VolumeName::root()],
    };
    let content = evidence.encode();
    assert_eq!(Evidence::decode(&content), Ok(evidence));
    for length in 0..content.len() {
        // Cutting between two letters of the last name gives another name.
        if let Ok(cut) = Evidence::decode(&content[..length]) {
            panic!("{length}: {cut:?}");
        }
    }
    for status in statuses() {
        let content = status.encode();
        assert_eq!(Status::decode(&content), Ok(status));
        for length in 0..content.len() {
            assert!(Status::decode(&content[..length]).is_err(), "{length}");
        }
    }
}

#[test]
fn frames_are_of_the_expected_type_and_bounded() {
    let frame = frame(FrameType::Hello, &[1; 32]);
    let head: [u8; FRAME_HEAD] = *frame.first_chunk().unwrap();
    assert_eq!(read_frame_head(&head, FrameType::Hello), Ok(32));
    assert!(read_frame_head(&head, FrameType::Status).is_err());
    for (index, value) in [(0, 9), (1, 1), (3, 1), (4, 1), (7, 33)] {
        let mut changed = head;
        changed[index] = value;
        assert!(read_frame_head(&changed, FrameType::Hello).is_err(), "{index}");
    }
}
