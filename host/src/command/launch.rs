//! `ravelin launch`.

mod print;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::measurement::LaunchDigest;
use clap::Args;
use protocol::cmdline::CommandLine;
use protocol::config::{self, Config};
use protocol::release;
use protocol::units::decimal;
use signal_hook::consts::SIGINT;

use crate::attest::address::GUEST_PORT;
use crate::command::inspect;
use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::measure;
use crate::qemu::{
    Command, Ended, PlatformError, Protection, Request, RunError, SnpHost, USUAL_CBITPOS,
    cbitpos_of_this_cpu, run as run_qemu,
};
use crate::simulator::{Running as Simulator, SimulatorError};
use crate::terminal::Terminal;
use crate::vm::{Link, VmFile};

const EXAMPLES: &str = "\
Examples:
  ravelin launch                          # vm.toml here, on an SEV-SNP host
  ravelin launch --vm web/vm.toml --simulate
  ravelin launch --simulate --simulator-argument=--fault=busy@2   # for tests of attestation
  ravelin launch --print                  # only show the QEMU command
  ravelin launch --print libvirt | virsh define /dev/stdin
  ravelin launch --print systemd > /etc/systemd/system/web.service
  ravelin launch --simulate --timeout 5m --console-log boot.log
  ravelin launch -- -m 4G                 # more arguments for QEMU, at your own risk

The VM description (vm.toml):
  format = 1                      # of this file
  firmware = \"OVMF.fd\"            # measured; AmdSev build of OVMF with SEV hashes
  kernel = \"vmlinuz\"              # measured
  initrd = \"initramfs.cpio.zst\"   # measured
  cmdline = \"console=ttyS0 …\"     # measured, exactly as written; 2046 bytes at most
  vcpus = 1                       # measured
  cpu = \"EPYC-v4\"                 # measured: one of QEMU's models
  memory = \"2G\"
  [[disks]]                       # virtio disks, raw images
  file = \"root.img\"
  serial = \"ravelin-root\"         # the guest finds it as serial:ravelin-root
  read_only = true                # the default
  [network]                       # without this table the VM has no network
  ssh_port = 2222                 # 127.0.0.1:2222 leads to the guest's port 22
  attest_port = 4777              # and this one to its responder, for `ravelin attest`
  unlock_port = 4778              # and this one to where it waits for keys, for `ravelin unlock`
  forward = [{ host_port = 8080, guest_port = 80 }]
                                  # also: protocol = \"udp\", host_address = \"0.0.0.0\"
  bridge = \"br0\"                  # instead of ports: on a bridge, by QEMU's bridge helper
  tap = \"tap0\"                    # or on a tap device that is there and that you may open
  mac = \"52:54:00:12:34:56\"       # of the card; needed with bridge or tap
  [sev]
  policy = 0x30000                # in the attestation report
  cbitpos = 51                    # asked of the processor where it is absent
  guest_features = 0x1            # measured: what the host's KVM turns on; QEMU has no option
  host_data = \"<64 digits>\"       # in the attestation report
  id_block = \"…\"                 # base64, with id_auth: `ravelin id-block` writes them
  id_auth = \"…\"
  author_key = true               # default: whether id_auth has an author key's signature
  [simulation]
  kernel_modules = \"DIR\"          # lib/modules/VERSION, for the simulated secure processor
  [attest]                        # for `ravelin attest` and ssh
  policy = \"policy.toml\"          # what is accepted besides this VM's launch digest
  address = \"vm.example:4777\"     # where its responder is, if not at attest_port
  [unlock]                        # for `ravelin unlock`
  address = \"vm.example:4778\"     # where it waits for keys, if not at unlock_port
  identity = \"owner.pub\"          # the owner's SSH key, private or public
  key = \"root.key\"               # the key file of the root
Paths start at the directory of the file. Unknown keys are errors.

JSON (\"kind\": \"launch\", with --print only): \"protection\" (\"sev-snp\" or \"none\"), \"program\",
\"arguments\" (a list), \"shell\" (the same, quoted for a POSIX shell). Of --print libvirt and
systemd: \"kind\": \"launch-libvirt\" or \"launch-systemd\", \"name\", \"text\".";

/// Start the VM that vm.toml describes
///
/// Runs QEMU with the VM's serial console on this terminal, and waits for it to end. Ctrl-C
/// stops the VM. On an SEV-SNP host the VM is a real SNP guest whose firmware, kernel,
/// initramfs, command line and vCPUs are measured by the secure processor.
///
/// Elsewhere --simulate runs the same kernel, initramfs and disks in QEMU's processor
/// emulation, for development: nothing is protected then, and it is slow. If the VM's
/// configuration asks for attestation, another program, ravelin-simulator, stands in for the
/// secure processor. It measures what QEMU was started with, takes the firmware from the VM
/// description, and signs reports under a root of its own, which verifiers accept only with
/// --trust-root.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Launch {
    /// The VM description
    #[arg(long, value_name = "FILE", default_value = "vm.toml")]
    vm: PathBuf,
    /// Show what would run instead of running it: qemu (the default), libvirt or systemd
    ///
    /// qemu is the command, quoted for a POSIX shell, that works as it stands. libvirt is a
    /// domain for `virsh define` (libvirt 10.5 or later), with the same measured inputs. systemd
    /// is a service that runs the command as a user of its own with few rights. None needs the
    /// files or an SEV-SNP host. With --simulate it is the command without a simulated secure
    /// processor, which lives only as long as its VM.
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        default_missing_value = "qemu",
        hide_possible_values = true
    )]
    print: Option<print::Format>,
    /// Emulate the processor: no SNP hardware needed, NOTHING is protected
    ///
    /// Uses QEMU's TCG with its default firmware, and of `cpu` only family, model and stepping.
    /// `firmware` and `sev` are for the simulated secure processor alone.
    #[arg(long)]
    simulate: bool,
    /// Start no simulated secure processor; PID 1 refuses to boot where it needs one
    #[arg(long, requires = "simulate")]
    no_simulator: bool,
    /// The simulated secure processor, by name or path
    ///
    /// Default: $RAVELIN_SIMULATOR, else ravelin-simulator beside this program or in $PATH.
    #[arg(long, value_name = "PROGRAM", requires = "simulate")]
    simulator: Option<OsString>,
    /// One more argument for the simulated secure processor (repeatable)
    ///
    /// `ravelin-simulator serve --help` has them: platform, firmware level, faults.
    #[arg(
        long,
        value_name = "ARGUMENT",
        requires = "simulate",
        allow_hyphen_values = true,
        conflicts_with = "no_simulator"
    )]
    simulator_argument: Vec<OsString>,
    /// Stop the VM after this time (such as 90s, 5m or 1h) and exit with 124
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Write a copy of the serial console to this file
    #[arg(long, value_name = "FILE")]
    console_log: Option<PathBuf>,
    /// The QEMU program, by name or path
    #[arg(long, value_name = "PROGRAM", default_value = "qemu-system-x86_64")]
    qemu: OsString,
    /// More arguments for QEMU, after `--`
    ///
    /// They are added at the end and not checked; they can undo what the rest sets up.
    #[arg(last = true, value_name = "QEMU_ARGUMENT")]
    extra: Vec<OsString>,
}

pub(crate) fn run(arguments: &Launch, terminal: &Terminal) -> Result {
    if terminal.json() && arguments.print.is_none() {
        let failure = Failure::usage("a running VM's console is no JSON document");
        return Err(failure.help("use --json together with --print, or leave it out"));
    }
    let file = VmFile::read(&arguments.vm).remedy(
        "`ravelin image initramfs --vm FILE` and `ravelin image verity --vm FILE` write a VM \
         description; `ravelin launch --help` shows its keys; --vm names another one",
    )?;
    let protection = protection(arguments, &file, terminal)?;
    let configuration = configuration(&file);
    let mut request = Request {
        program: &arguments.qemu,
        protection,
        simulator: None,
        console_log: arguments.console_log.as_deref(),
        responder_port: responder_port(&file, configuration.as_ref(), terminal),
        unlock_port: unlock_port(&file, configuration.as_ref(), terminal),
        extra: &arguments.extra,
    };
    if let Some(format) = arguments.print {
        return print::run(format, &file, &request, terminal);
    }
    for (setting, path, written) in Command::files(&file, protection)? {
        check(&file, setting, &path, written)?;
    }
    if let Some(network) = &file.vm().network {
        check_link(network.link())?;
    }
    if let (Protection::SevSnp { .. }, Some(block)) = (protection, &file.vm().sev.id_block) {
        check_id_block(&file, block.launch_digest)?;
    }
    if let Some(Err(refusal)) = &configuration {
        terminal.warning(&format!("PID 1 will refuse to boot: {refusal}"));
    }
    let evidence = matches!(&configuration, Some(Ok(config)) if config.attest.is_some());
    if file.vm().sev.policy.allows_debug() {
        terminal.warning("the policy lets the host debug the VM, that is read all its memory");
    }
    if protection == Protection::Simulated {
        terminal.warning(
            "SIMULATION: the processor is emulated. Nothing is protected and nothing is \
             attested;\n         whoever controls this machine can read and change \
             everything in the VM.",
        );
    }
    let simulator = simulator(arguments, &file, evidence, terminal)?;
    request.simulator = simulator.as_ref().map(|simulator| &simulator.parts);
    let command = Command::new(&file, &request)?;
    if let Some(port) = file.vm().network.as_ref().and_then(|network| network.ssh_port) {
        terminal.note(&format!(
            "ssh is at 127.0.0.1:{port} once it is up (`ravelin ssh-config` makes it attested); \
             Ctrl-C stops the VM"
        ));
    }
    if matches!(&configuration, Some(Ok(config)) if config.unlock.is_some()) {
        terminal.note("the VM will wait for its keys: `ravelin unlock --wait` releases them");
    }
    terminal.detail(&print::one_line(&command)?);
    let ended = run_qemu(&command, arguments.timeout).map_err(|error| match error {
        RunError::Start { .. } => Failure::from(error).help(
            "install QEMU (Debian: apt install qemu-system-x86), or name its program with --qemu",
        ),
        RunError::Watch(_) => error.into(),
    })?;
    match ended {
        Ended::Itself(status) if status.success() => Ok(Exit::Success),
        Ended::Itself(status) => Err(Failure::new(format!("QEMU ended with {status}"))
            .help("its own message is above; `ravelin launch --print` shows the command")),
        Ended::TimedOut => {
            terminal.warning("the VM was stopped because its --timeout ran out");
            Ok(Exit::TimedOut)
        }
        Ended::Signalled(SIGINT) => Ok(Exit::Interrupted),
        Ended::Signalled(_) => Ok(Exit::Terminated),
    }
}

fn protection(arguments: &Launch, file: &VmFile, terminal: &Terminal) -> Result<Protection> {
    let configured = file.vm().sev.cbitpos;
    if arguments.simulate {
        return Ok(Protection::Simulated);
    }
    if arguments.print.is_some() {
        let cbitpos = configured.or_else(cbitpos_of_this_cpu).unwrap_or_else(|| {
            terminal.note(&format!(
                "this processor has no SEV; cbitpos={USUAL_CBITPOS}, as on every EPYC so far, is \
                 printed (sev.cbitpos in the VM description sets it)"
            ));
            USUAL_CBITPOS
        });
        return Ok(Protection::SevSnp { cbitpos });
    }
    let host = SnpHost::detect(configured).map_err(|error| {
        let help = match &error {
            PlatformError::Device { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                "give your user access to it (usually: membership of the group kvm, and a udev \
                 rule for /dev/sev), or try the VM without protection: --simulate"
            }
            PlatformError::Device { .. } | PlatformError::SnpOff { .. } | PlatformError::NoCbit => {
                "an AMD EPYC 7003 or later with SEV-SNP enabled in its set-up and a host kernel \
                 that supports it (6.11 or later) are needed, and `ravelin host check` says what \
                 is missing; to try the VM without protection: --simulate"
            }
        };
        Failure::from(error).help(help)
    })?;
    Ok(Protection::SevSnp { cbitpos: host.cbitpos })
}

/// Whether QEMU will be able to open a file.
fn check(file: &VmFile, setting: &str, path: &Path, written: bool) -> Result<()> {
    let shown = path.display();
    let opened = OpenOptions::new().read(true).write(written).open(path);
    let help = format!("correct `{setting}` in {}", file.path().display());
    match opened.and_then(|opened| opened.metadata()) {
        Err(error) => Err(Failure::new(format!("the {setting} {shown}: {error}")).help(help)),
        Ok(metadata) if metadata.is_dir() => {
            Err(Failure::new(format!("the {setting} {shown} is a directory")).help(help))
        }
        Ok(_) => Ok(()),
    }
}

/// Whether the server has the interface: QEMU would try to make a tap device, which
/// needs root, and say no more than that it may not.
fn check_link(link: Link) -> Result<()> {
    let (what, name, mark, help) = match link {
        Link::User => return Ok(()),
        Link::Bridge(name) => (
            "bridge",
            name.as_str(),
            "bridge",
            format!("make it as root: ip link add {} type bridge", name.as_str()),
        ),
        Link::Tap(name) => (
            "tap device",
            name.as_str(),
            "tun_flags",
            format!("make it as root: ip tuntap add dev {} mode tap user \"$USER\"", name.as_str()),
        ),
    };
    if Path::new("/sys/class/net").join(name).join(mark).exists() {
        return Ok(());
    }
    Err(Failure::new(format!("this machine has no {what} {name}")).help(help))
}

/// Whether the ID block is this VM's: the secure processor would end the launch
/// of another one without saying why.
fn check_id_block(file: &VmFile, block: LaunchDigest) -> Result<()> {
    let digest = measure::vm(file)?;
    if digest == block {
        return Ok(());
    }
    let failure = Failure::new(format!(
        "{}: the ID block is for the launch digest {block}, and this VM has {digest}",
        file.path().display()
    ));
    Err(failure.help("make it anew with `ravelin id-block`, or undo what changed the VM"))
}

/// What the initramfs and the command line say together, or why PID 1 would
/// refuse it; `None` if the initramfs is one of another project. A refusal is
/// only a warning here: PID 1 decides.
fn configuration(file: &VmFile) -> Option<std::result::Result<Config, String>> {
    let configuration = inspect::configuration(&file.initrd().ok()?)?;
    let cmdline = CommandLine::parse(file.cmdline().ok()?.as_str().as_bytes());
    Some(match cmdline {
        Ok(cmdline) => {
            config::parse(configuration.as_deref(), &cmdline).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    })
}

/// Starts a simulated secure processor, where the VM needs one.
fn simulator(
    arguments: &Launch,
    file: &VmFile,
    evidence: bool,
    terminal: &Terminal,
) -> Result<Option<Simulator>> {
    let asked = arguments.simulator.is_some() || !arguments.simulator_argument.is_empty();
    if !arguments.simulate || arguments.no_simulator || !(evidence || asked) {
        return Ok(None);
    }
    if file.vm().firmware.is_none() && !asked {
        terminal.warning(
            "the VM description has no `firmware` that a secure processor would measure, so none \
             is simulated;\n         PID 1 will refuse to boot unless attest.mode is none",
        );
        return Ok(None);
    }
    let (program, more) = (arguments.simulator.as_deref(), &arguments.simulator_argument);
    let simulator = Simulator::start(program, file, more).map_err(|error| {
        let absent = matches!(error, SimulatorError::Start { .. });
        let failure = Failure::from(error);
        if !absent {
            return failure;
        }
        failure.help(
            "`cargo xtask build` makes it; name it with --simulator, or leave it out with \
             --no-simulator",
        )
    })?;
    terminal.warning(&format!(
        "the secure processor is simulated: anybody can make such reports. To verify them:\n         \
         --trust-root {}",
        simulator.root.display()
    ));
    Ok(Some(simulator))
}

/// The guest's port to which `attest_port` leads: that of its measured
/// configuration.
fn responder_port(
    file: &VmFile,
    configuration: Option<&std::result::Result<Config, String>>,
    terminal: &Terminal,
) -> u16 {
    let Some(Ok(config)) = configuration else { return GUEST_PORT };
    if let Some(port) = config.attest.as_ref().and_then(|attest| attest.responder_port) {
        return port.get();
    }
    if file.vm().network.as_ref().is_some_and(|network| network.attest_port.is_some()) {
        terminal.warning(
            "`attest_port` leads nowhere: the VM's measured configuration has no responder \
             (attest.mode = \"responder\" starts it)",
        );
    }
    GUEST_PORT
}

/// The same for `unlock_port`.
fn unlock_port(
    file: &VmFile,
    configuration: Option<&std::result::Result<Config, String>>,
    terminal: &Terminal,
) -> u16 {
    let Some(Ok(config)) = configuration else { return release::PORT };
    if let Some(unlock) = &config.unlock {
        return unlock.port.get();
    }
    if file.vm().network.as_ref().is_some_and(|network| network.unlock_port.is_some()) {
        terminal.warning(
            "`unlock_port` leads nowhere: the VM's measured configuration waits for no keys",
        );
    }
    release::PORT
}

/// A time such as `90s`, `5m` or `1h`, of at least a second.
pub(crate) fn duration(text: &str) -> std::result::Result<Duration, String> {
    let wrong = || "write a whole number with its unit, such as 90s, 5m or 1h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u32 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    let number: u32 = decimal(number).map_err(|_reason| wrong())?;
    match number.checked_mul(seconds) {
        Some(seconds @ 1..) => Ok(Duration::from_secs(seconds.into())),
        _ => Err("from 1s to 4294967295s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let seconds = |text| duration(text).ok().map(|duration| duration.as_secs());
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("1h"), Some(3600));
        for bad in ["", "5", "0s", "-1s", "1d", "1.5s", "9999999h", "s", "ä"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }
}
