//! qcow2 images that QEMU's own tool makes: read as it reads them, and refused by name.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use disk_common::{oracle, run};
use image_builder::disk::{DiskFormat, DiskOptions, ImportError, Qcow2, Qcow2Error};
use image_builder::disk::{Source, SourceError};
use verity::ReadAt;

/// A disk whose size is no multiple of a cluster: noise, text that compresses, zeros that are
/// written, and holes.
fn raw(directory: &Path) -> PathBuf {
    let mut disk = vec![0; (9 << 20) + 512];
    for (number, byte) in (0_u32..).zip(&mut disk[70_000..900_000]) {
        *byte = number.wrapping_mul(number).wrapping_mul(2_654_435_761).to_le_bytes()[3];
    }
    for (number, byte) in (0_u32..).zip(&mut disk[3_000_000..5_500_000]) {
        *byte = u8::try_from(number / 7 % 10).unwrap() + b'0';
    }
    let end = disk.len() - 3;
    disk[end..].copy_from_slice(b"end");
    let path = directory.join("disk.raw");
    fs::write(&path, disk).unwrap();
    path
}

fn open(path: &Path) -> Result<Qcow2<File>, Qcow2Error> {
    let file = File::open(path).unwrap();
    let bytes = file.metadata().unwrap().len();
    Qcow2::open(file, bytes)
}

#[test]
fn every_form_is_read_as_qemu_reads_it() {
    let Some(qemu_img) = oracle("qemu-img", "qemu-utils") else { return };
    let directory = tempfile::tempdir().unwrap();
    let raw = raw(directory.path());
    let content = fs::read(&raw).unwrap();
    let image = directory.path().join("disk.qcow2");
    for options in [
        &[][..],
        &["-o", "compat=0.10"],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=2M"],
        &["-o", "lazy_refcounts=on,refcount_bits=1"],
        &["-o", "preallocation=metadata"],
        &["-o", "preallocation=full"],
        &["-c"],
        &["-c", "-o", "compat=0.10,cluster_size=4096"],
        &["-c", "-o", "cluster_size=2M"],
        &["-c", "-o", "compression_type=zstd"],
        &["-c", "-o", "compression_type=zstd,cluster_size=512"],
        &["-c", "-o", "compression_type=zstd,cluster_size=2M"],
        // Zero clusters instead of holes.
        &["-S", "0"],
    ] {
        run(Command::new(&qemu_img)
            .args(["convert", "-O", "qcow2"])
            .args(options)
            .arg(&raw)
            .arg(&image));
        let qcow2 = open(&image).unwrap();
        assert_eq!(qcow2.size(), content.len() as u64, "{options:?}");
        let mut whole = vec![9; content.len()];
        qcow2.read_exact_at(&mut whole, 0).unwrap();
        assert!(whole == content, "{options:?}");
        // Small pieces, backwards.
        let mut piece = [0; 1000];
        for start in (0..content.len() - 1000).step_by(33_333).rev() {
            qcow2.read_exact_at(&mut piece, start as u64).unwrap();
            assert!(piece == content[start..start + 1000], "{options:?} {start}");
        }
        // What is passed over has nothing in it.
        let (mut at, end) = (0, qcow2.size());
        while let Some(next) = qcow2.next_content(at, end).unwrap() {
            let hole = usize::try_from(at).unwrap()..usize::try_from(next).unwrap();
            assert!(content[hole].iter().all(|&byte| byte == 0), "{options:?}");
            at = (next + 512).min(end);
        }
        assert!(content[usize::try_from(at).unwrap()..].iter().all(|&byte| byte == 0));
    }
}

/// Written to by QEMU after it was made: clusters in no order, discarded ones, a grown disk.
#[test]
fn an_image_that_was_written_to_is_read() {
    let Some(qemu_io) = oracle("qemu-io", "qemu-utils") else { return };
    let Some(qemu_img) = oracle("qemu-img", "qemu-utils") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (image, out) = (directory.path().join("a.qcow2"), directory.path().join("a.raw"));
    run(Command::new(&qemu_img).args(["create", "-q", "-f", "qcow2"]).arg(&image).arg("100M"));
    run(Command::new(&qemu_img).args(["resize", "-q"]).arg(&image).arg("70G"));
    let mut io = Command::new(qemu_io);
    for command in [
        "write -P 1 64G 1M",
        "write -P 2 1000k 200k",
        "write -P 3 0 5k",
        "write -z 1M 64k",
        "discard 64G 128k",
        "write -P 4 -c 2M 64k",
        "write -P 5 2100k 3k",
    ] {
        io.args(["-c", command]);
    }
    run(io.args(["-f", "qcow2"]).arg(&image));
    run(Command::new(&qemu_img).args(["convert", "-O", "raw"]).arg(&image).arg(&out));
    let (qcow2, raw) = (open(&image).unwrap(), File::open(&out).unwrap());
    assert_eq!(qcow2.size(), 70 << 30);
    let (mut found, mut expected) = (vec![1; 3 << 20], vec![2; 3 << 20]);
    for start in [0, (64 << 30) - (1 << 20), (70 << 30) - (3 << 20)] {
        qcow2.read_exact_at(&mut found, start).unwrap();
        ReadAt::read_exact_at(&raw, &mut expected, start).unwrap();
        assert!(found == expected, "{start}");
    }
    // The emptiness between is passed over at once.
    assert_eq!(qcow2.next_content(3 << 20, 70 << 30).unwrap(), Some((64 << 30) + (128 << 10)));
}

#[test]
fn what_is_not_in_one_file_is_refused_by_name() {
    let Some(qemu_img) = oracle("qemu-img", "qemu-utils") else { return };
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let base = at("base.qcow2");
    let create = |name: &str, options: &[&str]| {
        let mut create = Command::new(&qemu_img);
        create.args(["create", "-q", "-f", "qcow2"]).args(options).arg(at(name)).arg("10M");
        run(&mut create);
        open(&at(name)).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(create("base.qcow2", &[]), "");
    let base = base.to_str().unwrap();
    assert!(create("over.qcow2", &["-F", "qcow2", "-b", base]).contains("has a backing file"));
    let data_file = format!("data_file={}", at("data.raw").display());
    let refused = create("external.qcow2", &["-o", &data_file]);
    assert!(refused.contains("has an external data file"), "{refused}");
    let refused = create("sub.qcow2", &["-o", "extended_l2=on"]);
    assert!(refused.contains("has extended L2 entries"), "{refused}");
    let secret =
        ["--object", "secret,id=s,data=x", "-o", "encrypt.format=luks,encrypt.key-secret=s"];
    let refused = create("secret.qcow2", &secret);
    assert!(refused.contains("is encrypted (LUKS)"), "{refused}");
    run(Command::new(&qemu_img).args(["snapshot", "-c", "before"]).arg(base));
    let refused = open(Path::new(base)).err().unwrap();
    assert!(matches!(refused, Qcow2Error::Snapshots { count: 1 }), "{refused:?}");

    // Other containers are named, not taken for a raw disk.
    for (format, name) in [("vmdk", "VMDK"), ("vhdx", "VHDX"), ("vdi", "VDI"), ("qed", "QED")] {
        let path = at(format);
        let mut create = Command::new(&qemu_img);
        if !disk_common::output(create.args(["create", "-q", "-f", format]).arg(&path).arg("10M"))
            .status
            .success()
        {
            eprintln!("SKIPPED: this qemu-img makes no {format}");
            continue;
        }
        let refused = Source::detect(&path).unwrap_err();
        let is_it = matches!(&refused, SourceError::Import(ImportError::Foreign { format, .. }) if *format == name);
        assert!(is_it, "{format}: {refused:?}");
    }
}

/// What a virtual machine wrote into its raw disk cannot make it another image, if the user
/// says what it is.
#[test]
fn a_raw_disk_is_no_qcow2_if_it_is_said_to_be_raw() {
    let Some(qemu_img) = oracle("qemu-img", "qemu-utils") else { return };
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    run(Command::new(qemu_img).args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg("10M"));
    let open = |format| Source::disk(&disk, &DiskOptions { format, ..DiskOptions::default() });
    for format in [None, Some(DiskFormat::Qcow2)] {
        // A disk of 10 MiB with nothing on it.
        let refused = open(format).unwrap_err();
        assert!(matches!(refused, SourceError::Import(ImportError::Probe { .. })), "{refused:?}");
    }
    let refused = open(Some(DiskFormat::Raw)).unwrap_err();
    let said = format!("{refused:?}");
    assert!(said.contains("Unknown"), "{said}");
    fs::write(&disk, [0; 4096]).unwrap();
    let refused = open(Some(DiskFormat::Qcow2)).unwrap_err();
    assert!(matches!(refused, SourceError::Import(ImportError::NotQcow2 { .. })), "{refused:?}");
}
