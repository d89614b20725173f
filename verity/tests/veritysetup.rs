//! `veritysetup` as the oracle, on generated images.
//!
//! For each combination of size, block sizes, salt, hash and place of the tree,
//! `veritysetup format` and `build` make the same bytes and the same root hash;
//! each accepts what the other made; and both refuse it once one byte is changed,
//! `verify` with the name of the right block. `RAVELIN_SKIP_ORACLE=1` skips this
//! where the tool cannot be had.

#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Prng, params};
use uuid::Uuid;
use verity::{
    Algorithm, Block, BuildOptions, Geometry, HashArea, Params, RootHash, Superblock, VerifyError,
    VerifyOptions, build, verify,
};

const CASES: usize = 240;

/// One combination.
#[derive(Debug)]
struct Case {
    params: Params,
    data_blocks: u64,
    /// Whether data and tree share a file.
    appended: bool,
    superblock: Option<Uuid>,
    hash_offset: u64,
}

impl Case {
    fn new(number: usize) -> Self {
        let mut prng = Prng(number as u64);
        let sizes = [512, 1024, 2048, 4096];
        let salt = match number % 6 {
            0 => 0,
            1 => 256,
            2 => prng.index(257),
            _ => 32,
        };
        let salt = prng.bytes(salt);
        let params = params(
            prng.pick(&[Algorithm::Sha256, Algorithm::Sha512]),
            prng.pick(&sizes),
            prng.pick(&sizes),
            &salt,
        );
        let per_block = params.hash_block_size.bytes() / params.algorithm.digest_size() as u64;
        // The edges of the first two levels, and anything up to 2 MiB of data.
        let most = (2 << 20) / params.data_block_size.bytes();
        let data_blocks = match prng.below(8) {
            0 => 1,
            1 => 2,
            2 => per_block - 1 + prng.below(3),
            3 => per_block * per_block - 1 + prng.below(3),
            _ => 1 + prng.below(most),
        };
        let data_blocks = data_blocks.min(most);
        let appended = prng.below(2) == 0;
        let superblock =
            (prng.below(4) != 0).then(|| Uuid::from_u128(u128::from(prng.next()) << 32));
        let unit = if superblock.is_some() { 512 } else { params.hash_block_size.bytes() };
        let data_end = if appended { data_blocks * params.data_block_size.bytes() } else { 0 };
        let gap = if prng.below(2) == 0 { 0 } else { prng.below(20) };
        let hash_offset = (data_end.div_ceil(unit) + gap) * unit;
        Self { params, data_blocks, appended, superblock, hash_offset }
    }

    /// Some blocks are all zeros, as in real images.
    fn data(&self, prng: &mut Prng) -> Vec<u8> {
        let size = self.params.data_block_size.to_usize();
        (0..self.data_blocks)
            .flat_map(|_| if prng.below(5) == 0 { vec![0; size] } else { prng.bytes(size) })
            .collect()
    }

    fn area(&self) -> HashArea {
        let geometry = Geometry::new(&self.params, self.data_blocks).unwrap();
        match self.superblock {
            Some(_) => geometry.after_superblock(self.hash_offset).unwrap(),
            None => geometry.without_superblock(self.hash_offset).unwrap(),
        }
    }

    /// The file in `directory` with the data, and the one with the tree.
    fn files(&self, directory: &Path) -> [PathBuf; 2] {
        let data = directory.join("data");
        let hash = if self.appended { data.clone() } else { directory.join("hash") };
        [data, hash]
    }

    fn veritysetup(&self, action: &str, directory: &Path, root: Option<&str>) -> Output {
        let Params { algorithm, data_block_size, hash_block_size, salt } = &self.params;
        let mut command = veritysetup();
        command
            .arg(action)
            .arg(format!("--hash={algorithm}"))
            .arg(format!("--data-block-size={data_block_size}"))
            .arg(format!("--hash-block-size={hash_block_size}"))
            .arg(format!("--data-blocks={}", self.data_blocks))
            .arg(format!("--salt={salt}"))
            .arg(format!("--hash-offset={}", self.hash_offset));
        match self.superblock {
            Some(uuid) => command.arg(format!("--uuid={uuid}")),
            None => command.arg("--no-superblock"),
        };
        command.args(self.files(directory)).args(root).output().unwrap()
    }

    /// Has the oracle make the image in `directory`; returns the root hash.
    fn format(&self, directory: &Path) -> String {
        let output = self.veritysetup("format", directory, None);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{self:?}: {text}{}", stderr(&output));
        text.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim().to_owned()
    }

    fn build(&self, directory: &Path) -> RootHash {
        let [data, hash] = self.files(directory).map(|path| {
            fs::File::options().read(true).write(true).create(true).truncate(false).open(path)
        });
        build(
            &data.unwrap(),
            self.data_blocks,
            &hash.unwrap(),
            self.hash_offset,
            self.superblock,
            &self.params,
            &BuildOptions::default(),
        )
        .unwrap()
    }

    fn verify(&self, directory: &Path, root: &RootHash) -> Result<(), VerifyError> {
        let [data, hash] = self.files(directory).map(|path| fs::File::open(path).unwrap());
        let start = self.area().start_block();
        let options = VerifyOptions::default();
        verify(&data, self.data_blocks, &hash, start, root, &self.params, &options)
    }

    /// Changes one byte of the data or the tree; returns its block.
    fn corrupt(&self, directory: &Path, prng: &mut Prng) -> Block {
        let [data, hash] = self.files(directory);
        let geometry = Geometry::new(&self.params, self.data_blocks).unwrap();
        let in_tree = geometry.tree_bytes() > 0 && prng.below(2) == 0;
        let (file, start, len, block_size) = if in_tree {
            (hash, self.area().start(), geometry.tree_bytes(), self.params.hash_block_size)
        } else {
            (data, 0, geometry.data_bytes(), self.params.data_block_size)
        };
        let at = prng.below(len);
        let mut bytes = fs::read(&file).unwrap();
        let byte = bytes.get_mut(usize::try_from(start + at).unwrap()).unwrap();
        *byte ^= 1 << prng.below(8);
        fs::write(file, bytes).unwrap();

        let mut index = at / block_size.bytes();
        if !in_tree {
            return Block::Data(index);
        }
        for (level, blocks) in geometry.level_blocks().enumerate().rev() {
            if index < blocks {
                return Block::Hash { level, index };
            }
            index -= blocks;
        }
        panic!("byte {at} of the tree is in no level");
    }

    fn run(&self, number: usize, directory: &Path) {
        let mut prng = Prng(!(number as u64));
        let data = self.data(&mut prng);
        let [theirs, ours] = ["theirs", "ours"].map(|name| directory.join(name));
        for image in [&theirs, &ours] {
            fs::create_dir_all(image).unwrap();
            fs::write(image.join("data"), &data).unwrap();
            if self.data_blocks == 1 && self.hash_offset > 0 {
                // There is no tree that makes the file long enough, and veritysetup
                // does not write a superblock behind the end of a file.
                let [_, hash] = self.files(image);
                let hash = fs::File::options().write(true).create(true).truncate(false).open(hash);
                hash.unwrap().set_len(self.area().end().next_multiple_of(4096)).unwrap();
            }
        }

        let expected = self.format(&theirs);
        let root = self.build(&ours);
        assert_eq!(root.to_string(), expected, "{self:?}");
        for (their_file, our_file) in self.files(&theirs).iter().zip(self.files(&ours)) {
            // A tree of no blocks, and no superblock: neither writes anything.
            let read = |path: &Path| fs::read(path).unwrap_or_default();
            assert!(read(their_file) == read(&our_file), "{self:?}: {}", our_file.display());
        }

        self.verify(&theirs, &root).unwrap();
        let output = self.veritysetup("verify", &ours, Some(&expected));
        assert!(output.status.success(), "{self:?}: {}", stderr(&output));

        let corrupted = self.corrupt(&ours, &mut prng);
        let output = self.veritysetup("verify", &ours, Some(&expected));
        assert!(!output.status.success(), "{self:?}: {corrupted} passed as good");
        match self.verify(&ours, &root) {
            Err(VerifyError::Corrupt { block, .. } | VerifyError::RootHash { block, .. }) => {
                assert_eq!(block, corrupted, "{self:?}");
            }
            other => panic!("{self:?}: {corrupted} is corrupt, verify says {other:?}"),
        }
        fs::remove_dir_all(directory).unwrap();
    }
}

fn veritysetup() -> Command {
    let mut command = Command::new("veritysetup");
    // Debian keeps it out of a user's path.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

fn stderr(output: &Output) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&output.stderr)
}

/// Whether to compare with the oracle.
fn oracle() -> bool {
    if std::env::var_os("RAVELIN_SKIP_ORACLE").is_some_and(|value| value == "1") {
        // Not eprintln: the test harness would keep that to itself.
        let loud = b"SKIPPED: RAVELIN_SKIP_ORACLE=1, nothing is compared with veritysetup\n";
        std::io::stderr().write_all(loud).unwrap();
        return false;
    }
    assert!(
        veritysetup().arg("--version").output().is_ok_and(|output| output.status.success()),
        "veritysetup, with which this test compares, does not run: install it \
         (Debian: apt-get install cryptsetup-bin), or set RAVELIN_SKIP_ORACLE=1 to go without"
    );
    true
}

#[test]
fn images_are_the_same_both_ways() {
    if !oracle() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let next = AtomicUsize::new(0);
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= CASES {
                break;
            }
            Case::new(number).run(number, &directory.path().join(number.to_string()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(worker);
        }
    });
}

#[test]
fn the_cases_cover_what_they_should() {
    let cases: Vec<Case> = (0..CASES).map(Case::new).collect();
    let count = |wanted: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| wanted(case)).count();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for data in [512, 1024, 2048, 4096] {
            for hash in [512, 1024, 2048, 4096] {
                let found = count(&|case| {
                    case.params.algorithm == algorithm
                        && case.params.data_block_size.to_u32() == data
                        && case.params.hash_block_size.to_u32() == hash
                });
                assert!(found > 0, "{algorithm} {data} {hash}");
            }
        }
    }
    for (what, found) in [
        ("one block", count(&|case| case.data_blocks == 1)),
        ("appended", count(&|case| case.appended)),
        ("separate", count(&|case| !case.appended)),
        ("separate with an offset", count(&|case| !case.appended && case.hash_offset > 0)),
        ("no superblock", count(&|case| case.superblock.is_none())),
        ("no salt", count(&|case| case.params.salt.as_bytes().is_empty())),
        ("longest salt", count(&|case| case.params.salt.as_bytes().len() == 256)),
        ("odd number of blocks", count(&|case| case.data_blocks % 2 == 1)),
        (
            "superblock within a hash block",
            count(&|case| {
                case.superblock.is_some()
                    && case.hash_offset % case.params.hash_block_size.bytes() != 0
            }),
        ),
    ] {
        assert!(found >= 15, "{what}: {found}");
    }
}

#[test]
fn superblocks_say_the_same() {
    if !oracle() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for number in 0..12 {
        let case = Case::new(number);
        let params = case.params;
        let superblock = Superblock {
            uuid: case.superblock.unwrap_or_default(),
            params: params.clone(),
            data_blocks: case.data_blocks,
        };
        let path = directory.path().join(number.to_string());
        fs::write(&path, superblock.to_bytes()).unwrap();
        let output = veritysetup().arg("dump").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let says = |field: &str| {
            text.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim().to_owned()
        };
        assert_eq!(says("UUID:"), superblock.uuid.to_string());
        assert_eq!(says("Hash type:"), "1");
        assert_eq!(says("Data blocks:"), case.data_blocks.to_string());
        assert_eq!(says("Data block size:"), params.data_block_size.to_string());
        assert_eq!(says("Hash block size:"), params.hash_block_size.to_string());
        assert_eq!(says("Hash algorithm:"), params.algorithm.to_string());
        assert_eq!(says("Salt:"), params.salt.to_string());
        let geometry = Geometry::new(&params, case.data_blocks).unwrap();
        assert_eq!(says("Hash blocks:"), geometry.tree_blocks().to_string());
        let end = geometry.after_superblock(0).unwrap().end();
        assert_eq!(says("Hash device size:"), format!("{end} [bytes]"));
    }
}
