//! The device-mapper table of a verity target.
//!
//! **Threat.** PID 1 writes this table from measured configuration and the kernel
//! believes it. A value that would split into two arguments, name other blocks
//! than those that were measured, or be left out is refused here.
//!
//! Specification: Linux `verity.rst`, "Construction Parameters":
//! `1 <data device> <hash device> <data block size> <hash block size>
//! <data blocks> <hash start block> <algorithm> <root hash> <salt or ->
//! [<number of options> <options>…]`. [`Table`]'s `Display` writes them as the
//! kernel prints them back, except that the kernel prints devices as
//! `major:minor`.

mod parse;

use std::fmt;

use crate::geometry::{Geometry, GeometryError};
use crate::params::{Algorithm, Params, ParamsError};
use crate::root_hash::{RootHash, RootHashError};

const FORMAT: &str = "1";
const IGNORE_ZERO_BLOCKS: &str = "ignore_zero_blocks";
/// More than any device's path or number needs.
const MAX_DEVICE_NAME: usize = 255;

/// The parameters of a verity target that the kernel will take, given devices
/// that are large enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    data_device: String,
    hash_device: String,
    params: Params,
    geometry: Geometry,
    hash_start_block: u64,
    root_hash: RootHash,
    on_corruption: Reaction,
    on_error: Reaction,
    ignore_zero_blocks: bool,
}

/// What the kernel does when a block's digest is wrong, or when the disk answers
/// with an error instead of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reaction {
    /// The read fails with an input/output error, and the system goes on.
    Eio,
    /// The machine is restarted.
    Restart,
    /// The kernel panics.
    #[default]
    Panic,
}

/// A length in device-mapper's sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sectors(pub u64);

impl Sectors {
    /// The size of a sector, in bytes, whatever the devices' own is.
    pub const BYTES: u64 = 512;
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Table {
    /// The name of the target's type.
    pub const TARGET: &'static str = "verity";

    /// A table for the tree that starts at `hash_start_block` of the hash device
    /// (counted in hash blocks, the superblock not included). A device is a path
    /// or `major:minor`. It panics on corruption, passes on the disk's errors, and
    /// checks blocks of zeros too.
    ///
    /// # Errors
    /// A value that the kernel would refuse or misread, and a tree that overlaps
    /// the data of the same device (the same by its name here).
    pub fn new(
        data_device: &str,
        hash_device: &str,
        params: Params,
        data_blocks: u64,
        hash_start_block: u64,
        root_hash: RootHash,
    ) -> Result<Self, TableError> {
        let device = |role, name: &str| {
            let graphic = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
            if name.is_empty() || name.len() > MAX_DEVICE_NAME || !graphic {
                return Err(TableError::Device { role, name: name.to_owned() });
            }
            Ok(name.to_owned())
        };
        let data_device = device("data", data_device)?;
        let hash_device = device("hash", hash_device)?;
        if !root_hash.fits(params.algorithm) {
            return Err(TableError::RootHashLength { root_hash, algorithm: params.algorithm });
        }
        let geometry = Geometry::new(&params, data_blocks)?;
        let area = geometry.at_block(hash_start_block)?;
        if data_device == hash_device && area.start() < geometry.data_bytes() {
            return Err(TableError::Overlap {
                data_bytes: geometry.data_bytes(),
                tree: area.start(),
            });
        }
        Ok(Self {
            data_device,
            hash_device,
            params,
            geometry,
            hash_start_block,
            root_hash,
            on_corruption: Reaction::Panic,
            on_error: Reaction::Eio,
            ignore_zero_blocks: false,
        })
    }

    /// The same table with another reaction to corruption.
    #[must_use]
    pub fn on_corruption(mut self, on_corruption: Reaction) -> Self {
        self.on_corruption = on_corruption;
        self
    }

    /// The same table with another reaction to errors of the disks. Anything but
    /// [`Reaction::Eio`] needs Linux 6.12.
    #[must_use]
    pub fn on_error(mut self, on_error: Reaction) -> Self {
        self.on_error = on_error;
        self
    }

    /// The same table, but if `ignore`, a block whose digest is that of zeros is
    /// read as zeros, without a look at the data device.
    #[must_use]
    pub fn ignore_zero_blocks(mut self, ignore: bool) -> Self {
        self.ignore_zero_blocks = ignore;
        self
    }

    /// The length of the target, which is that of the data. The device's table
    /// has this one target, from sector 0.
    pub fn length(&self) -> Sectors {
        Sectors(self.geometry.data_bytes() / Sectors::BYTES)
    }

    fn options(&self) -> impl Iterator<Item = &'static str> + Clone {
        let zeros = self.ignore_zero_blocks.then_some(IGNORE_ZERO_BLOCKS);
        let corruption = self.on_corruption.to_corruption();
        corruption.into_iter().chain(self.on_error.to_error()).chain(zeros)
    }
}

impl Reaction {
    const fn to_corruption(self) -> Option<&'static str> {
        match self {
            Self::Eio => None,
            Self::Restart => Some("restart_on_corruption"),
            Self::Panic => Some("panic_on_corruption"),
        }
    }

    const fn to_error(self) -> Option<&'static str> {
        match self {
            Self::Eio => None,
            Self::Restart => Some("restart_on_error"),
            Self::Panic => Some("panic_on_error"),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_device, hash_device, params, geometry, .. } = self;
        write!(
            f,
            "{FORMAT} {data_device} {hash_device} {} {} {} {} {} {} {}",
            params.data_block_size,
            params.hash_block_size,
            geometry.data_blocks(),
            self.hash_start_block,
            params.algorithm,
            self.root_hash,
            params.salt
        )?;
        let options = self.options();
        match options.clone().count() {
            0 => {}
            count => write!(f, " {count}")?,
        }
        options.into_iter().try_for_each(|option| write!(f, " {option}"))
    }
}

/// Why values make no table of a verity target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// An argument is not there.
    #[error("the verity table has no {0}")]
    Missing(&'static str),
    /// The format is not 1.
    #[error("verity format {0:?} is not supported; format 1 is")]
    Format(String),
    /// The name of a device cannot stand in a table.
    #[error(
        "{name:?} cannot be the {role} device of a verity table; use a path of at most 255 ASCII \
         characters without spaces and backslashes, or major:minor"
    )]
    Device {
        /// Which of the two: data or hash.
        role: &'static str,
        /// Its name.
        name: String,
    },
    /// An argument is not a number, or written in another way than the kernel's.
    #[error("{text:?} as {name} of a verity table is not a decimal number below 2^64")]
    Number {
        /// Which argument.
        name: &'static str,
        /// Its text.
        text: String,
    },
    /// A parameter of the tree is not possible.
    #[error("the {name} of a verity table is wrong")]
    Params {
        /// Which argument.
        name: &'static str,
        /// What is wrong.
        source: ParamsError,
    },
    /// The root hash is not possible.
    #[error(transparent)]
    RootHash(#[from] RootHashError),
    /// The root hash is of another algorithm.
    #[error("the root hash {root_hash} does not have the length of a {algorithm} digest")]
    RootHashLength {
        /// The root hash.
        root_hash: RootHash,
        /// The algorithm of the table.
        algorithm: Algorithm,
    },
    /// A size or a place is not possible.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// Data and tree overlap.
    #[error(
        "the hash tree at byte {tree} lies within the {data_bytes} bytes of data on the same device; \
         the hash start block has to be behind them"
    )]
    Overlap {
        /// The size of the data.
        data_bytes: u64,
        /// The first byte of the tree.
        tree: u64,
    },
    /// An option that Ravelin does not use.
    #[error(
        "{0:?} is no option of a verity table; known are restart_on_corruption, \
         panic_on_corruption, restart_on_error, panic_on_error and ignore_zero_blocks"
    )]
    UnknownOption(String),
    /// An option that is there twice, or contradicts another.
    #[error("the option {0:?} of a verity table repeats or contradicts an earlier one")]
    RepeatedOption(String),
    /// Text after the last option.
    #[error("the verity table goes on after its end, with {0:?}")]
    Trailing(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "6489915d01b6efed6f32b67f04078c91e6bcad2466916394842b7b71158f9328";

    fn line(rest: &str) -> String {
        format!("1 /dev/vda1 254:2 4096 4096 128 1 sha256 {ROOT} dadada{rest}")
    }

    #[test]
    fn text_round_trips_with_all_options() {
        for options in [
            "",
            " 1 ignore_zero_blocks",
            " 1 restart_on_corruption",
            " 1 panic_on_corruption",
            " 2 restart_on_corruption ignore_zero_blocks",
            " 2 panic_on_corruption ignore_zero_blocks",
            " 3 panic_on_corruption panic_on_error ignore_zero_blocks",
            " 2 panic_on_corruption restart_on_error",
            " 1 restart_on_error",
        ] {
            let table: Table = line(options).parse().unwrap();
            assert_eq!(table.to_string(), line(options));
            assert_eq!(table.length(), Sectors(1024));
        }
        let table: Table = line(" 2 ignore_zero_blocks panic_on_corruption").parse().unwrap();
        assert_eq!(table.to_string(), line(" 2 panic_on_corruption ignore_zero_blocks"));
        assert_eq!(line(" 0").parse::<Table>().unwrap().to_string(), line(""));
        let sha512 = format!("1 a b 512 1024 3 9 sha512 {ROOT}{ROOT} -");
        let table: Table = sha512.parse().unwrap();
        assert_eq!(table.to_string(), sha512);
        assert_eq!(table.length(), Sectors(3));
    }

    #[test]
    fn a_new_table_panics_on_corruption() {
        let params = Params {
            algorithm: crate::Algorithm::Sha256,
            data_block_size: crate::BlockSize::B4096,
            hash_block_size: crate::BlockSize::B4096,
            salt: "dadada".parse().unwrap(),
        };
        let table =
            Table::new("/dev/vda1", "254:2", params, 128, 1, ROOT.parse().unwrap()).unwrap();
        assert_eq!(table.to_string(), line(" 1 panic_on_corruption"));
        let table = table.on_corruption(Reaction::Eio).ignore_zero_blocks(true);
        assert_eq!(table.to_string(), line(" 1 ignore_zero_blocks"));
    }

    #[test]
    fn bad_options_are_refused() {
        use TableError as E;
        let parse = |options: &str| line(options).parse::<Table>().unwrap_err();
        assert!(matches!(parse(" 1"), E::Missing("option")));
        assert!(matches!(parse(" 18446744073709551615"), E::Missing("option")));
        assert!(matches!(parse(" 18446744073709551616"), E::Number { .. }));
        assert!(matches!(parse(" x"), E::Number { .. }));
        assert!(matches!(parse(" 1 ignore_corruption"), E::UnknownOption(_)));
        assert!(matches!(parse(" 1 check_at_most_once"), E::UnknownOption(_)));
        assert!(matches!(parse(" 0 ignore_zero_blocks"), E::Trailing(_)));
        assert!(matches!(
            parse(" 2 panic_on_corruption restart_on_corruption"),
            E::RepeatedOption(_)
        ));
        assert!(matches!(parse(" 2 ignore_zero_blocks ignore_zero_blocks"), E::RepeatedOption(_)));
        assert!(matches!(parse(" 2 panic_on_error restart_on_error"), E::RepeatedOption(_)));
    }

    #[test]
    fn bad_values_are_refused() {
        use TableError as E;
        let good = line("");
        let with = |index: usize, value: &str| {
            let mut arguments: Vec<&str> = good.split(' ').collect();
            arguments[index] = value;
            arguments.join(" ").parse::<Table>().unwrap_err()
        };
        assert!(matches!(with(0, "0"), E::Format(_)));
        assert!(matches!(with(1, "/dev/a\\b"), E::Device { role: "data", .. }));
        assert!(matches!(with(2, "/dev/\u{a0}"), E::Device { role: "hash", .. }));
        assert!(matches!(with(2, &"x".repeat(256)), E::Device { role: "hash", .. }));
        assert!(matches!(with(3, "8192"), E::Params { name: "data block size", .. }));
        assert!(matches!(with(4, "0"), E::Params { name: "hash block size", .. }));
        for number in ["-1", "+1", "01", "0x1", "1_0", "18446744073709551616"] {
            assert!(matches!(with(5, number), E::Number { .. }), "{number}");
            assert!(matches!(with(6, number), E::Number { .. }), "{number}");
        }
        assert!(matches!(with(5, "0"), E::Geometry(GeometryError::Empty)));
        assert!(matches!(
            with(5, "2251799813685248"),
            E::Geometry(GeometryError::DataTooLarge { .. })
        ));
        assert!(matches!(with(6, "2251799813685247"), E::Geometry(GeometryError::HashTooFar)));
        assert!(matches!(with(7, "sha1"), E::Params { name: "hash algorithm", .. }));
        assert!(matches!(with(7, "sha512"), E::RootHashLength { .. }));
        assert!(matches!(with(8, "00"), E::RootHash(RootHashError::Length(1))));
        assert!(matches!(with(9, "0"), E::Params { name: "salt", .. }));
        for count in 0..10 {
            let short: Vec<&str> = good.split(' ').take(count).collect();
            assert!(matches!(short.join(" ").parse::<Table>(), Err(E::Missing(_))), "{count}");
        }
        let spaced = Table::new(
            "/dev/vda 1",
            "b",
            good.parse::<Table>().unwrap().params,
            1,
            1,
            ROOT.parse().unwrap(),
        );
        assert!(matches!(spaced, Err(E::Device { role: "data", .. })));
    }

    #[test]
    fn a_tree_inside_its_own_data_is_refused() {
        let appended = |start| format!("1 a a 4096 1024 3 {start} sha256 {ROOT} -");
        assert!(appended(12).parse::<Table>().is_ok());
        let error = appended(11).parse::<Table>().unwrap_err();
        assert!(matches!(error, TableError::Overlap { data_bytes: 12_288, tree: 11_264 }));
    }
}
