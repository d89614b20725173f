//! A responder on loopback whose reports the tests' own authority signs, and
//! which misbehaves on request.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use attestation::product::Product;
use protocol::host_keys::HostKeys;
use protocol::receipt::Receipt;
use protocol::report_data::{Binding, Nonce};
use protocol::responder::{Evidence, QUESTION, answer, read_question};

use crate::common::{Ran, ravelin};
use crate::verify_support::{Draft, LeafSpec, Spec, keys, table};

/// The time at which the tests' certificates are valid.
pub(crate) const AT: &str = "2025-09-01T00:00:00Z";

/// The measurement of [`Draft::new`].
pub(crate) fn measurement() -> String {
    "3e".repeat(48)
}

/// A responder; its threads end with the test.
pub(crate) struct Responder {
    pub(crate) address: String,
    asked: Arc<AtomicUsize>,
}

impl Responder {
    /// Answers each connection by `reply`, which gets its number from 0, the
    /// nonce and the connection.
    pub(crate) fn new(
        reply: impl Fn(usize, &Nonce, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let (count, reply) = (Arc::clone(&asked), Arc::new(reply));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                let reply = Arc::clone(&reply);
                std::thread::spawn(move || {
                    let mut question = [0; QUESTION];
                    stream.read_exact(&mut question).unwrap();
                    reply(number, &read_question(&question).unwrap(), &mut stream);
                });
            }
        });
        Self { address, asked }
    }

    /// Answers with good evidence about this VM.
    pub(crate) fn good(draft: Draft, host_keys: HostKeys) -> Self {
        Self::new(move |_number, nonce, stream| {
            // The peer may have seen enough and gone.
            let _ = stream.write_all(&answer(&evidence(&draft, nonce, &host_keys)));
        })
    }

    /// How many connections there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The good VM.
pub(crate) fn vm() -> Draft {
    Draft::new(3, Product::Milan)
}

/// Host keys of one made-up key.
pub(crate) fn host_keys(content: u8) -> HostKeys {
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend([content; 32]);
    HostKeys::new([blob]).unwrap()
}

/// What a genuine VM answers.
pub(crate) fn evidence(draft: &Draft, nonce: &Nonce, host_keys: &HostKeys) -> Evidence {
    let data = Binding::Responder { nonce, host_keys, receipt_head: None }.report_data();
    about(draft, data, host_keys)
}

/// The same with a boot receipt.
pub(crate) fn with_receipt(
    draft: &Draft,
    nonce: &Nonce,
    host_keys: &HostKeys,
    text: &str,
) -> Evidence {
    let receipt = Receipt::decode(text.as_bytes()).unwrap();
    let receipt_head = Some(receipt.head());
    let data = Binding::Responder { nonce, host_keys, receipt_head }.report_data();
    let receipt_head = receipt_head.copied();
    Evidence { receipt_head, receipt: Some(receipt), ..about(draft, data, host_keys) }
}

/// Evidence whose report has this REPORT_DATA.
pub(crate) fn about(draft: &Draft, data: [u8; 64], host_keys: &HostKeys) -> Evidence {
    let report = draft.clone().set(0x50, &data).signed().0;
    let product = Product::Milan;
    let ask = Spec::ask(product).der(&keys().ark);
    let vcek = Spec::vcek(&LeafSpec::vcek(product)).der(&keys().ask);
    Evidence {
        report: Box::new(report.try_into().unwrap()),
        certificates: Some(table(&ask, &vcek)),
        host_keys: host_keys.clone(),
        receipt_head: None,
        receipt: None,
    }
}

/// Writes the tests' root as `ark.der`.
pub(crate) fn write_root(directory: &Path) {
    fs::write(directory.join("ark.der"), Spec::ark(Product::Milan).der(&keys().ark)).unwrap();
}

/// The program in `directory`, which is also its home.
pub(crate) fn at_home(directory: &Path) -> Command {
    let mut command = ravelin();
    command.current_dir(directory).env("HOME", directory);
    for variable in ["XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        command.env_remove(variable);
    }
    command
}

/// Options that accept the good VM.
pub(crate) fn accepting() -> Vec<String> {
    let words =
        ["--offline", "--trust-root", "ark.der", "--at", AT, "--measurement"].map(str::to_owned);
    words.into_iter().chain([measurement()]).collect()
}

/// Runs `ravelin COMMAND --address RESPONDER ARGUMENTS` with [`accepting`].
pub(crate) fn ask(
    directory: &Path,
    command: &[&str],
    responder: &Responder,
    arguments: &[&str],
) -> Ran {
    let mut all = at_home(directory);
    all.args(command).args(accepting()).args(["--address", &responder.address]).args(arguments);
    all.output().unwrap().into()
}
