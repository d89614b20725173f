//! A yardstick, not a product: the least that a hand-made init would do to boot
//! the disk that PID 1 boots. `cargo xtask bench boot` runs the two in turns.
//!
//! It makes the same mounts, loads the same modules (one by one, in the order
//! of the file), opens the same dm-verity device, adds the same overlays, and
//! becomes the same real init. It has none of what PID 1 has besides: it reads
//! no configuration, looks for no disk by name, checks nothing that the host
//! could have changed, makes no key, and a failure is a panic. What the disk is
//! comes ready to use in its environment, where the kernel puts the words of
//! its command line that it does not know: `REFERENCE_DEVICES` (nodes to wait
//! for), `REFERENCE_TABLE` (a device-mapper line), `REFERENCE_FSTYPE`.
//!
//! The same program is the real init of the benchmarks' roots: as `/sbin/init`
//! it shows how much memory is in use and when each line of the boot log was
//! written, in microseconds, and switches the machine off.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed benchmark is a kernel panic, which the harness sees"
)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, str};

use devicemapper::{DM, DevId, DmFlags, DmName, DmOptions};
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, unmount};
use rustix::system::{RebootCommand, reboot};

const ROOT: &str = "/sysroot";
const LAYERS: &str = "/run/layers";
const REAL_INIT: &str = "/sbin/init";
const LOAD_ORDER: &str = "/lib/modules/ravelin.load";

/// What PID 1 makes writable if the configuration does not say otherwise.
const WRITABLE: [&str; 6] = ["etc", "var", "home", "root", "tmp", "srv"];

/// The beginnings of the log lines that the benchmark reads.
const SHOWN: [&str; 4] = ["Run /init", "ravelin: ", "reference: ", "real init: "];

/// What of `/proc/meminfo`.
const MEMORY: [&str; 3] = ["MemTotal:", "MemAvailable:", "Shmem:"];

fn main() {
    let start = Instant::now();
    if env::args().next().as_deref() == Some(REAL_INIT) {
        show_log_and_power_off();
    }
    let ms = |since: Instant| since.elapsed().as_millis();

    for (fstype, target, options) in [
        ("proc", "/proc", c""),
        ("sysfs", "/sys", c""),
        ("devtmpfs", "/dev", c"mode=0755"),
        ("tmpfs", "/run", c"mode=0755,size=20%"),
    ] {
        mount(fstype, target, fstype, MountFlags::NOSUID, options).expect("mount");
    }

    let begin = Instant::now();
    load_modules();
    let modules = ms(begin);

    let begin = Instant::now();
    for device in variable("REFERENCE_DEVICES").split_whitespace() {
        while !Path::new(device).exists() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let disks = ms(begin);

    let node = open_verity();
    let fstype = variable("REFERENCE_FSTYPE");
    mount(node, ROOT, fstype, MountFlags::RDONLY | MountFlags::NODEV, c"").expect("mount the root");
    add_overlays();

    let total = ms(start);
    let own = total.saturating_sub(modules).saturating_sub(disks);
    log(&format!(
        "reference: [{total:>5} ms] hand-over: {REAL_INIT} \
         (modules {modules} ms, disks {disks} ms, own {own} ms)"
    ));
    switch_root();
}

fn load_modules() {
    let order = fs::read_to_string(LOAD_ORDER).expect("read the load order");
    for line in order.lines() {
        if let [_wave, necessity, path] = *line.split(' ').collect::<Vec<_>>() {
            let file = File::open(path).expect("open a module");
            let loaded = rustix::system::finit_module(&file, c"", 0);
            assert!(loaded.is_ok() || necessity == "optional", "{path}: {loaded:?}");
        }
    }
}

/// The table is `SECTORS PARAMETERS…`.
fn open_verity() -> String {
    let table = variable("REFERENCE_TABLE");
    let (sectors, parameters) = table.split_once(' ').expect("a table");
    let line = (0, sectors.parse().expect("sectors"), "verity".to_owned(), parameters.to_owned());
    let read_only = DmOptions::default().set_flags(DmFlags::DM_READONLY);
    let name = DmName::new("root").expect("a name");
    let id = DevId::Name(name);
    let dm = DM::new().expect("open the device mapper");
    let device = dm.device_create(name, None, read_only).expect("create the device");
    dm.table_load(&id, &[line], read_only).expect("load the table");
    dm.device_suspend(&id, DmOptions::default()).expect("start the device");
    format!("/dev/dm-{}", device.device().minor)
}

fn add_overlays() {
    fs::create_dir(LAYERS).expect("make a directory");
    mount("layers", LAYERS, "tmpfs", MountFlags::empty(), c"mode=0700,size=50%")
        .expect("mount the layers");
    for name in WRITABLE {
        let target = Path::new(ROOT).join(name);
        let upper = Path::new(LAYERS).join(format!("{name}.upper"));
        let work = Path::new(LAYERS).join(format!("{name}.work"));
        fs::create_dir(&upper).expect("make a directory");
        fs::create_dir(&work).expect("make a directory");
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            target.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).expect("options");
        mount("layers", &target, "overlay", MountFlags::empty(), &*options).expect("overlay");
    }
    unmount(LAYERS, UnmountFlags::DETACH).expect("detach the layers");
}

fn switch_root() -> ! {
    for name in ["dev", "proc", "sys", "run"] {
        mount_move(Path::new("/").join(name), Path::new(ROOT).join(name)).expect("move a mount");
    }
    // The initramfs's memory, all of it below these two.
    fs::remove_file("/init").expect("remove /init");
    fs::remove_dir_all("/lib").expect("remove /lib");
    env::set_current_dir(ROOT).expect("go to the root");
    mount_move(".", "/").expect("move the root");
    rustix::process::chroot(".").expect("change the root");
    panic!("{}", Command::new(REAL_INIT).exec());
}

fn show_log_and_power_off() -> ! {
    log("real init: it runs");
    let memory = fs::read_to_string("/proc/meminfo").expect("read /proc/meminfo");
    for line in memory.lines().filter(|line| MEMORY.iter().any(|name| line.starts_with(name))) {
        println!("MEMORY {line}");
    }
    let mut kmsg = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open("/dev/kmsg")
        .expect("open /dev/kmsg");
    // One read is one record: `level,number,MICROSECONDS,flags;text`.
    let mut record = [0; 8192];
    loop {
        let length = match kmsg.read(&mut record) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => continue,
            Err(_no_more) => break,
        };
        let text = record.get(..length).and_then(|bytes| str::from_utf8(bytes).ok());
        let Some((head, text)) = text.and_then(|text| text.split_once(';')) else { continue };
        let line = text.lines().next().unwrap_or_default();
        if SHOWN.iter().any(|start| line.starts_with(start)) {
            println!("LOG {} {line}", head.split(',').nth(2).unwrap_or_default());
        }
    }
    let refused = reboot(RebootCommand::PowerOff);
    panic!("{refused:?}");
}

fn log(line: &str) {
    let mut kmsg = OpenOptions::new().write(true).open("/dev/kmsg").expect("open /dev/kmsg");
    kmsg.write_all(format!("<6>{line}\n").as_bytes()).expect("write to /dev/kmsg");
}

fn variable(name: &str) -> String {
    env::var(name).expect("a word of the command line is missing")
}
