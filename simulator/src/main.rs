//! `ravelin-simulator`, the host's side of the simulator.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use attestation::id_block::{IdAuth, IdBlock};
use attestation::measurement::GuestFeatures;
use attestation::product::Product;
use attestation::report::{KeyKind, ReportVersion};
use attestation::tcb::Tcb;
use base64ct::{Base64, Encoding};
use clap::{Args, Parser, Subcommand};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::json;
use simulator::archive::{GUEST, Overlay};
use simulator::fault::Fault;
use simulator::names;
use simulator::qemu;
use simulator::report::usual_tcb;
use simulator::server::{Platform, Settings, serve};
use simulator::state::State;

type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// A simulated AMD secure processor for development and tests
///
/// It protects NOTHING. Its reports are signed by keys that lie readable on this machine, under
/// a root that verifiers accept only where it is given to them (--trust-root).
/// `ravelin launch --simulate` starts it; nobody else has to.
#[derive(Debug, Parser)]
#[command(name = "ravelin-simulator", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the archive that is put behind the production initramfs
    Archive(Archive),
    /// Write the root certificate of a product, for --trust-root
    Root(Root),
    /// Sign reports for the VMs that connect to a socket
    ///
    /// Once it serves, it prints one line of JSON on the standard output: "root" (the root's PEM
    /// file, for --trust-root), "initrd" (what to boot in the place of the production initramfs),
    /// "cmdline_suffix" (what to append to the kernel's command line, as it stands), "qemu" (a
    /// list: more arguments of QEMU), "certificates" (the certificate table, base64). What it
    /// measured is on the standard error.
    Serve(Box<Serve>),
}

#[derive(Debug, Args)]
struct Guest {
    /// Another guest program than the one inside: a static x86-64 executable
    #[arg(long, value_name = "FILE")]
    guest: Option<PathBuf>,
    /// The kernel's lib/modules/VERSION; without it, it has configfs and tsm built in
    #[arg(short = 'm', long, value_name = "DIR")]
    kernel_modules: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Keys {
    /// Where keys are kept; by default $XDG_DATA_HOME/ravelin/simulator
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The simulated platform: milan, genoa or turin
    #[arg(long, value_name = "NAME", default_value = "milan")]
    product: Product,
}

#[derive(Debug, Args)]
struct Archive {
    #[command(flatten)]
    guest: Guest,
    /// The production initramfs
    #[arg(long, value_name = "FILE")]
    initramfs: PathBuf,
    /// The concatenation to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
struct Root {
    #[command(flatten)]
    keys: Keys,
    /// The PEM file to write; without it, its place in the state is printed
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    guest: Guest,
    #[command(flatten)]
    keys: Keys,
    /// The production initramfs
    #[arg(long, value_name = "FILE")]
    initramfs: PathBuf,
    /// An empty directory of the caller's, for the socket and the initramfs to boot
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// The firmware to measure: the one that the VM would have on hardware
    #[arg(long, value_name = "FILE")]
    firmware: PathBuf,
    /// The guest policy
    #[arg(long, value_name = "BITS", default_value = "0x30000", value_parser = bits)]
    policy: u64,
    /// The guest features of the vCPUs
    #[arg(long, value_name = "BITS", value_parser = bits)]
    guest_features: Option<u64>,
    /// HOST_DATA, 32 bytes
    #[arg(long, value_name = "HEX", value_parser = hex_bytes::<32>)]
    host_data: Option<[u8; 32]>,
    /// The ID block, as QEMU takes it
    #[arg(long, value_name = "BASE64", requires = "id_auth")]
    id_block: Option<String>,
    /// The ID authentication information, as QEMU takes it
    #[arg(long, value_name = "BASE64", requires = "id_block")]
    id_auth: Option<String>,
    /// Whether the author key in it is used
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    author_key: bool,
    /// The report's version: 2, 3 or 5
    #[arg(long, value_name = "NUMBER", default_value = "3", value_parser = report_version)]
    report_version: ReportVersion,
    /// Which key signs: vcek or vlek
    #[arg(long, value_name = "KIND", default_value = "vcek", value_parser = key_kind)]
    key: KeyKind,
    /// The chip's id, 64 bytes; for Turin 8
    #[arg(long, value_name = "HEX", value_parser = chip_id)]
    chip_id: Option<[u8; 64]>,
    /// The platform's TCB version, 8 bytes in the order of a report
    #[arg(long, value_name = "HEX", value_parser = hex_bytes::<8>)]
    tcb: Option<[u8; 8]>,
    /// PLATFORM_INFO
    #[arg(long, value_name = "BITS", default_value = "0x25", value_parser = bits)]
    platform_info: u64,
    /// The highest privilege level of the guest, 0 to 3
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=3))]
    vmpl: u32,
    /// Something that goes wrong: busy, wrong-nonce, stale-report, truncated, other-vm or
    /// generation; with @FIRST or @FIRST-LAST only for these reports (repeatable)
    #[arg(long, value_name = "NAME")]
    fault: Vec<Fault>,
    /// End when the process that started this one ends
    #[arg(long)]
    with_parent: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ravelin-simulator: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result {
    match command {
        Command::Archive(arguments) => archive(&arguments),
        Command::Root(arguments) => root(&arguments),
        Command::Serve(arguments) => serve_socket(*arguments),
    }
}

fn archive(arguments: &Archive) -> Result {
    concatenate(&overlay(&arguments.guest)?, &arguments.initramfs, &arguments.output)
}

fn concatenate(overlay: &Overlay, initramfs: &Path, output: &Path) -> Result {
    let shown = |path: &Path| format!("{}", path.display());
    let mut bytes =
        fs::read(initramfs).map_err(|error| format!("{}: {error}", shown(initramfs)))?;
    bytes.extend(overlay.behind(bytes.len() as u64)?);
    fs::write(output, bytes).map_err(|error| format!("{}: {error}", shown(output)))?;
    Ok(())
}

fn root(arguments: &Root) -> Result {
    let Keys { state, product } = &arguments.keys;
    let root = State::open(state.as_deref())?.product(*product, || making(*product))?.root;
    match &arguments.output {
        Some(output) => {
            fs::copy(&root, output).map_err(|error| format!("{}: {error}", output.display()))?;
        }
        None => writeln!(io::stdout(), "{}", root.display())?,
    }
    Ok(())
}

fn serve_socket(arguments: Serve) -> Result {
    if arguments.with_parent {
        set_parent_process_death_signal(Some(Signal::TERM))?;
    }
    let state = State::open(arguments.keys.state.as_deref())?;
    let product = arguments.keys.product;
    let keys = state.product(product, || making(product))?;
    let directory = std::path::absolute(&arguments.directory)?;
    let (socket, initrd) = (directory.join("port"), directory.join("initramfs"));
    let production = arguments.initramfs.clone();
    let settings = settings(arguments)?;
    concatenate(&settings.overlay, &production, &initrd)?;
    let platform = Platform::new(settings, &state, &keys)?;
    let listener =
        UnixListener::bind(&socket).map_err(|error| format!("{}: {error}", socket.display()))?;
    // Whoever started this one waits for the line.
    let line = json!({
        "root": utf8(&std::path::absolute(&keys.root)?)?,
        "initrd": utf8(&initrd)?,
        "cmdline_suffix": names::CMDLINE_SUFFIX,
        "qemu": qemu::port_arguments(utf8(&socket)?),
        "certificates": Base64::encode_string(platform.certificates()),
    });
    let mut output = io::stdout();
    writeln!(output, "{line}")?;
    output.flush()?;
    thread::scope(|scope| {
        loop {
            let (connection, _address) = listener.accept()?;
            let platform = &platform;
            scope.spawn(move || {
                let served = serve(connection, platform, |launched| match launched {
                    Ok(guest) => eprintln!(
                        "ravelin-simulator: measured {} (with the VM description's firmware), \
                         REPORT_ID {}",
                        hex::encode(guest.measurement()),
                        hex::encode(guest.report_id())
                    ),
                    Err(error) => {
                        eprintln!("ravelin-simulator: no reports for this VM: {}", chain(error));
                    }
                });
                if let Err(error) = served {
                    eprintln!("ravelin-simulator: the VM's connection: {error}");
                }
            });
        }
    })
}

fn settings(arguments: Serve) -> Result<Settings> {
    let product = arguments.keys.product;
    let id_block = match (&arguments.id_block, &arguments.id_auth) {
        (Some(block), Some(auth)) => {
            let (block, auth) = (IdBlock::from_base64(block)?, IdAuth::from_base64(auth)?);
            auth.verify(&block)?;
            Some((block, auth))
        }
        _ => None,
    };
    Ok(Settings {
        overlay: overlay(&arguments.guest)?,
        firmware: arguments.firmware,
        product,
        version: arguments.report_version,
        key: arguments.key,
        chip_id: arguments.chip_id,
        tcb: arguments.tcb.map_or(usual_tcb(product), Tcb),
        platform_info: arguments.platform_info,
        policy: arguments.policy,
        features: arguments.guest_features.map_or_else(GuestFeatures::default, GuestFeatures::new),
        vmpl: arguments.vmpl,
        host_data: arguments.host_data.unwrap_or_default(),
        id_block,
        author_key: arguments.author_key,
        faults: arguments.fault,
    })
}

fn overlay(guest: &Guest) -> Result<Overlay> {
    let modules = guest.kernel_modules.as_deref();
    let program = guest
        .guest
        .as_deref()
        .map(|path| fs::read(path).map_err(|error| format!("{}: {error}", path.display())));
    let program = program.transpose()?;
    let program = program.as_deref().or(GUEST).ok_or(
        "this simulator was built without its guest program inside; `cargo xtask build` makes one \
         that has it, or name one with --guest",
    )?;
    Ok(Overlay::new(program, modules)?)
}

fn making(product: Product) {
    eprintln!("ravelin-simulator: making the test keys for {product}, once; it takes some seconds");
}

fn utf8(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?)
}

/// An error with all its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _a_string_takes_it = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// A number, decimal or hexadecimal after 0x.
fn bits(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_no_number| "write a number, such as 0x30000".to_owned())
}

fn hex_bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_not_hex| format!("write {N} bytes, {} hexadecimal digits", 2 * N))?;
    Ok(bytes)
}

/// 64 bytes, or 8 with zeros after them.
fn chip_id(text: &str) -> Result<[u8; 64], String> {
    if text.len() == 16 {
        let mut id = [0; 64];
        for (to, from) in id.iter_mut().zip(hex_bytes::<8>(text)?) {
            *to = from;
        }
        return Ok(id);
    }
    hex_bytes(text)
}

fn report_version(text: &str) -> Result<ReportVersion, String> {
    match text {
        "2" => Ok(ReportVersion::V2),
        "3" => Ok(ReportVersion::V3),
        "5" => Ok(ReportVersion::V5),
        _ => Err("write 2, 3 or 5".to_owned()),
    }
}

fn key_kind(text: &str) -> Result<KeyKind, String> {
    match text {
        "vcek" => Ok(KeyKind::Vcek),
        "vlek" => Ok(KeyKind::Vlek),
        _ => Err("write vcek or vlek".to_owned()),
    }
}
