//! `ravelin attest` against responders that tell the truth, lie, stall and
//! stutter.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
mod responder_support;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use common::{Ran, codes, names};
use protocol::report_data::Binding;
use protocol::responder::{HEAD, Status, answer, refusal};
use responder_support::{
    AT, Responder, about, accepting, ask, at_home, evidence, host_keys, measurement, vm, write_root,
};
use serde_json::json;

fn home() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    write_root(directory.path());
    directory
}

fn attest(directory: &Path, responder: &Responder, arguments: &[&str]) -> Ran {
    ask(directory, &["attest", "--json"], responder, arguments)
}

#[test]
fn a_genuine_vm_is_accepted_and_its_evidence_kept() {
    let home = home();
    let responder = Responder::good(vm(), host_keys(1));
    let ran = attest(home.path(), &responder, &["--output", "kept/here"]).ok();
    let json = ran.json();
    assert_eq!((&json["kind"], &json["accepted"]), (&json!("attest"), &json!(true)));
    assert_eq!(json["identity"]["report_id"], "1d".repeat(32));
    assert_eq!(json["host_keys"][0]["type"], "ssh-ed25519");
    assert!(json["receipt_head"].is_null());
    assert!(ran.stderr.contains("NOT AMD's"), "{}", ran.stderr);
    let kept = home.path().join("kept/here");
    let all = ["certificates.bin", "evidence.bin", "nonce", "report.bin", "verdict.json"];
    assert_eq!(names(&kept), all);
    let nonce = fs::read(kept.join("nonce")).unwrap();
    assert_eq!(json["nonce"], hex::encode(&nonce));
    // What was kept verifies again, alone.
    let keys = host_keys(1);
    let nonce = nonce.try_into().unwrap();
    let data = Binding::Responder { nonce: &nonce, host_keys: &keys, receipt_head: None };
    let mut again = at_home(home.path());
    again.args(["report", "verify", "kept/here/report.bin", "--certs"]);
    again.arg("kept/here/certificates.bin").args(accepting());
    again.args(["--report-data", &hex::encode(data.report_data())]);
    Ran::from(again.output().unwrap()).ok();

    // Each question has a nonce of its own.
    let second = attest(home.path(), &responder, &[]).ok().json();
    assert_ne!(second["nonce"], json["nonce"]);
    let text = ask(home.path(), &["attest"], &responder, &[]).ok();
    assert!(text.stdout.contains("ACCEPTED\n"), "{}", text.stdout);
    assert!(text.stdout.contains("SHA256:"), "{}", text.stdout);
    assert!(text.stdout.contains(&"1d".repeat(32)), "{}", text.stdout);
    // No root is trusted that was not named.
    let mut without = at_home(home.path());
    without.args(["attest", "--json", "--offline", "--at", AT, "--measurement", &measurement()]);
    without.args(["--address", &responder.address]);
    let json = Ran::from(without.output().unwrap()).code(1).json();
    assert_eq!(json["authentic"], false);
}

#[test]
fn what_is_not_bound_is_refused() {
    let home = home();
    let first: Mutex<Option<Vec<u8>>> = Mutex::new(None);
    // A replay: the first answer again and again.
    let replay = Responder::new(move |_number, nonce, stream| {
        let mut first = first.lock().unwrap();
        let bytes =
            first.get_or_insert_with(|| answer(&evidence(&vm(), nonce, &host_keys(1)))).clone();
        let _ = stream.write_all(&bytes);
    });
    attest(home.path(), &replay, &[]).ok();
    let ran = attest(home.path(), &replay, &[]).code(1);
    assert_eq!(codes(&ran.json()), ["report-data.mismatch"]);
    assert!(ran.stderr.contains("it is an old answer, another VM's"), "{}", ran.stderr);

    // The man in the middle's own keys beside a genuine report.
    let other_keys = Responder::new(|_number, nonce, stream| {
        let mut evidence = evidence(&vm(), nonce, &host_keys(1));
        evidence.host_keys = host_keys(2);
        let _ = stream.write_all(&answer(&evidence));
    });
    let ran = attest(home.path(), &other_keys, &["--output", "refused"]).code(1);
    assert_eq!(codes(&ran.json()), ["report-data.mismatch"]);
    assert_eq!(ran.json()["host_keys"], json!([]), "keys of a refused answer");
    let kept = fs::read_to_string(home.path().join("refused/verdict.json")).unwrap();
    assert!(kept.contains("\"accepted\": false"), "{kept}");
    let text = ask(home.path(), &["attest"], &other_keys, &[]).code(1);
    assert!(!text.stdout.contains("SHA256:"), "keys of a refused answer: {}", text.stdout);

    // A receipt that the report does not bind.
    let receipt = Responder::new(|_number, nonce, stream| {
        let mut evidence = evidence(&vm(), nonce, &host_keys(1));
        evidence.receipt_head = Some([1; 32]);
        let _ = stream.write_all(&answer(&evidence));
    });
    let json = attest(home.path(), &receipt, &[]).code(1).json();
    assert_eq!(codes(&json), ["report-data.mismatch"]);
    assert_eq!(json["receipt_head"], json!(null), "the receipt of a refused answer");

    // The boot report, which has no nonce.
    let boot = Responder::new(|_number, _nonce, stream| {
        let keys = host_keys(1);
        let data = Binding::Boot { host_keys: &keys, receipt_head: None }.report_data();
        let _ = stream.write_all(&answer(&about(&vm(), data, &keys)));
    });
    let ran = attest(home.path(), &boot, &[]).code(1);
    assert_eq!(codes(&ran.json()), ["report-data.mismatch"]);
    assert!(ran.stderr.contains("at its boot"), "{}", ran.stderr);
}

#[test]
fn another_vm_and_every_weakness_are_listed() {
    let home = home();
    let mut other = vm();
    other.set(0x90, &[0x77; 48]).set(8, &[0x1f, 0, 0xb]).set(0x30, &[1]);
    let responder = Responder::good(other, host_keys(1));
    let codes = codes(&attest(home.path(), &responder, &[]).code(1).json());
    for code in ["measurement.mismatch", "debug.enabled", "vmpl.mismatch"] {
        assert!(codes.iter().any(|found| found == code), "{code} in {codes:?}");
    }
    // A changed report: not authentic, whatever it says.
    let changed = Responder::new(|_number, nonce, stream| {
        let mut evidence = evidence(&vm(), nonce, &host_keys(1));
        evidence.report[0xc0] ^= 1;
        let _ = stream.write_all(&answer(&evidence));
    });
    let json = attest(home.path(), &changed, &[]).code(1).json();
    assert_eq!((&json["accepted"], &json["authentic"]), (&json!(false), &json!(false)));
}

#[test]
fn a_pinned_vm_is_the_only_one() {
    let home = home();
    let first = Responder::good(vm(), host_keys(1));
    let mut twin = vm();
    twin.set(0x140, &[0x2d; 32]);
    let twin = Responder::good(twin, host_keys(1));
    // Both run the same image.
    attest(home.path(), &twin, &[]).ok();
    attest(home.path(), &first, &["--pin", "pin.toml", "--pin-chip"]).ok();
    attest(home.path(), &first, &["--instance", "pin.toml"]).ok();
    let ran = attest(home.path(), &twin, &["--instance", "pin.toml"]).code(1);
    let codes = codes(&ran.json());
    assert_eq!(codes.len(), 1, "{codes:?}");
    assert!(codes[0].contains("report-id"), "{codes:?}");
    // The pin stays that of the first.
    let before = fs::read(home.path().join("pin.toml")).unwrap();
    let ran = attest(home.path(), &twin, &["--pin", "pin.toml"]).code(1);
    assert!(ran.stderr.contains("pin.toml pins the VM 1d1d"), "{}", ran.stderr);
    assert_eq!((&ran.json()["kind"], &ran.json()["exit_code"]), (&json!("error"), &json!(1)));
    assert_eq!(fs::read(home.path().join("pin.toml")).unwrap(), before);
    // Nor does pinning the same VM again loosen it.
    attest(home.path(), &first, &["--pin", "pin.toml"]).ok();
    assert_eq!(fs::read(home.path().join("pin.toml")).unwrap(), before);
    // A VM that is refused is not pinned.
    let refused = Responder::good(vm(), host_keys(1));
    attest(home.path(), &refused, &["--policy", "none.toml", "--pin", "no.toml"]).code(3);
    fs::write(home.path().join("strict.toml"), "[minimum_tcb]\nsnp = 99\n").unwrap();
    attest(home.path(), &refused, &["--policy", "strict.toml", "--pin", "no.toml"]).code(1);
    assert!(!home.path().join("no.toml").exists());
    fs::write(home.path().join("more.toml"), "vmpl = 0\n").unwrap();
    let ran = attest(home.path(), &first, &["--instance", "more.toml"]).code(3);
    assert!(ran.stderr.contains("more.toml: it names no `report_id`"), "{}", ran.stderr);
}

/// Nothing is asked if no answer could be accepted.
#[test]
fn without_a_vm_nobody_is_asked() {
    let home = home();
    let responder = Responder::good(vm(), host_keys(1));
    fs::write(home.path().join("policy.toml"), "vmpl = 0\n").unwrap();
    for command in [&["attest", "--json"][..], &["ssh-known-hosts", "web"]] {
        for (arguments, help) in [
            (&[][..], "there is no vm.toml here"),
            (&["--policy", "policy.toml"], "the policy names"),
        ] {
            let mut ask = at_home(home.path());
            ask.args(command).args(["--address", &responder.address]).args(arguments);
            let ran = Ran::from(ask.output().unwrap()).code(2);
            assert!(ran.stderr.contains("nothing says which VM is accepted"), "{}", ran.stderr);
            assert!(ran.stderr.contains(help), "{}", ran.stderr);
        }
    }
    assert_eq!(responder.asked(), 0);
}

/// Answers that are none: exit code 4, each with its own message.
#[test]
fn what_is_no_evidence_has_its_own_message() {
    let home = home();
    let sends = |bytes: Vec<u8>| {
        Responder::new(move |_number, _nonce, stream| {
            let _ = stream.write_all(&bytes);
        })
    };
    let whole = answer(&evidence(&vm(), &[0; 32], &host_keys(1)));
    let mut oversized = whole[..HEAD].to_vec();
    oversized[12..16].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut version = evidence(&vm(), &[0; 32], &host_keys(1));
    version.report[0] = 99;
    let cases = [
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), "this is not Ravelin's attestation protocol"),
        (whole[..whole.len() - 1].to_vec(), "the answer is truncated"),
        (whole[..HEAD - 3].to_vec(), "the answer is truncated: 13 of 16 bytes"),
        (oversized, "a body of 4294967295 bytes"),
        ([&whole[..], b"x"].concat(), "more bytes than it says"),
        (Vec::new(), "closed before an answer began"),
        (refusal(Status::Unavailable), "got no report from its secure processor"),
        (refusal(Status::Malformed), "another version of the protocol"),
        (answer(&version), "the answer has no report"),
    ];
    for (bytes, message) in cases {
        let ran = attest(home.path(), &sends(bytes), &[]).code(4);
        let all = format!("{}{}", ran.stderr, ran.stdout);
        assert!(all.contains(message), "{message}: {all}");
        assert_eq!(ran.json()["kind"], "error");
        assert_eq!(ran.json()["exit_code"], 4);
    }
    // Nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut nobody = at_home(home.path());
    nobody.args(["attest", "--address", &free]).args(accepting());
    let ran = Ran::from(nobody.output().unwrap()).code(4);
    assert!(ran.stderr.contains("no connection") && ran.stderr.contains("--wait"));
}

#[test]
fn one_deadline_covers_all_that_drips() {
    let home = home();
    // A byte at a time, for ever: each is in time, all together are not.
    let drips = Responder::new(|_number, nonce, stream| {
        for byte in answer(&evidence(&vm(), nonce, &host_keys(1))) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    });
    let ran = attest(home.path(), &drips, &["--timeout", "1s"]).code(4);
    assert!(ran.stderr.contains("no complete answer within 1 s"), "{}", ran.stderr);
    // Nothing at all.
    let silent = Responder::new(|_number, _nonce, stream| {
        let _ = stream.flush();
        std::thread::sleep(Duration::from_secs(60));
    });
    let ran = attest(home.path(), &silent, &["--timeout", "1s"]).code(4);
    assert!(ran.stderr.contains("(0 bytes came)"), "{}", ran.stderr);
}

#[test]
fn a_busy_or_booting_vm_is_asked_again() {
    let home = home();
    let busy = Responder::new(|number, nonce, stream| {
        let bytes = match number {
            0 | 1 => refusal(Status::Busy),
            _ => answer(&evidence(&vm(), nonce, &host_keys(1))),
        };
        let _ = stream.write_all(&bytes);
    });
    let ran = attest(home.path(), &busy, &["--timeout", "60s"]).ok();
    assert_eq!(busy.asked(), 3);
    assert!(ran.stderr.contains("busy") && ran.stderr.contains("asking again"), "{}", ran.stderr);
    let always = Responder::new(|_number, _nonce, stream| {
        let _ = stream.write_all(&refusal(Status::Busy));
    });
    let ran = attest(home.path(), &always, &["--timeout", "1s"]).code(4);
    assert!(ran.stderr.contains("busy with other questions"), "{}", ran.stderr);
    // A port forwarder before a VM that boots: it accepts and closes.
    let boots = |number: usize, nonce: &[u8; 32], stream: &mut std::net::TcpStream| {
        if number >= 2 {
            let _ = stream.write_all(&answer(&evidence(&vm(), nonce, &host_keys(1))));
        }
    };
    let booting = Responder::new(boots);
    attest(home.path(), &booting, &[]).code(4);
    assert_eq!(booting.asked(), 1, "without --wait once");
    let booting = Responder::new(boots);
    attest(home.path(), &booting, &["--wait"]).ok();
    assert_eq!(booting.asked(), 3);
    // What is no evidence does not become one by waiting.
    let garbage = Responder::new(|_number, _nonce, stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    attest(home.path(), &garbage, &["--wait", "60s"]).code(4);
    assert_eq!(garbage.asked(), 1);
}
