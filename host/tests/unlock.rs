//! `ravelin unlock` against guests that tell the truth, lie, stall and stutter, and
//! against whoever stands between.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
mod responder_support;
mod unlock_support;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Ran, codes, names};
use protocol::release::{ALPN, FrameType, Refusal, Release, ReleasedKey, Status, VolumeName};
use protocol::report_data::Binding;
use responder_support::{at_home, host_keys, vm};
use rustls::version;
use serde_json::json;
use unlock_support::{
    Certified, End, Guest, at, epoch, evidence_from, home, listen, unlock, with_data, write_key,
};

/// What the guest got is what the owner has.
fn is_the_key(home: &std::path::Path, taken: &[Release], min_epoch: u64) {
    let [release] = taken else { panic!("{} releases", taken.len()) };
    let root = release.volume("root").unwrap();
    assert_eq!((root.min_epoch, root.provision), (min_epoch, false));
    let ReleasedKey::Spec { spec, secret } = &root.key else { panic!("a LUKS key") };
    assert_eq!(secret.as_slice(), fs::read(home.join("root.img.key")).unwrap());
    let sidecar = fs::read_to_string(home.join("root.img.toml")).unwrap();
    assert!(sidecar.contains(&hex::encode(spec)), "{sidecar}");
}

/// The files there, without locks and what certificates are kept in.
fn files(home: &std::path::Path) -> Vec<String> {
    let plain = |name: &String| !name.ends_with(".lock") && name != ".cache";
    names(home).into_iter().filter(plain).collect()
}

#[test]
fn a_genuine_vm_gets_the_key_and_is_recorded() {
    let home = home();
    let guest = Guest::good(vm());
    let ran = unlock(home.path(), &guest, &[]).ok();
    let json = ran.json();
    assert_eq!((&json["kind"], &json["accepted"]), (&json!("unlock"), &json!(true)));
    assert_eq!((&json["released"], &json["dry_run"]), (&json!(true), &json!(false)));
    assert_eq!((&json["threshold"], &json["wanted"]), (&json!(1), &json!(["root"])));
    assert_eq!(json["volumes"][0]["epoch"], 2);
    assert_eq!(json["volumes"][0]["min_epoch"], 1);
    assert_eq!(json["instance"]["recorded"], false);
    let fingerprint = unlock_support::owner().fingerprint(ssh_key::HashAlg::Sha256).to_string();
    assert_eq!(json["owner"], fingerprint);
    is_the_key(home.path(), &guest.taken(), 1);
    assert_eq!(epoch(home.path()), 2);
    let record = fs::read_to_string(home.path().join("root.img.instance.toml")).unwrap();
    assert!(record.contains(&"1d".repeat(32)), "{record}");
    // It still describes the disk.
    Ran::from(at_home(home.path()).args(["inspect", "root.img.toml"]).output().unwrap()).ok();

    // The same VM again, which was reset before it reported its epoch.
    let json = unlock(home.path(), &guest, &[]).ok().json();
    assert_eq!(json["instance"]["recorded"], true);
    is_the_key(home.path(), &guest.taken(), 2);
    assert_eq!(epoch(home.path()), 2);

    let text = at(home.path(), &guest.address, &["--sidecar", "root.img.toml"]).ok();
    let verdict = text.stdout.find("ACCEPTED\n").unwrap();
    let opened = text.stdout.find("OPENED: ").unwrap();
    assert!(verdict < opened && text.stdout.contains("epoch 2"), "{}", text.stdout);
    assert!(text.stderr.contains("accepted: 1 of 1 owners"), "{}", text.stderr);
}

#[test]
fn a_dry_run_sends_and_writes_nothing() {
    let home = home();
    // Not even a key is read.
    fs::remove_file(home.path().join("root.img.key")).unwrap();
    fs::remove_dir_all(home.path().join(".ssh")).unwrap();
    let before = files(home.path());
    let guest = Guest::good(vm());
    let json = unlock(home.path(), &guest, &["--dry-run"]).ok().json();
    assert_eq!((&json["accepted"], &json["released"]), (&json!(true), &json!(false)));
    assert_eq!((&json["dry_run"], &json["owner"]), (&json!(true), &json!(null)));
    assert_eq!(guest.asked(), 1);
    assert!(guest.taken().is_empty());
    assert_eq!((files(home.path()), epoch(home.path())), (before, 1));
    // Without a key nothing is asked either.
    let ran = unlock(home.path(), &guest, &[]).code(3);
    assert!(ran.stderr.contains("no key to sign with"), "{}", ran.stderr);
    assert_eq!(guest.asked(), 1);
}

/// Nothing is asked if no answer could be accepted.
#[test]
fn without_a_vm_nobody_is_asked() {
    let home = home();
    let guest = Guest::good(vm());
    let mut command = at_home(home.path());
    command.env_remove("SSH_AUTH_SOCK").args(["unlock", "--sidecar", "root.img.toml"]);
    let ran = Ran::from(command.args(["--address", &guest.address]).output().unwrap()).code(2);
    assert!(ran.stderr.contains("there is no vm.toml here"), "{}", ran.stderr);
    assert_eq!(guest.asked(), 0);
}

/// Evidence that is not about this session: refused before anything else is looked at.
#[test]
fn evidence_of_another_session_is_refused() {
    let home = home();
    let real = Guest::good(vm());
    let real_address = real.address.clone();
    let between = Guest::new(move |_number, end| {
        let evidence = evidence_from(&real_address, &end.nonce);
        end.send(FrameType::Evidence, &evidence);
        assert!(end.release().is_none(), "a man in the middle got a key");
    });
    // What an earlier session, or another guest in its own, said.
    let kept = Mutex::new(None);
    let replay = Guest::new(move |_number, end| {
        let bytes =
            kept.lock().unwrap().get_or_insert_with(|| end.evidence(&vm()).encode()).clone();
        end.send(FrameType::Evidence, &bytes);
        end.release();
    });
    let stale = Guest::new(|_number, end| {
        end.nonce[0] ^= 1;
        let evidence = end.evidence(&vm()).encode();
        end.send(FrameType::Evidence, &evidence);
        end.release();
    });
    let role = Guest::new(|_number, end| {
        let keys = host_keys(1);
        let nonce = end.nonce;
        let data = Binding::Responder { nonce: &nonce, host_keys: &keys, receipt_head: None };
        let evidence = with_data(&vm(), data.report_data()).encode();
        end.send(FrameType::Evidence, &evidence);
        end.release();
    });
    let receipt = Guest::new(|_number, end| {
        let mut evidence = end.evidence(&vm());
        evidence.receipt_head = Some([1; 32]);
        end.send(FrameType::Evidence, &evidence.encode());
        end.release();
    });
    let before = files(home.path());
    // The first session of the replay is good as far as evidence goes.
    unlock(home.path(), &replay, &["--dry-run"]).ok();
    for guest in [&between, &replay, &stale, &role, &receipt] {
        let ran = unlock(home.path(), guest, &[]).code(1);
        assert!(ran.stderr.contains("a man in the middle, or another session's"), "{ran:#?}");
        assert_eq!(ran.json()["kind"], "error");
        assert!(guest.taken().is_empty());
    }
    assert!(real.taken().is_empty());
    assert_eq!((files(home.path()), epoch(home.path())), (before, 1));
}

#[test]
fn a_vm_that_is_refused_gets_nothing() {
    let home = home();
    let mut other = vm();
    other.set(0x90, &[0x77; 48]).set(8, &[0x1f, 0, 0xb]);
    let guest = Guest::good(other);
    let ran = unlock(home.path(), &guest, &[]).code(1);
    let json = ran.json();
    let codes = codes(&json);
    for code in ["measurement.mismatch", "debug.enabled"] {
        assert!(codes.iter().any(|found| found == code), "{code} in {codes:?}");
    }
    assert_eq!((&json["accepted"], &json["released"]), (&json!(false), &json!(false)));
    assert!(guest.taken().is_empty());
    assert!(!home.path().join("root.img.instance.toml").exists());
    // A report that nobody signed.
    let changed = Guest::new(|_number, end| {
        let mut evidence = end.evidence(&vm());
        evidence.report[0xc0] ^= 1;
        end.send(FrameType::Evidence, &evidence.encode());
        end.release();
    });
    assert_eq!(unlock(home.path(), &changed, &[]).code(1).json()["authentic"], false);
    assert!(changed.taken().is_empty());
}

#[test]
fn one_vm_at_a_time() {
    let home = home();
    let first = Guest::good(vm());
    let mut twin = vm();
    twin.set(0x140, &[0x2d; 32]);
    let twin = Guest::good(twin);
    unlock(home.path(), &first, &[]).ok();
    assert_eq!(first.taken().len(), 1);
    let ran = unlock(home.path(), &twin, &[]).code(1);
    assert!(ran.stderr.contains("has this disk's key"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--new-instance"), "{}", ran.stderr);
    // A dry run says so too.
    unlock(home.path(), &twin, &["--dry-run"]).code(1);
    assert!(twin.taken().is_empty());
    unlock(home.path(), &twin, &["--new-instance"]).ok();
    assert_eq!(twin.taken().len(), 1);
    // Now the first is the other one. `attest` takes the record as a pin.
    unlock(home.path(), &first, &[]).code(1);
    assert!(first.taken().is_empty());
    // What is no record is not replaced.
    fs::write(home.path().join("root.img.instance.toml"), "vmpl = 0\n").unwrap();
    let ran = unlock(home.path(), &first, &["--new-instance"]).code(3);
    assert!(ran.stderr.contains("this is no record of a VM"), "{}", ran.stderr);
    assert!(first.taken().is_empty());
}

#[test]
fn the_record_is_written_before_the_release() {
    let home = home();
    let record = home.path().join("root.img.instance.toml");
    let seen = record.clone();
    let guest = Guest::new(move |_number, end| {
        let evidence = end.evidence(&vm()).encode();
        end.send(FrameType::Evidence, &evidence);
        end.release().unwrap().unwrap();
        assert!(seen.exists(), "released before it was recorded");
        // And then it says nothing more.
    });
    let ran = unlock(home.path(), &guest, &[]).code(4);
    assert!(ran.stderr.contains("the key was sent"), "{}", ran.stderr);
    assert!(ran.stderr.contains("the session ended before the VM said"), "{}", ran.stderr);
    assert!(record.exists());
    assert_eq!((guest.taken().len(), epoch(home.path())), (1, 1));
    // A record that cannot be written: nothing is sent.
    fs::remove_file(&record).unwrap();
    fs::create_dir_all(home.path().join("no")).unwrap();
    let good = Guest::good(vm());
    fs::create_dir(&record).unwrap();
    unlock(home.path(), &good, &[]).code(3);
    assert!(good.taken().is_empty());
}

#[test]
fn two_at_once_are_one_too_many() {
    let home = home();
    let guest = Guest::new(|number, end| {
        if number > 0 {
            return end.serve(&vm(), 1);
        }
        std::thread::sleep(Duration::from_secs(4));
    });
    let mut first = at_home(home.path());
    first.arg("unlock").args(responder_support::accepting());
    first.args(["--address", &guest.address, "--sidecar", "root.img.toml"]);
    let mut first = first.stderr(std::process::Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while guest.asked() == 0 {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    let ran = unlock(home.path(), &guest, &[]).code(3);
    assert!(ran.stderr.contains("another `ravelin unlock` of this disk is running"), "{ran:#?}");
    assert_eq!(guest.asked(), 1);
    first.wait().unwrap();
    unlock(home.path(), &guest, &[]).ok();
}

#[test]
fn what_the_vm_says_has_a_code_and_a_remedy() {
    let home = home();
    let cases = [
        (Refusal::Malformed, 4, "another version of the protocol"),
        (Refusal::Signature, 1, "the signature did not reach the VM"),
        (Refusal::UnknownOwner, 1, "unlock.owners"),
        (Refusal::Volumes, 3, "exactly the volumes"),
        (Refusal::Disagreement, 1, "enough owners sent something else"),
        (Refusal::Expired, 4, "not enough owners"),
        (Refusal::NotOpened, 1, "passphrase is wrong"),
        (Refusal::RolledBack, 1, "an old state of the disk"),
        (Refusal::Busy, 4, "in a minute"),
        (Refusal::NoReport, 4, "gave no report"),
        (Refusal::Unrecorded, 4, "release again"),
    ];
    for (why, code, help) in cases {
        let guest = Guest::answering(vm(), Status::refused(why, "so it is"));
        let ran = unlock(home.path(), &guest, &[]).code(code);
        let json = ran.json();
        assert!(json["message"].as_str().unwrap().ends_with(": so it is"), "{json}");
        assert!(json["help"].as_str().unwrap().contains(help), "{help}: {json}");
        assert_eq!((guest.taken().len(), epoch(home.path())), (1, 1));
    }
    let root = VolumeName::root;
    // Epochs of other volumes, or lower than they may be.
    let other = Status::Opened { epochs: vec![("data".parse().unwrap(), 5)] };
    unlock(home.path(), &Guest::answering(vm(), other), &[]).code(4);
    let lower = Status::Opened { epochs: vec![(root(), 0)] };
    unlock(home.path(), &Guest::answering(vm(), lower), &[]).code(1);
    assert_eq!(epoch(home.path()), 1);
    // Nobody answers in time.
    let waits = Guest::answering(vm(), Status::Accepted { have: 1, need: 2, others: 0 });
    let silent = Guest::new(|_number, end| {
        let evidence = end.evidence(&vm()).encode();
        end.send(FrameType::Evidence, &evidence);
        end.release().unwrap().unwrap();
        end.say(&Status::Accepted { have: 1, need: 2, others: 0 });
        std::thread::sleep(Duration::from_secs(30));
    });
    for guest in [waits, silent] {
        let ran = unlock(home.path(), &guest, &["--open-timeout", "1s"]).code(4);
        assert!(ran.stderr.contains("accepted: 1 of 2 owners"), "{}", ran.stderr);
        assert!(ran.stderr.contains("the key was sent"), "{}", ran.stderr);
    }
}

/// The VM hears that the epochs are recorded once they are, and not where they are not.
#[test]
fn the_epochs_are_recorded_before_the_vm_boots() {
    let home = home();
    let path = home.path().to_owned();
    let opening = |epoch: u64, then: fn(&mut End)| {
        let (path, heard) = (path.clone(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&heard);
        let guest = Guest::new(move |_number, end| {
            let evidence = end.evidence(&vm()).encode();
            end.send(FrameType::Evidence, &evidence);
            end.release().unwrap().unwrap();
            end.say(&Status::Opened { epochs: vec![(VolumeName::root(), epoch)] });
            if end.receive(FrameType::Recorded).is_some() {
                assert_eq!(self::epoch(&path), epoch, "heard before it was recorded");
                count.fetch_add(1, Ordering::SeqCst);
                then(end);
            }
        });
        (guest, heard)
    };
    let (lower, heard) = opening(0, |_end| {});
    unlock(home.path(), &lower, &[]).code(1);
    assert_eq!(heard.load(Ordering::SeqCst), 0);
    // It hears so, and the owner hears nothing more, or that it was too late.
    let (silent, heard) = opening(2, |_end| {});
    let ran = unlock(home.path(), &silent, &[]).code(4);
    assert!(ran.stderr.contains("the sidecars have their epochs"), "{}", ran.stderr);
    let (late, _) = opening(3, |end| end.say(&Status::refused(Refusal::Unrecorded, "too late")));
    let ran = unlock(home.path(), &late, &[]).code(4);
    assert!(ran.stderr.contains("release again"), "{}", ran.stderr);
    assert_eq!((heard.load(Ordering::SeqCst), epoch(home.path())), (1, 3));
    let (good, heard) = opening(4, |end| end.say(&Status::Booting));
    unlock(home.path(), &good, &[]).ok();
    assert_eq!((heard.load(Ordering::SeqCst), epoch(home.path())), (1, 4));
}

#[test]
fn a_key_that_is_no_owners_is_told_so() {
    let home = home();
    let other = ssh_key::PrivateKey::from(ssh_key::private::Ed25519Keypair::from_seed(&[8; 32]));
    write_key(home.path(), "other", &other);
    let guest = Guest::good(vm());
    let ran = unlock(home.path(), &guest, &["--identity", "other"]).code(1);
    assert!(ran.stderr.contains("not signed by an owner"), "{}", ran.stderr);
    assert!(guest.taken().is_empty());
    // A public key, and no agent that has the private one.
    let ran = unlock(home.path(), &guest, &["--identity", "other.pub"]).code(3);
    assert!(ran.stderr.contains("only an agent can sign"), "{}", ran.stderr);
    fs::write(home.path().join("junk"), "-----BEGIN RSA PRIVATE KEY-----\n").unwrap();
    let ran = unlock(home.path(), &guest, &["--identity", "junk"]).code(3);
    assert!(ran.stderr.contains("ssh-keygen -p"), "{}", ran.stderr);
    assert_eq!(guest.asked(), 1);
}

#[test]
fn the_volumes_are_those_that_it_waits_for() {
    let home = home();
    let path = home.path();
    let data: VolumeName = "data".parse().unwrap();
    let wants = |names: Vec<VolumeName>| {
        Guest::new(move |_number, end| {
            let mut evidence = end.evidence(&vm());
            evidence.wanted.clone_from(&names);
            evidence.threshold = 2;
            end.send(FrameType::Evidence, &evidence.encode());
            if let Some(Ok(release)) = end.release() {
                let epochs = release.volumes().iter().map(|one| (one.name.clone(), 7)).collect();
                end.say(&Status::Opened { epochs });
                end.boot();
            }
        })
    };
    let both = wants(vec![data.clone(), VolumeName::root()]);
    let ran = unlock(path, &both, &[]).code(3);
    assert!(ran.stderr.contains("the VM waits for data too"), "{}", ran.stderr);
    let ran = unlock(path, &wants(vec![data]), &[]).code(3);
    assert!(ran.stderr.contains("waits for data and not for root"), "{}", ran.stderr);
    let root = wants(vec![VolumeName::root()]);
    let more = ["--luks-volume", "old=header:passphrase"];
    let digest = format!("old={}:passphrase", "5a".repeat(32));
    fs::write(path.join("passphrase"), "correct horse\n").unwrap();
    unlock(path, &root, &more).code(3);
    let ran = unlock(path, &root, &["--luks-volume", &digest]).code(3);
    assert!(ran.stderr.contains("does not wait for old"), "{}", ran.stderr);
    assert!(both.taken().is_empty() && root.taken().is_empty());

    // A second disk, with a passphrase.
    let mut encrypt = at_home(path);
    encrypt.args(["image", "encrypt", "--from", "source", "-o", "data.img", "--layout", "bare"]);
    encrypt.args(["--passphrase-file", "passphrase", "--argon2-memory", "64K"]);
    Ran::from(encrypt.args(["--argon2-passes", "1"]).output().unwrap()).ok();
    let more = ["--volume", "data=data.img.toml:passphrase", "--provision", "data"];
    let ran = unlock(path, &both, &more).ok();
    assert!(ran.stderr.contains("2 owners have to release"), "{}", ran.stderr);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("correct horse"));
    let json = ran.json();
    assert_eq!(
        json["instance"]["records"],
        json!(["data.img.instance.toml", "root.img.instance.toml"])
    );
    let taken = both.taken();
    let released = taken[0].volume("data").unwrap();
    assert!(released.provision);
    let spec = image_builder::disk::EncryptedSidecar::load(&path.join("data.img.toml")).unwrap();
    assert_eq!(spec.epoch.0, 7);
    let stretched =
        luks::Secret::from_passphrase(b"correct horse", spec.spec.stretch().unwrap()).unwrap();
    let ReleasedKey::Spec { secret, .. } = &released.key else { panic!() };
    assert_eq!(secret.as_slice(), stretched.as_bytes());
    // Command lines that mean nothing.
    for bad in [
        &["--provision", "other"][..],
        &["--volume", "root=data.img.toml"],
        &["--volume", "Root=data.img.toml"],
    ] {
        unlock(path, &both, bad).code(2);
    }
    // A key for a disk with a passphrase, and the other way round.
    at(path, &both.address, &["--sidecar", "data.img.toml", "--key", "root.img.key"]).code(2);
    unlock(path, &both, &["--passphrase-file", "passphrase"]).code(2);
}

/// A LUKS2 disk that was made elsewhere: pinned by its header.
#[test]
fn a_luks_disk_is_released_by_passphrase_and_header() {
    let home = home();
    let path = home.path();
    fs::write(path.join("passphrase"), "correct horse\n").unwrap();
    let guest = Guest::good(vm());
    let words = ["--record", "luks.instance.toml", "--passphrase-file", "passphrase", "--json"];
    let luks = |more: &[&str]| at(path, &guest.address, &[&words, more].concat());
    let json = luks(&["--luks-header", "root.img"]).ok().json();
    assert_eq!(json["volumes"][0]["format"], "luks2");
    let taken = guest.taken();
    let root = taken[0].volume("root").unwrap();
    let ReleasedKey::Luks { header_sha256, passphrase } = &root.key else { panic!() };
    assert_eq!(passphrase.as_slice(), b"correct horse");
    let sidecar = fs::read_to_string(path.join("root.img.toml")).unwrap();
    assert!(sidecar.contains(&hex::encode(header_sha256)), "{sidecar}");
    assert_eq!(root.min_epoch, 0);
    luks(&["--luks-header-sha256", &hex::encode(header_sha256)]).ok();
    assert!(guest.taken()[0] == taken[0], "the same by its digest");
    let ran = luks(&["--luks-header", "source"]).code(3);
    assert!(ran.stderr.contains("no LUKS2 header"), "{}", ran.stderr);
    // What the guest would refuse is refused here, before it has the passphrase.
    let mut changed = fs::read(path.join("root.img")).unwrap();
    changed[0x4000 + 6] ^= 1;
    fs::write(path.join("changed"), changed).unwrap();
    let ran = luks(&["--luks-header", "changed"]).code(1);
    assert!(ran.stderr.contains("the LUKS2 header of the volume root is refused"), "{ran:#?}");
    assert!(guest.taken().is_empty());
    // Nowhere to write down who has the key.
    at(path, &guest.address, &["--luks-header", "root.img", "--passphrase-file", "passphrase"])
        .code(2);
}

/// Servers that are no guests: exit code 4, in time, with a message of their own.
#[test]
fn what_is_no_guest_is_told_apart() {
    let home = home();
    let tries = |address: &str, message: &str| {
        let start = Instant::now();
        let words = ["--sidecar", "root.img.toml", "--timeout", "2s"];
        let ran = at(home.path(), address, &words).code(4);
        assert!(ran.stderr.contains(message), "{message}: {}", ran.stderr);
        assert!(start.elapsed() < Duration::from_secs(20), "{message}: {:?}", start.elapsed());
    };
    let sends = |bytes: &'static [u8]| {
        listen(move |mut stream| {
            let _ = stream.write_all(bytes);
            std::thread::sleep(Duration::from_secs(10));
        })
    };
    tries(&sends(b"SSH-2.0-OpenSSH_9.9\r\n"), "no TLS 1.3 session");
    tries(&sends(b""), "no complete answer within 2 s");
    tries(&listen(drop), "the session ended before it began");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    tries(&free, "no connection");
    let tls = |alpn: &[u8], versions: &[&'static rustls::SupportedProtocolVersion]| {
        let config = std::sync::Arc::new(Certified::new().server(alpn, versions));
        listen(move |mut stream| {
            let mut server = rustls::ServerConnection::new(config.clone()).unwrap();
            while server.is_handshaking() && server.complete_io(&mut stream).is_ok() {}
            std::thread::sleep(Duration::from_secs(10));
        })
    };
    tries(&tls(b"h2", &[&version::TLS13]), "no TLS 1.3 session");
    // In the session: nothing, drops, other frames, frames without end.
    let frames = |content: &'static [u8], pause: u64| {
        Guest::new(move |_number, end| {
            for byte in content.chunks(if pause > 0 { 1 } else { content.len() }) {
                let _ = end.stream.write_all(byte);
                let _ = end.stream.flush();
                std::thread::sleep(Duration::from_millis(pause));
            }
        })
    };
    let cases: [(&'static [u8], &str); 5] = [
        (&[2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], "bytes; at most 65536 are accepted"),
        (&[3, 0, 0, 0, 0, 0, 0, 1, 0], "a frame of type 3"),
        (&[2, 0, 0, 1, 0, 0, 0, 1, 0], "a frame of type 2"),
        (&[2, 0, 0, 0, 0, 0, 1, 0, 9], "in the middle of a message"),
        (&[2, 0, 0, 0, 0, 0, 0, 0], "there is no report"),
    ];
    for (bytes, message) in cases {
        tries(&frames(bytes, 0).address, message);
    }
    tries(&frames(&[2; 64], 50).address, "a frame of type 2");
    tries(&frames(&[2, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0], 400).address, "within 2 s");
    assert_eq!(epoch(home.path()), 1);
    assert_eq!(ALPN, b"ravelin-release/1");
}

#[test]
fn a_booting_or_busy_vm_is_asked_again() {
    let home = home();
    let busy = Guest::new(|number, end| match number {
        0 | 1 => end.say(&Status::refused(Refusal::Busy, "too many sessions")),
        _ => end.serve(&vm(), 1),
    });
    let ran = unlock(home.path(), &busy, &[]).ok();
    assert_eq!(busy.asked(), 3);
    assert!(ran.stderr.contains("trying again"), "{}", ran.stderr);
    // A port forwarder before a VM that boots: it accepts and closes.
    let guest = Guest::good(vm());
    let count = std::sync::atomic::AtomicUsize::new(0);
    let to = guest.address.clone();
    let forwarder = listen(move |client| {
        if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
            return;
        }
        let server = std::net::TcpStream::connect(&to).unwrap();
        let (mut a, mut b) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut a, &mut b));
        let (mut client, mut server) = (client, server);
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
    let words = ["--sidecar", "root.img.toml"];
    at(home.path(), &forwarder, &words).code(4);
    at(home.path(), &forwarder, &[&words[..], &["--wait"]].concat()).ok();
    // What is refused does not become good by waiting.
    let none = Guest::new(|_number, end| {
        end.say(&Status::refused(Refusal::Malformed, "no"));
    });
    unlock(home.path(), &none, &["--wait"]).code(4);
    assert_eq!(none.asked(), 1);
}
