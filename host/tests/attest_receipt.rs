//! `ravelin attest --receipt`: what the VM says that it did, beside what its files predict.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;
#[path = "../../attestation/tests/measurement_common/mod.rs"]
mod measurement_common;
mod responder_support;
#[path = "../../attestation/tests/verify_support/mod.rs"]
mod verify_support;
mod vm_support;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::{Ran, codes, run};
use image_builder::initramfs::{Archive, Compression, assemble, configuration};
use protocol::responder::{Evidence, answer};
use responder_support::{
    AT, Responder, at_home, evidence, host_keys, vm, with_receipt, write_root,
};
use sha2::{Digest as _, Sha256};
use verify_support::Draft;
use vm_support::describe;

const ORDER: &str = "# ravelin load order 1\nkernel 6.12.1\n0 required /lib/modules/6.12.1/dm.ko\n";
/// SHA-256 of its settings, as docs/formats.md says, computed apart from it.
const SETTINGS: &str = "cb2f0269ad9fb18a69b743f3b45fbc4c920c4c08c755ddfc84788001c298467c";
const FILE: &str = "root.mode = 'plain'\ninsecure = true\n";

/// A VM whose files predict something, and what its receipt should be.
struct Home {
    directory: tempfile::TempDir,
    draft: Draft,
    good: String,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        write_root(home);
        describe(home, "");
        let mut more = Archive::new();
        for path in ["/lib", "/lib/modules", "/etc", "/etc/ravelin", "/etc/ravelin/hooks"] {
            more.directory(path, 0o755).unwrap();
        }
        more.file("/lib/modules/ravelin.load", 0o644, ORDER.into()).unwrap();
        more.directory("/etc/ravelin/hooks/pre-root.d", 0o755).unwrap();
        more.file("/etc/ravelin/hooks/pre-root.d/10-look", 0o755, vec![1]).unwrap();
        let archives = [configuration(FILE).unwrap(), more];
        let initramfs = assemble(&archives, Compression::None).unwrap();
        fs::write(home.join("initrd"), initramfs).unwrap();
        let words = "console=ttyS0 ravelin.root.device=serial:root ravelin.root.fstype=ext4";
        let text = fs::read_to_string(home.join("vm.toml")).unwrap();
        fs::write(home.join("vm.toml"), text.replace("console=ttyS0", words)).unwrap();
        let json = run(home, &["measure", "--json"]).ok().json();
        let mut draft = vm();
        draft.set(0x90, &hex::decode(json["measurement"].as_str().unwrap()).unwrap());
        let order = hex::encode(Sha256::digest(ORDER));
        let keys = hex::encode(Sha256::digest(host_keys(1).encode()));
        let good = format!(
            "configuration\tplain\t{SETTINGS}\nhook\tpre-root\t10-look\n\
             modules\t6.12.1\t1\t{order}\nharden\tpointers kexec bpf sysrq\tnone\n\
             disk\troot.device\tserial:root\t/dev/vda\t65536\nhook-ran\tpre-root\t10-look\n\
             root\text4\t/sbin/init\nwritable\tdirectories\tmemory up to 50%\t/etc\n\
             reports\tconfigfs-tsm\nssh-host-keys\t1\t{keys}\n"
        );
        Self { directory, draft, good }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A VM with this receipt.
    fn says(&self, receipt: &str) -> Responder {
        self.answers(receipt, |_evidence| {})
    }

    /// A VM with this receipt, whose answer somebody changes.
    fn answers(
        &self,
        receipt: &str,
        change: impl Fn(&mut Evidence) + Send + Sync + 'static,
    ) -> Responder {
        let (draft, receipt) = (self.draft.clone(), receipt.to_owned());
        Responder::new(move |_number, nonce, stream| {
            let mut evidence = with_receipt(&draft, nonce, &host_keys(1), &receipt);
            change(&mut evidence);
            let _ = stream.write_all(&answer(&evidence));
        })
    }

    fn attest(&self, responder: &Responder, arguments: &[&str]) -> Ran {
        let mut command = at_home(self.path());
        command.args(["attest", "--offline", "--trust-root", "ark.der", "--at", AT]);
        command.args(["--address", &responder.address]).args(arguments);
        command.output().unwrap().into()
    }
}

/// The findings that are not `predicted`, by event.
fn other(ran: &Ran) -> Vec<(String, String)> {
    let json = ran.json();
    let lines = json["receipt"]["lines"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let pairs = lines.iter().map(|line| (text(&line["event"]), text(&line["finding"])));
    pairs.filter(|(_, finding)| finding != "predicted").collect()
}

fn one(event: &str, finding: &str) -> Vec<(String, String)> {
    vec![(event.to_owned(), finding.to_owned())]
}

#[test]
fn a_receipt_as_predicted_is_shown() {
    let home = Home::new();
    let responder = home.says(&home.good);
    let json = home.attest(&responder, &["--json", "--receipt"]).ok().json();
    assert_eq!(json["receipt"]["as_predicted"], true);
    assert_eq!(json["receipt"]["lines"].as_array().unwrap().len(), 10);
    let disk = &json["receipt"]["lines"][4];
    assert_eq!((&disk["event"], &disk["values"]["node"]), (&"disk".into(), &"/dev/vda".into()));
    assert_eq!(disk["decided"], serde_json::json!({"node": "host", "bytes": "host"}));
    let text = home.attest(&responder, &["--receipt"]).ok().stdout;
    for line in [
        "root.device  serial:root  /dev/vda  65536\n",
        "as predicted; the host's choice: bytes, node\n",
        "ext4  /sbin/init\n",
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    // Without it, the head alone.
    let json = home.attest(&responder, &["--json"]).ok().json();
    assert!(json.get("receipt").is_none() && json["receipt_head"].is_string());
}

#[test]
fn a_line_that_is_not_predicted_refuses_the_vm() {
    let home = Home::new();
    let says = |from: &str, to: &str| {
        assert_eq!(home.good.matches(from).count(), 1, "{from}");
        home.says(&home.good.replace(from, to))
    };
    let responder = says("\text4\t", "\txfs\t");
    let pin = home.path().join("instance");
    let arguments = ["--json", "--receipt", "--pin", pin.to_str().unwrap()];
    let ran = home.attest(&responder, &arguments).code(1);
    assert_eq!(other(&ran), one("root", "differs"));
    assert!(ran.stderr.contains("a guest of exactly these files cannot say it"), "{}", ran.stderr);
    assert!(!pin.exists());
    let text = home.attest(&responder, &["--receipt"]).code(1).stdout;
    assert!(text.contains("NOT PREDICTED: expected fstype ext4"), "{text}");
    let ran = home.attest(&says("hook-ran\tpre-root\t10-look\n", ""), &["--json", "--receipt"]);
    assert_eq!(other(&ran.code(1)), one("hook-ran", "missing"));
    let more = says("root\text4", "hook-ran\tpost-root\tx\nroot\text4");
    let ran = home.attest(&more, &["--json", "--receipt"]);
    assert_eq!(other(&ran.code(1)), one("hook-ran", "unexpected"));
    let settings = says(SETTINGS, &"0".repeat(64));
    let ran = home.attest(&settings, &["--json", "--receipt"]);
    assert_eq!(other(&ran.code(1)), one("configuration", "differs"));
    // An event of another release, and none at all.
    let ran = home.attest(&home.says("new\tx\n"), &["--receipt"]).code(1);
    assert!(ran.stderr.contains("unknown kind, \"new\""), "{}", ran.stderr);
    home.attest(&home.says(""), &["--receipt"]).code(1);
}

/// What did not fit is not what the guest cannot say.
#[test]
fn a_receipt_that_was_cut_is_explained() {
    let home = Home::new();
    let (kept, _) = home.good.split_once("root\text4").unwrap();
    let ran = home.attest(&home.says(&format!("{kept}cut\n")), &["--receipt"]).code(1);
    assert!(ran.stderr.contains("the boot receipt had no room for all"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("cannot say it"), "{}", ran.stderr);
    assert!(ran.stdout.contains("CUT: what was done after this had no room"), "{}", ran.stdout);
    assert!(ran.stdout.contains("MISSING: behind the cut"), "{}", ran.stdout);
    let ran = home.attest(&home.says(&format!("{kept}cut\n")), &["--receipt", "--json"]).code(1);
    let missing = ["root", "writable", "reports", "ssh-host-keys"];
    let missing = missing.map(|event| (event.to_owned(), "missing".to_owned()));
    assert_eq!(other(&ran), [&one("cut", "unexpected")[..], &missing].concat());
    // A line before it that is another's is one.
    let wrong = kept.replace("/10-look", "/10-lock").replace("\t10-look", "\t10-lock");
    let ran = home.attest(&home.says(&format!("{wrong}cut\n")), &["--receipt"]).code(1);
    assert!(ran.stderr.contains("cannot say it"), "{}", ran.stderr);
}

/// The host between the two changes the text, or takes it out.
#[test]
fn a_receipt_that_does_not_lead_to_the_head_is_refused() {
    let home = Home::new();
    let other = home.good.replace("/dev/vda", "/dev/vdb");
    let changed = home.answers(&home.good, move |evidence| {
        evidence.receipt = protocol::receipt::Receipt::decode(other.as_bytes()).ok();
    });
    for arguments in [&["--receipt"][..], &[]] {
        let ran = home.attest(&changed, arguments).code(4);
        assert!(ran.stderr.contains("does not lead to the head"), "{}", ran.stderr);
    }
    // With a head that it leads to, which the report does not bind.
    let both = home.answers(&home.good, |evidence| {
        let receipt = protocol::receipt::Receipt::default();
        (evidence.receipt_head, evidence.receipt) = (Some(*receipt.head()), Some(receipt));
    });
    let ran = home.attest(&both, &["--json", "--receipt"]).code(1);
    assert_eq!(codes(&ran.json()), ["report-data.mismatch"]);
    assert!(ran.json()["receipt"].is_null(), "a refused answer's receipt is not shown");
    let without = home.answers(&home.good, |evidence| evidence.receipt = None);
    let ran = home.attest(&without, &["--json", "--receipt"]).code(1);
    assert!(ran.stderr.contains("took it out"), "{}", ran.stderr);
    home.attest(&without, &[]).ok();
}

/// A guest of an older release.
#[test]
fn a_vm_without_a_receipt_is_accepted_unless_one_is_asked_for() {
    let home = Home::new();
    let draft = home.draft.clone();
    let responder = Responder::new(move |_number, nonce, stream| {
        let _ = stream.write_all(&answer(&evidence(&draft, nonce, &host_keys(1))));
    });
    home.attest(&responder, &[]).ok();
    let ran = home.attest(&responder, &["--json", "--receipt"]).code(1);
    assert_eq!(ran.json()["accepted"], true);
    assert!(ran.stderr.contains("no boot receipt"), "{}", ran.stderr);
}

#[test]
fn it_needs_files_that_pid_1_would_boot_with() {
    let home = Home::new();
    let responder = home.says(&home.good);
    let elsewhere = tempfile::tempdir().unwrap();
    write_root(elsewhere.path());
    let digest = "3e".repeat(48);
    let mut command = at_home(elsewhere.path());
    command.args(["attest", "--offline", "--trust-root", "ark.der", "--at", AT, "--receipt"]);
    command.args(["--address", &responder.address, "--measurement", &digest]);
    let ran = Ran::from(command.output().unwrap()).code(2);
    assert!(ran.stderr.contains("name it with --vm"), "{}", ran.stderr);
    fs::write(home.path().join("initrd"), "no archive").unwrap();
    let ran = home.attest(&responder, &["--receipt"]).code(3);
    assert!(ran.stderr.contains("ravelin inspect"), "{}", ran.stderr);
    assert_eq!(responder.asked(), 0);
}
