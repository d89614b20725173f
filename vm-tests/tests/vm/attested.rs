//! Attestation from end to end: a Debian VM with the simulated secure processor,
//! `ravelin attest`, and OpenSSH that asks `ravelin ssh-known-hosts`.
//!
//! The owner keeps one description of the VM. The host starts what it likes; a
//! test that plays the host changes its own copy of the description, or stands
//! between the two.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use vm_tests::{Environment, Running, Stop, Tool, WorkDir, free_port, sha256_of_file};

use crate::debian::{Image, LIMIT};
use crate::fixtures::check;
use crate::said::Said;
use crate::simulator::{root_file, simulated};

/// A VM as its owner describes it, on ports of its own.
pub(crate) struct Owner {
    vm: PathBuf,
    ssh: u16,
    attest: u16,
    work: WorkDir,
}

impl Owner {
    fn new() -> Self {
        let (ssh, attest) = (free_port(), free_port());
        Self::of(Image::get().vm_on_ports(ssh, attest), ssh, attest)
    }

    /// The owner of a VM that is described already.
    pub(crate) fn of(vm: PathBuf, ssh: u16, attest: u16) -> Self {
        Self { vm, ssh, attest, work: WorkDir::new() }
    }

    /// The host starts exactly that.
    fn start(&self) -> Running {
        simulated(&self.vm).time_limit(LIMIT).start()
    }

    /// The host's own description: the owner's with one change.
    fn changed(&self, from: &str, to: &str) -> PathBuf {
        let text = fs::read_to_string(&self.vm).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
        let vm = self.vm.with_extension("host.toml");
        fs::write(&vm, text.replace(from, to)).unwrap();
        vm
    }

    /// `ravelin COMMAND` about this VM, with the simulator's root trusted by
    /// name, and nothing of the user's.
    fn ravelin(&self, command: &[&str]) -> Command {
        let mut ravelin = Tool::Ravelin.command();
        ravelin.args(command).arg("--vm").arg(&self.vm).arg("--trust-root").arg(root_file());
        for variable in ["XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"] {
            ravelin.env(variable, self.work.join("xdg"));
        }
        ravelin.arg("--offline");
        ravelin
    }

    /// Asks until somebody answers.
    pub(crate) fn attest(&self, more: &[&str]) -> Said {
        let mut ravelin = self.ravelin(&["attest", "--json", "--wait", "5m"]);
        Said::of(&ravelin.args(more).output().unwrap())
    }

    /// The configuration by which ssh knows the VM as `vm`; `more` are options of
    /// `ssh-config`.
    pub(crate) fn ssh_config(&self, more: &[&str]) -> PathBuf {
        let path = self.work.join("ssh.conf");
        let mut ravelin = self.ravelin(&["ssh-config", "vm", "--user", "root", "--max-age", "0"]);
        check(ravelin.arg("--output").arg(&path).args(more));
        path
    }

    pub(crate) fn ssh(&self, config: &Path, remote: &str) -> Output {
        let mut ssh = Command::new("timeout");
        ssh.args(["120", "ssh", "-F"]).arg(config).arg("-i").arg(Tool::SshKey.path());
        ssh.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=60"]);
        for variable in ["XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
            ssh.env(variable, self.work.join("xdg"));
        }
        ssh.args(["vm", remote]).output().unwrap()
    }

    /// Logs in once the VM's SSH server is up.
    pub(crate) fn ssh_once_up(&self, machine: &mut Running, config: &Path, remote: &str) -> String {
        loop {
            machine.check("its SSH server");
            let output = self.ssh(config, remote);
            if output.status.success() {
                return String::from_utf8(output.stdout).unwrap().trim().to_owned();
            }
            let error = String::from_utf8_lossy(&output.stderr);
            // QEMU's forwarding accepts before the guest listens.
            let early = ["reset", "closed", "refused", "timed out"];
            assert!(early.iter().any(|word| error.contains(word)), "{error}");
            thread::sleep(std::time::Duration::from_secs(1));
        }
    }
}

/// What `ravelin attest --json` may say.
impl Said {
    #[track_caller]
    pub(crate) fn accepted(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.text);
        assert_eq!(self.json["accepted"], true, "{}", self.text);
        // The simulator is named every time.
        assert!(self.text.contains("warning"), "{}", self.text);
        self
    }

    /// Refused for exactly these findings.
    #[track_caller]
    fn refused(&self, codes: &[&str]) -> &Self {
        assert_eq!(self.code, Some(1), "{}", self.text);
        assert_eq!(self.json["accepted"], false, "{}", self.text);
        let checks = self.json["checks"].as_array().unwrap();
        let failed = checks.iter().filter(|check| check["outcome"] == "failed");
        let findings = failed.filter_map(|check| check["findings"].as_array()).flatten();
        let found: Vec<&str> = findings.filter_map(|finding| finding["code"].as_str()).collect();
        assert_eq!(found, codes, "{}", self.text);
        self
    }
}

/// Attack: on the way between owner and VM stand an SSH server with another key, and an
/// answer that was recorded. Observed: ssh refuses the server, the verdict the answer
/// (`report-data.mismatch`); the VM itself is reached. Closed: only bound keys are known
/// to ssh, and the owner's nonce is in the report.
#[test]
fn ssh_reaches_an_attested_vm_and_nothing_else() {
    let owner = Owner::new();
    let mut machine = owner.start();
    let pin = owner.work.join("instance");
    let good = owner.attest(&["--pin", pin.to_str().unwrap()]);
    good.accepted();
    let line = machine.wait_for("ssh host key ssh-ed25519 ");
    let said = line.rsplit(' ').next().unwrap();
    assert_eq!(good.json["host_keys"][0]["fingerprint"], said);

    // ssh, scp and the same instance once more.
    let config = owner.ssh_config(&[]);
    let state = owner.ssh_once_up(&mut machine, &config, "systemctl is-system-running --wait");
    assert_eq!(state, "running");
    owner.attest(&["--instance", pin.to_str().unwrap()]).accepted();

    // The two processes of the responder, seen from inside.
    let look = "for p in /proc/[0-9]*; do case $(tr '\\0' ' ' < $p/cmdline) in ravelin-re*) \
                echo $(cat $p/comm) $(readlink $p/root) $(readlink $p/cwd) $(readlink $p/exe) \
                $(grep -E '^(Uid|CapEff|CapPrm|NoNewPrivs|Seccomp):' $p/status | tr '\\n' ' ') \
                ups $(for d in $p/fd/*; do test -d $d/. && stat -Lc %d:%i $d/. $d/.. | \
                uniq | wc -l; done | sort -u) \
                fds $(ls $p/fd | wc -l); esac; done";
    let seen = String::from_utf8(owner.ssh(&config, look).stdout).unwrap();
    let lines: Vec<String> =
        seen.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines.len(), 2, "{seen}");
    for line in &lines {
        let empty = " /run/ravelin/empty /run/ravelin/empty /memfd:ravelin (deleted) ";
        assert!(line.contains(empty), "{line}");
        for part in
            ["CapPrm: 0000000000000000 CapEff: 0000000000000000", "NoNewPrivs: 1", "Seccomp: 2"]
        {
            assert!(line.contains(part), "{line}");
        }
        // What it was given; the reporter has the kernel's log, and its own name for
        // the report source.
        let fds: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!((3..=5).contains(&fds), "{line}");
    }
    let reporter = lines.iter().find(|line| line.starts_with("ravelin-reporte ")).unwrap();
    assert!(reporter.contains("Uid: 0 "), "{reporter}");
    // The one directory that it holds leads nowhere: `..` is itself.
    assert!(reporter.contains(" ups 1 fds "), "{reporter}");
    assert!(
        lines.iter().any(|line| line.starts_with("ravelin-respond ") && !line.contains("Uid: 0 "))
    );

    // A man in the middle with a key of his own, the evidence untouched.
    let middle = ssh_server(&owner.work);
    let config = owner.ssh_config(&["--hostname", "127.0.0.1", "--port", &middle.port.to_string()]);
    refuses(&owner.ssh(&config, "true"), "Host key verification failed");

    // An answer from before.
    let replay = replayed(owner.attest);
    let old = owner.attest(&["--address", &format!("127.0.0.1:{replay}")]);
    old.refused(&["report-data.mismatch"]);
    let config = owner.ssh_config(&["--address", &format!("127.0.0.1:{replay}")]);
    refuses(&owner.ssh(&config, "true"), "the report data is not what was asked for");

    // Nothing is left of it when the machine stops.
    let config = owner.ssh_config(&[]);
    let _ends_with_the_connection = owner.ssh(&config, "systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff);
}

/// Attack: a second genuine VM of the same image gives the evidence, or all of it.
/// Observed: where the connection ends at the first, ssh refuses it; where all goes to the
/// second, it is accepted, as documented, unless the instance is pinned
/// (`instance.report-id`). Closed: the keys differ, and a pin names the REPORT_ID.
#[test]
fn a_second_genuine_vm_is_another_vm() {
    let (first, second) = (Owner::new(), Owner::new());
    let mut machine = first.start();
    let other = second.start();
    let pin = first.work.join("instance");
    let pin = pin.to_str().unwrap();
    first.attest(&["--pin", pin]).accepted();
    let relay = format!("127.0.0.1:{}", second.attest);
    first.attest(&["--address", &relay]).accepted();
    first.attest(&["--address", &relay, "--instance", pin]).refused(&["instance.report-id"]);

    let genuine = first.ssh_config(&[]);
    assert_eq!(first.ssh_once_up(&mut machine, &genuine, "echo here"), "here");
    let relayed = first.ssh_config(&["--address", &relay]);
    refuses(&first.ssh(&relayed, "true"), "Host key verification failed");
    let port = second.ssh.to_string();
    let all = ["--address", &relay, "--port", &port, "--instance", pin];
    let swapped = first.ssh_config(&all);
    refuses(&first.ssh(&swapped, "true"), "this is another guest than the pinned one");
    drop((machine, other));
}

/// Attack: another kernel, the same one with bytes at its end that nothing runs.
/// Observed: `measurement.mismatch`. Closed: the kernel is measured.
#[test]
fn another_kernel_is_refused() {
    let owner = Owner::new();
    let kernel = owner.work.join("vmlinuz");
    fs::copy(Environment::get().kernel(), &kernel).unwrap();
    append(&kernel, &[0; 512]);
    let original = file_of(&owner, "kernel");
    let changed = owner.changed(&original, kernel.to_str().unwrap());
    refused_measurement(&owner, &changed);
}

/// Attack: another initramfs, with one more file in it. Observed: `measurement.mismatch`.
/// Closed: the initramfs is measured.
#[test]
fn another_initramfs_is_refused() {
    let owner = Owner::new();
    let initrd = owner.work.join("initramfs");
    fs::copy(Image::get().directory.join("initramfs.cpio.zst"), &initrd).unwrap();
    fs::write(owner.work.join("extra"), "x").unwrap();
    let archive = "echo extra | cpio --create --format=newc --quiet";
    let extra = Command::new("sh").args(["-c", archive]).current_dir(owner.work.path()).output();
    // The kernel looks for the next archive at four bytes.
    let length = usize::try_from(fs::metadata(&initrd).unwrap().len()).unwrap();
    append(&initrd, &vec![0; length.next_multiple_of(4) - length]);
    append(&initrd, &extra.unwrap().stdout);
    let original = file_of(&owner, "initrd");
    let changed = owner.changed(&original, initrd.to_str().unwrap());
    refused_measurement(&owner, &changed);
}

/// Attack: one byte of the command line. Observed: `measurement.mismatch`. Closed: the
/// command line is measured.
#[test]
fn one_byte_of_the_command_line_is_refused() {
    let owner = Owner::new();
    let changed = owner.changed("panic=-1", "panic=-2");
    refused_measurement(&owner, &changed);
}

/// Attack: another number of processors. Observed: `measurement.mismatch`, and `ravelin
/// explain` says that this is it. Closed: each processor's first state is measured.
#[test]
fn another_vcpu_count_is_refused_and_explained() {
    let owner = Owner::new();
    let changed = owner.changed("\nvcpus = 1\n", "\nvcpus = 2\n");
    let out = refused_measurement(&owner, &changed);
    let mut explain = Tool::Ravelin.command();
    explain.arg("explain").arg("--report").arg(out.join("report.bin")).arg("--vm").arg(&owner.vm);
    let explained = explain.output().unwrap();
    let said = String::from_utf8_lossy(&explained.stdout);
    assert!(said.contains("vCPU") && said.contains('2'), "{said}");
}

/// Attack: a guest policy that lets the host read the VM's memory, and firmware below what
/// the owner demands. Observed: `debug.enabled`, `minimum-tcb.*`. Closed: both are in
/// every report, and the owner's policy is compared with them.
#[test]
fn a_debug_policy_and_an_old_tcb_are_refused() {
    let owner = Owner::new();
    let policy = owner.work.join("policy.toml");
    fs::write(&policy, "[minimum_tcb]\nsnp = 20\n").unwrap();
    let debug = owner.changed("policy = 0x30000", "policy = 0xb0000");
    // blSPL 4, snpSPL 19, ucodeSPL 209.
    let launch =
        simulated(&debug).simulator_argument("--tcb").simulator_argument("04000000000013d1");
    let machine = launch.time_limit(LIMIT).start();
    let verdict = owner.attest(&["--policy", policy.to_str().unwrap()]);
    verdict.refused(&[
        "debug.enabled",
        "minimum-tcb.current",
        "minimum-tcb.committed",
        "minimum-tcb.launch",
        "minimum-tcb.reported",
    ]);
    drop(machine);
}

/// The host starts its own description; the owner's attestation refuses what it
/// reports. Returns where the evidence was kept.
#[track_caller]
fn refused_measurement(owner: &Owner, host: &Path) -> PathBuf {
    assert_ne!(sha256_of_file(host), sha256_of_file(&owner.vm));
    let machine = simulated(host).time_limit(LIMIT).start();
    let out = owner.work.join("evidence");
    let verdict = owner.attest(&["--output", out.to_str().unwrap()]);
    verdict.refused(&["measurement.mismatch"]);
    drop(machine);
    out
}

/// The value of a key with a file name.
fn file_of(owner: &Owner, key: &str) -> String {
    let text = fs::read_to_string(&owner.vm).unwrap();
    let vm: toml::Table = text.parse().unwrap();
    vm[key].as_str().unwrap().to_owned()
}

fn append(path: &Path, bytes: &[u8]) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[track_caller]
fn refuses(output: &Output, reason: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(error.contains(reason), "{error}");
}

/// A port on which the answer to somebody else's question is given to everyone.
fn replayed(responder: u16) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", responder)).unwrap();
    stream.write_all(&protocol::responder::question(&[0x5a; 32])).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut question = [0; protocol::responder::QUESTION];
            let _gone = stream.read_exact(&mut question);
            let _gone = stream.write_all(&answer);
        }
    });
    port
}

/// An SSH server of the host's, with a key of its own.
struct SshServer {
    port: u16,
    child: std::process::Child,
}

fn ssh_server(work: &WorkDir) -> SshServer {
    let key = work.join("host_key");
    check(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key));
    let port = free_port();
    let config = work.join("sshd_config");
    let lines = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nPidFile none\nUsePAM no\n",
        key.display()
    );
    fs::write(&config, lines).unwrap();
    // sshd wants its privilege separation directory.
    fs::create_dir_all("/run/sshd").unwrap();
    let mut sshd = Command::new("setpriv");
    sshd.args(["--pdeathsig", "KILL", "/usr/sbin/sshd", "-D", "-e", "-f"]).arg(&config);
    let log = fs::File::create(work.join("sshd.log")).unwrap();
    let child = sshd.stderr(log).spawn().unwrap();
    let up = (0..600).any(|_| {
        thread::sleep(std::time::Duration::from_millis(50));
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(up, "{}", fs::read_to_string(work.join("sshd.log")).unwrap());
    SshServer { port, child }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
