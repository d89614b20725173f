//! The messages of a key release. The first byte says which one. A message that is
//! accepted is the one encoding of what it says.

use protocol::release::{
    Evidence, FrameType, Refusal, Release, ReleasedKey, ReleasedVolume, SignedRelease, Status,
    VolumeName, equal, frame, read_frame_head, statement,
};
use zeroize::Zeroizing;

const KINDS: [FrameType; 5] = [
    FrameType::Hello,
    FrameType::Evidence,
    FrameType::Release,
    FrameType::Status,
    FrameType::Recorded,
];

pub(super) fn run(data: &[u8]) {
    let Some((which, content)) = data.split_first() else { return };
    match which {
        0 => {
            if let Ok(release) = Release::decode(content) {
                assert!(equal(&release.encode(), content));
            }
        }
        1 => {
            if let Ok(signed) = SignedRelease::decode(content) {
                assert!(equal(&signed.encode(), content));
                let _ = statement(&[0; 32], &signed.release);
            }
        }
        2 => {
            if let Ok(evidence) = Evidence::decode(content) {
                assert_eq!(evidence.encode(), content);
            }
        }
        3 => {
            if let Ok(status) = Status::decode(content) {
                assert_eq!(status.encode(), content);
            }
        }
        _ => {
            if let Some(head) = content.first_chunk() {
                for kind in KINDS {
                    if let Ok(length) = read_frame_head(head, kind) {
                        assert!(length <= kind.max_content());
                    }
                }
            }
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut seed = |which: u8, content: &[u8]| seeds.push([&[which], content].concat());
    let volume = |name: &str, key| {
        name.parse().ok().map(|name| ReleasedVolume { name, key, min_epoch: 3, provision: true })
    };
    let spec = super::volumes::ordinary().first().map_or([0; 96], |spec| spec.encode());
    let volumes = [
        volume("root", ReleasedKey::Spec { spec, secret: Zeroizing::new([7; 32]) }),
        volume(
            "data-2",
            ReleasedKey::Luks {
                header_sha256: [9; 32],
                passphrase: Zeroizing::new(b"correct horse".to_vec()),
            },
        ),
    ];
    if let Ok(release) = Release::new(volumes.into_iter().flatten().collect()) {
        let release = release.encode();
        seed(0, &release);
        let signed =
            SignedRelease { release, signature: b"-----BEGIN SSH SIGNATURE-----".to_vec() };
        seed(1, &signed.encode());
    }
    let evidence = Evidence {
        report: Box::new([5; 1184]),
        certificates: Some(vec![0; 48]),
        receipt_head: Some([6; 32]),
        threshold: 2,
        wanted: vec![VolumeName::root()],
    };
    seed(2, &evidence.encode());
    seed(3, &Status::Accepted { have: 1, need: 2, others: 1 }.encode());
    seed(3, &Status::Opened { epochs: vec![(VolumeName::root(), 7)] }.encode());
    seed(3, &Status::refused(Refusal::NotOpened, "root: the key does not open it").encode());
    seed(3, &Status::Booting.encode());
    for kind in KINDS {
        seed(4, &frame(kind, b"content"));
    }
    seeds
}
