//! `ravelin id-block`.
//!
//! Private keys pass through here. They are read once, wiped after use, and
//! nothing of them is printed; a file that everyone can read gets a warning.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use attestation::id_block::{IdAuth, IdBlock, PrivateKey, PublicKey, Signature, SigningRequest};
use attestation::measurement::{KeyDigest, LaunchDigest};
use attestation::report::Hex;
use clap::{Args, ValueEnum};
use serde::Serialize;
use zeroize::Zeroizing;

use super::guest::failure;
use crate::evidence;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::measure;
use crate::terminal::{Terminal, Text, printable};
use crate::vm::{Policy, VmEditor};

/// A PEM file with one key has less than 1 KiB.
const KEY_LIMIT: u64 = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out id.pem
  ravelin id-block --id-key id.pem --write           # of vm.toml here, and into it
  ravelin id-block --id-key id.pem --author-key author.pem --guest-svn 3 --json
  # with a key on another machine or in a hardware module:
  ravelin id-block --print-to-sign id-block > block.bin
  openssl dgst -sha384 -sign id.pem -out block.sig block.bin
  ravelin id-block --id-public-key id.pub --signature block.sig --write

The secure processor starts a VM with an ID block only if digest and policy are those of the block
and the signature holds, and puts the digest of the key in every report. So a policy can accept
whatever the key signed: id_key_digest = [\"…\"]. With an author key, which certifies ID keys,
author_key_digest does the same for all its ID keys.

JSON (\"kind\": \"id-block\"): id_block and id_auth (QEMU's base64), author_key (whether there is one),
launch_digest, guest_policy, family_id, image_id, guest_svn, id_key_digest, author_key_digest (or
null), file (the VM description that was written, or null).
JSON (\"kind\": \"id-block-to-sign\"): what (\"id-block\" or \"id-key\"), bytes (hexadecimal).";

/// Sign what may be launched: ID block and ID authentication
///
/// Computes the launch digest of the VM and signs it, with the guest policy and ids of your choice,
/// with a P-384 key (PEM: PKCS#8 or SEC1). Prints both structures as QEMU takes them, or writes them
/// into vm.toml, from where `ravelin launch` passes them on.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct IdBlockArguments {
    /// The VM description: what is measured, and the guest policy
    #[arg(long, value_name = "FILE", default_value = "vm.toml")]
    vm: PathBuf,
    /// Sign this launch digest, without any VM description
    #[arg(long, value_name = "DIGEST", conflicts_with_all = ["vm", "write"])]
    digest: Option<LaunchDigest>,
    /// The guest policy that goes with --digest, such as 0x30000
    #[arg(long, value_name = "BITS", requires = "digest", value_parser = policy)]
    guest_policy: Option<Policy>,
    /// FAMILY_ID, 32 hexadecimal digits [default: zero]
    #[arg(long, value_name = "HEX")]
    family_id: Option<Hex<16>>,
    /// IMAGE_ID, 32 hexadecimal digits [default: zero]
    #[arg(long, value_name = "HEX")]
    image_id: Option<Hex<16>>,
    /// GUEST_SVN: the guest's security version
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    guest_svn: u32,
    #[command(flatten)]
    keys: Keys,
    /// Write what is to be signed to standard output, and nothing else
    ///
    /// The bytes as they are, to be signed as ECDSA P-384 over their SHA-384. `id-block` for the ID
    /// key; `id-key` for the author key.
    #[arg(long, value_name = "WHAT", conflicts_with = "write")]
    print_to_sign: Option<ToSign>,
    /// Write both structures into the VM description
    #[arg(long)]
    write: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Keys and signatures")]
struct Keys {
    /// The ID key, a private key that signs the ID block
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id_public_key", "signature"])]
    id_key: Option<PathBuf>,
    /// The ID key's public key, where --signature was made elsewhere
    #[arg(long, value_name = "FILE")]
    id_public_key: Option<PathBuf>,
    /// The ID key's signature, made elsewhere (DER, or r and s of 48 bytes each)
    #[arg(long, value_name = "FILE", requires = "id_public_key")]
    signature: Option<PathBuf>,
    /// The author key, a private key that certifies the ID key
    #[arg(long, value_name = "FILE", conflicts_with_all = ["author_public_key", "author_signature"])]
    author_key: Option<PathBuf>,
    /// The author key's public key, where --author-signature was made elsewhere
    #[arg(long, value_name = "FILE", requires = "author_signature")]
    author_public_key: Option<PathBuf>,
    /// The author key's signature, made elsewhere
    #[arg(long, value_name = "FILE", requires = "author_public_key")]
    author_signature: Option<PathBuf>,
}

/// What is signed elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ToSign {
    /// The ID block, 96 bytes, for the ID key
    IdBlock,
    /// The ID key, 1028 bytes, for the author key
    IdKey,
}

#[derive(Serialize)]
struct Made {
    id_block: String,
    id_auth: String,
    author_key: bool,
    launch_digest: LaunchDigest,
    guest_policy: String,
    family_id: Hex<16>,
    image_id: Hex<16>,
    guest_svn: u32,
    id_key_digest: KeyDigest,
    author_key_digest: Option<KeyDigest>,
    file: Option<String>,
}

#[derive(Serialize)]
struct Message {
    what: &'static str,
    bytes: String,
}

pub(crate) fn run(arguments: &IdBlockArguments, terminal: &Terminal) -> Result {
    let (block, editor) = block(arguments)?;
    if let Some(what) = arguments.print_to_sign {
        return print_to_sign(what, &block, &arguments.keys, terminal);
    }
    let auth = authentication(&block, &arguments.keys, terminal)?;
    let mut file = None;
    if arguments.write
        && let Some(mut editor) = editor
    {
        editor.set_id_block(&block, &auth)?;
        editor.write()?;
        file = Some(arguments.vm.display().to_string());
    }
    let made = Made {
        id_block: block.to_base64(),
        id_auth: auth.to_base64(),
        author_key: auth.author().is_some(),
        launch_digest: block.launch_digest,
        guest_policy: format!("{:#x}", block.policy),
        family_id: Hex(block.family_id),
        image_id: Hex(block.image_id),
        guest_svn: block.guest_svn,
        id_key_digest: auth.id_key_digest(),
        author_key_digest: auth.author_key_digest(),
        file,
    };
    terminal.result("id-block", &made, &text(&made))?;
    Ok(Exit::Success)
}

/// The block, and the description that it may be written into.
fn block(arguments: &IdBlockArguments) -> Result<(IdBlock, Option<VmEditor>)> {
    let (launch_digest, policy, editor) = if let Some(digest) = arguments.digest {
        (digest, arguments.guest_policy.unwrap_or_default(), None)
    } else {
        let (editor, file) = VmEditor::for_id_block(&arguments.vm)
            .remedy("`ravelin launch --help` shows the keys of a VM description")?;
        let digest = measure::vm(&file).map_err(failure)?;
        (digest, file.vm().sev.policy, Some(editor))
    };
    let block = IdBlock {
        launch_digest,
        family_id: arguments.family_id.map_or([0; 16], |id| id.0),
        image_id: arguments.image_id.map_or([0; 16], |id| id.0),
        guest_svn: arguments.guest_svn,
        policy: policy.bits(),
    };
    Ok((block, editor))
}

fn print_to_sign(what: ToSign, block: &IdBlock, keys: &Keys, terminal: &Terminal) -> Result {
    let (name, bytes) = match what {
        ToSign::IdBlock => ("id-block", block.to_bytes().to_vec()),
        ToSign::IdKey => {
            let key = match (&keys.id_key, &keys.id_public_key) {
                (Some(path), _) => private_key(path, terminal)?.public_key(),
                (None, Some(path)) => public_key(path)?,
                (None, None) => {
                    return Err(Failure::usage("which ID key?")
                        .help("name it with --id-public-key or --id-key"));
                }
            };
            ("id-key", key.to_bytes().to_vec())
        }
    };
    if terminal.json() {
        let message = Message { what: name, bytes: hex::encode(&bytes) };
        terminal.result("id-block-to-sign", &message, &Text::new())?;
    } else {
        terminal.binary(&bytes)?;
    }
    Ok(Exit::Success)
}

/// The signatures, made here or elsewhere; each is checked before it is used.
fn authentication(block: &IdBlock, keys: &Keys, terminal: &Terminal) -> Result<IdAuth> {
    let (id_key, signature) = match (&keys.id_key, &keys.id_public_key, &keys.signature) {
        (Some(path), _, _) => {
            let key = private_key(path, terminal)?;
            (key.public_key(), key.sign(&block.to_bytes()))
        }
        (None, Some(public), Some(made)) => (public_key(public)?, read_signature(made)?),
        (None, Some(_), None) => {
            return Err(Failure::usage("the ID key's signature is missing").help(
                "sign what `ravelin id-block --print-to-sign id-block` prints, and give the \
                 signature with --signature",
            ));
        }
        (None, None, _) => {
            return Err(Failure::usage("which ID key?")
                .help("name a private key with --id-key, or --id-public-key and --signature"));
        }
    };
    let message = id_key.to_bytes();
    let author = match (&keys.author_key, &keys.author_public_key, &keys.author_signature) {
        (Some(path), _, _) => {
            let key = private_key(path, terminal)?;
            Some((key.public_key(), key.sign(&message)))
        }
        (None, Some(public), Some(made)) => Some((public_key(public)?, read_signature(made)?)),
        // The parser wants both or neither.
        (None, _, _) => None,
    };
    let request = SigningRequest::new(*block, id_key, author.map(|(key, _)| key));
    request.assemble(signature, author.map(|(_, signature)| signature)).remedy(
        "the bytes to sign are those of `ravelin id-block --print-to-sign`, with the same VM and \
         the same ids",
    )
}

fn private_key(path: &Path, terminal: &Terminal) -> Result<PrivateKey> {
    let failed = |error| Failure::new(error).named(path);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.mode() & 0o007 != 0 {
        terminal.warning(&format!(
            "{}: everyone on this machine can use this private key; chmod 600 it",
            path.display()
        ));
    }
    // No reallocation leaves a copy behind.
    let mut pem = Zeroizing::new(Vec::with_capacity(usize::try_from(KEY_LIMIT + 1).unwrap_or(0)));
    file.take(KEY_LIMIT).read_to_end(&mut pem).map_err(failed)?;
    PrivateKey::from_pem(&pem).map_err(|error| {
        Failure::new(format!("{}: {}", path.display(), crate::terminal::causes(&error)))
    })
}

fn public_key(path: &Path) -> Result<PublicKey> {
    PublicKey::from_pem(&evidence::bytes(path)?).map_err(|error| {
        Failure::new(format!("{}: {}", path.display(), crate::terminal::causes(&error)))
            .help("`openssl pkey -in KEY.pem -pubout -out KEY.pub` writes a public key")
    })
}

fn read_signature(path: &Path) -> Result<Signature> {
    Signature::from_tool(&evidence::bytes(path)?).map_err(|error| {
        Failure::new(format!("{}: {}", path.display(), crate::terminal::causes(&error)))
            .help("`openssl dgst -sha384 -sign KEY.pem -out FILE.sig FILE` makes one")
    })
}

/// `0x30000`, or decimal.
fn policy(text: &str) -> std::result::Result<Policy, String> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    let bits = i64::from_str_radix(digits, radix)
        .map_err(|_error| "write the policy as 0x30000, say".to_owned())?;
    Policy::try_from(bits).map_err(|error| error.to_string())
}

fn text(made: &Made) -> Text {
    let mut text = Text::new();
    if let Some(file) = &made.file {
        text.line(format!("{}: ID block written", printable(file)));
    }
    text.field("launch digest", made.launch_digest);
    text.field("guest policy", &made.guest_policy);
    text.field("family id", made.family_id);
    text.field("image id", made.image_id);
    text.field("guest SVN", made.guest_svn);
    text.field("ID key digest", made.id_key_digest);
    if let Some(digest) = made.author_key_digest {
        text.field("author key", digest);
    }
    if made.file.is_none() {
        text.line(format!("id-block={}", made.id_block));
        text.line(format!("id-auth={}", made.id_auth));
        if made.author_key {
            text.line("author-key-enabled=on");
        }
    }
    text
}
