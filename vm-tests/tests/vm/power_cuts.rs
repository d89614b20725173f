//! Power cuts under a writing guest, on volumes that Ravelin made.
//!
//! The disk has a volatile write cache in this process ([`PowerCut`]); at a random moment
//! (with one of the next writes) the test takes what a cut there leaves: all that was flushed, and of the rest
//! a random part, sector by sector. The guest goes on, so that one machine gives many
//! cuts; the last one of each volume is real for the guest too. A second machine then
//! opens them all: its kernel replays both journals, dm-integrity's and ext4's.
//!
//! `RAVELIN_POWER_CUTS` is the number of cuts, `RAVELIN_POWER_CUT_SEED` the seed, which
//! otherwise is another one each time and is printed.

use std::env;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use vm_tests::nbd::{Image, PowerCut, Server, Survival, Taken};
use vm_tests::workload::{BLOCK, Lasting};
use vm_tests::{Console, Outcome, Random, Running, WorkDir};

use crate::encrypted::DISKS;
use crate::volumes::{FILE_SYSTEM, RAW, Script, TestVolume, e2fsck, scanned};

/// Cuts where nobody asks for another number.
const CUTS: u64 = 20;
/// As many disks as the second machine has slots for.
const DISKS_AT_ONCE: usize = 20;
/// Rounds that a guest may do between the test's look at its console and a cut.
const LATER: u64 = 100;

/// A cut at a random moment.
pub(crate) struct Cut {
    survival: Survival,
    unflushed: usize,
    lasting: Lasting,
    pub(crate) image: Image,
}

/// A cut of one of the volumes.
struct NumberedCut {
    volume: usize,
    number: u64,
    cut: Cut,
}

/// After each of the cuts no sector is unreadable, each is old or new, what was synced
/// is there, and the file system has no fault.
#[test]
fn a_power_cut_leaves_every_sector_old_or_new() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("RAVELIN_POWER_CUT_SEED").unwrap_or(now.as_secs());
    let cuts = number("RAVELIN_POWER_CUTS").unwrap_or(CUTS);
    println!("RAVELIN_POWER_CUT_SEED={seed} RAVELIN_POWER_CUTS={cuts}");
    let mut random = Random::new(seed);

    let work = WorkDir::new();
    // One sector for a block of the file system and of the page cache, and eight.
    let volumes = [DISKS[0], DISKS[3]].map(|disk| TestVolume::make(disk, &work));
    let started = Instant::now();
    let cuts = cut_while_writing(&volumes, cuts, &mut random, &work);
    println!("{} cuts after {:?}", cuts.len(), started.elapsed());
    for cuts in cuts.chunks(DISKS_AT_ONCE) {
        judge(&volumes, cuts, &work);
    }
    println!("judged after {:?}", started.elapsed());
}

/// One machine that writes to the volumes, one after the other, each until its last cut.
fn cut_while_writing(
    volumes: &[TestVolume],
    number: u64,
    random: &mut Random,
    work: &WorkDir,
) -> Vec<NumberedCut> {
    let mut script = Script::new(work);
    for volume in volumes {
        let (name, blocks) = (volume.disk.name, RAW / BLOCK as u64);
        script.line(volume.open(name));
        script.line(format!("mount:{name};/run/{name}"));
        script.line(format!("churn:{name};/run/{name};{FILE_SYSTEM};{blocks};1000000"));
        script.line(format!("unmount:/run/{name}"));
    }
    let disks: Vec<_> =
        volumes.iter().map(|volume| Arc::new(PowerCut::new(volume.image()))).collect();
    let servers: Vec<_> = disks.iter().map(|disk| Server::start(Arc::clone(disk))).collect();
    let mut vm = script.vm();
    for (volume, server) in volumes.iter().zip(&servers) {
        vm = vm.served_disk(server, volume.disk.name);
    }

    let mut machine = vm.start();
    let mut cuts = Vec::new();
    for (index, disk) in disks.iter().enumerate() {
        let name = volumes[index].disk.name;
        machine.wait_for(&format!("PROBE {name}.blocks="));
        let share = number.div_ceil(disks.len() as u64);
        for turn in 1..=share {
            let cut = Cut::take(disk, &mut machine, name, random, turn == share);
            cuts.push(NumberedCut { volume: index, number: cuts.len() as u64, cut });
        }
        // The guest sees the real one: a disk that fails.
        machine.wait_for(&format!("PROBE churn:{name}="));
    }
    let outcome = machine.finish();
    outcome.booted();
    for volume in volumes {
        let name = volume.disk.name;
        let end = outcome.console.probe(&format!("churn:{name}"));
        assert!(!end.contains("rounds"), "the workload was not cut: {end}");
    }
    cuts
}

/// The console's last line may be half there: a number that is too small.
fn lasting(console: &Console, name: &str) -> Lasting {
    let last = |what: &str| {
        let rounds = console.probes(&format!("{name}.{what}"));
        rounds.iter().filter_map(|round| round.parse().ok()).max().unwrap_or(0)
    };
    Lasting { file_round: last("file"), block_round: last("blocks") }
}

/// Opens what some cuts have left, in one machine, and then here.
fn judge(volumes: &[TestVolume], cuts: &[NumberedCut], work: &WorkDir) {
    let mut script = Script::new(work);
    let disks: Vec<_> = cuts.iter().map(|cut| Arc::new(cut.cut.image.clone())).collect();
    let servers: Vec<_> = disks.iter().map(|disk| Server::start(Arc::clone(disk))).collect();
    for cut in cuts {
        let (name, volume) = (cut.name(), &volumes[cut.volume]);
        script.line(volume.open(&name));
        script.line(format!("scan:{name};{}", volume.sector()));
        script.line(format!("mount:{name};/run/{name}"));
        script.line(format!("digests:/run/{name}"));
        script.line(format!("unmount:/run/{name}"));
        script.line(format!("close:{name}"));
    }
    let mut vm = script.vm();
    for (cut, server) in cuts.iter().zip(&servers) {
        vm = vm.served_disk(server, &cut.name());
    }
    let outcome = vm.run();
    outcome.booted();
    for (cut, disk) in cuts.iter().zip(disks) {
        cut.judge(&volumes[cut.volume], &outcome, &disk, work);
    }
}

/// Waits for the write with which an armed cut comes.
#[track_caller]
pub(crate) fn taken(disk: &PowerCut, machine: &mut Running) -> Taken {
    loop {
        if let Some(taken) = disk.taken() {
            return taken;
        }
        machine.check("a write for a power cut");
        thread::sleep(Duration::from_millis(5));
    }
}

impl Cut {
    /// Lets one come with one of the next writes of a guest, somewhere else in what the
    /// workload `name` does each time; `real` if the disk is gone from then on.
    #[track_caller]
    pub(crate) fn take(
        disk: &PowerCut,
        machine: &mut Running,
        name: &str,
        random: &mut Random,
        real: bool,
    ) -> Self {
        thread::sleep(Duration::from_millis(random.below(200)));
        // Looked at before the cut: what is said by now has lasted.
        machine.check("a moment for a power cut");
        let lasting = lasting(&machine.console(), name);
        let survival = Survival::random(random);
        disk.arm(1 + random.below(40), survival, random, real);
        let Taken { image, unflushed } = taken(disk, machine);
        Self { survival, unflushed, lasting, image }
    }

    /// Judges the workload's files, by what the guest says of their digests, and its raw
    /// blocks: each sector of so many bytes is old or new, and what was synced is there.
    #[track_caller]
    pub(crate) fn check(&self, digests: &str, raw: &[u8], sector: usize) {
        let digest = |file: u64| {
            let name = format!("f{file}");
            let words = digests.split(' ').filter_map(|word| word.split_once(':'));
            words.into_iter().find(|(file, _)| *file == name).map(|(_, digest)| digest.to_owned())
        };
        assert_eq!(self.lasting.check_files(LATER, digest), Ok(()), "{self}");
        assert_eq!(self.lasting.check_blocks(raw, sector), Ok(()), "{self}");
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { survival, unflushed, lasting, .. } = self;
        write!(f, "{survival:?} of {unflushed} sectors, {lasting:?}")
    }
}

impl NumberedCut {
    fn name(&self) -> String {
        format!("cut{}", self.number)
    }

    fn judge(&self, volume: &TestVolume, outcome: &Outcome, image: &Image, work: &WorkDir) {
        let name = self.name();
        let what = format!("{name} of {}: {}", volume.disk.name, self.cut);
        println!("{what}");
        let said = |action: &str| outcome.console.probe(&format!("{action}{name}"));
        // No sector gives an error.
        assert_eq!(scanned(outcome, &name).1, "", "{what}");
        for (action, expected) in
            [("mount:", "mounted"), ("unmount:/run/", "unmounted"), ("close:", "closed")]
        {
            assert_eq!(said(action), expected, "{what}");
        }
        // The files as the kernel has them; the raw blocks and the file system as Ravelin
        // has them.
        let clear = volume.decrypt(image, work);
        let (file_system, rest) = clear.split_at(usize::try_from(FILE_SYSTEM).unwrap());
        let raw = &rest[..usize::try_from(RAW).unwrap()];
        let sector = usize::try_from(volume.sector()).unwrap();
        self.cut.check(said("digests:/run/"), raw, sector);
        e2fsck(file_system, work);
    }
}
