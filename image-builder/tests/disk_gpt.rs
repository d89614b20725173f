//! The partition table against fdisk's and gdisk's, both ways.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod disk_common;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use disk_common::{oracle, run};
use protocol::gpt::{
    ATTRIBUTE_READ_ONLY, BACKUP_BYTES, PRIMARY_BYTES, Partition, TYPE_ROOT_VERITY_X86_64,
    TYPE_ROOT_X86_64, Table,
};
use uuid::Uuid;

const SECTORS: u64 = 65536;

fn table() -> Table {
    let partition = |number, type_guid, guid, first_lba, last_lba, name: &str| Partition {
        number,
        type_guid,
        guid: Uuid::from_u128(guid),
        first_lba,
        last_lba,
        attributes: ATTRIBUTE_READ_ONLY,
        name: name.to_owned(),
    };
    let (root, verity) = (TYPE_ROOT_X86_64, TYPE_ROOT_VERITY_X86_64);
    Table {
        disk_guid: Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
        sectors: SECTORS,
        partitions: vec![
            partition(
                1,
                root,
                0xfedc_ba98_7654_3210_fedc_ba98_7654_3210,
                2048,
                34815,
                "ravelin-root",
            ),
            partition(
                2,
                verity,
                0x1111_2222_3333_4444_5555_6666_7777_8888,
                34816,
                36863,
                "ravelin-root-verity",
            ),
            partition(7, root, 0x1, 40960, SECTORS - 34, "ünïcödé-𝄞"),
        ],
    }
}

fn write(path: &Path, table: &Table) {
    let file = File::create(path).unwrap();
    file.set_len(table.sectors * 512).unwrap();
    file.write_all_at(&table.primary().unwrap(), 0).unwrap();
    let backup = table.sectors * 512 - BACKUP_BYTES as u64;
    file.write_all_at(&table.backup().unwrap(), backup).unwrap();
}

fn read(path: &Path) -> Table {
    let whole = fs::read(path).unwrap();
    let sectors = whole.len() as u64 / 512;
    let table = Table::parse(&whole[..PRIMARY_BYTES], sectors).unwrap();
    let backup = Table::parse_backup(&whole[whole.len() - BACKUP_BYTES..], sectors).unwrap();
    assert_eq!(table, backup);
    table
}

#[test]
fn fdisk_and_gdisk_accept_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    write(&path, &table());
    if let Some(sfdisk) = oracle("sfdisk", "fdisk") {
        let json = run(Command::new(&sfdisk).arg("--json").arg(&path));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let found = &json["partitiontable"];
        assert_eq!(found["label"], "gpt");
        assert_eq!(found["id"], "01234567-89AB-CDEF-0123-456789ABCDEF");
        assert_eq!(found["firstlba"], 34);
        assert_eq!(found["lastlba"], SECTORS - 34);
        let partitions = found["partitions"].as_array().unwrap();
        assert_eq!(partitions.len(), 3);
        for (found, expected) in partitions.iter().zip(&table().partitions) {
            assert_eq!(found["start"], expected.first_lba);
            assert_eq!(found["size"], expected.sectors());
            assert_eq!(found["type"], expected.type_guid.to_string().to_uppercase());
            assert_eq!(found["uuid"], expected.guid.to_string().to_uppercase());
            assert_eq!(found["name"], expected.name.as_str());
            assert_eq!(found["attrs"], "GUID:60");
            assert!(found["node"].as_str().unwrap().ends_with(&expected.number.to_string()));
        }
        let verdict = disk_common::output(Command::new(sfdisk).arg("--verify").arg(&path));
        let verdict = String::from_utf8_lossy(&verdict.stdout).into_owned();
        assert!(verdict.contains("No errors detected"), "{verdict}");
    }
    if let Some(sgdisk) = oracle("sgdisk", "gdisk") {
        let verdict = run(Command::new(sgdisk).arg("-v").arg(&path));
        assert!(verdict.contains("No problems found"), "{verdict}");
    }
}

#[test]
fn what_fdisk_writes_is_read() {
    let Some(sfdisk) = oracle("sfdisk", "fdisk") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    File::create(&path).unwrap().set_len(SECTORS * 512).unwrap();
    let mut expected = table();
    expected.partitions[2].name = "third".to_owned();
    let mut script = format!("label: gpt\nlabel-id: {}\n", expected.disk_guid);
    for p in &expected.partitions {
        script += &format!(
            "{} : start={}, size={}, type={}, uuid={}, name=\"{}\", attrs=\"GUID:60\"\n",
            p.number,
            p.first_lba,
            p.sectors(),
            p.type_guid,
            p.guid,
            p.name
        );
    }
    let mut child = Command::new(sfdisk)
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(&path)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(read(&path), expected);
    // But for the usable area, which fdisk lets start at 1 MiB, the bytes are ours.
    let (theirs, ours) = (fs::read(&path).unwrap(), expected.primary().unwrap());
    assert_eq!(theirs[1024..PRIMARY_BYTES], ours[1024..], "entries");
    assert_eq!(theirs[512..528], ours[512..528]);
    assert_eq!(theirs[560..604], ours[560..604], "header from the last usable sector on");
}

#[test]
fn what_gdisk_writes_is_read() {
    let Some(sgdisk) = oracle("sgdisk", "gdisk") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    File::create(&path).unwrap().set_len(SECTORS * 512).unwrap();
    let mut expected = table();
    expected.partitions[2].name = "third".to_owned();
    let mut command = Command::new(sgdisk);
    command.arg("--clear").arg(format!("--disk-guid={}", expected.disk_guid));
    for p in &expected.partitions {
        let n = p.number;
        command
            .arg(format!("--new={n}:{}:{}", p.first_lba, p.last_lba))
            .arg(format!("--typecode={n}:{}", p.type_guid))
            .arg(format!("--partition-guid={n}:{}", p.guid))
            .arg(format!("--change-name={n}:{}", p.name))
            .arg(format!("--attributes={n}:set:60"));
    }
    run(command.arg(&path));
    assert_eq!(read(&path), expected);
    let (theirs, ours) = (fs::read(&path).unwrap(), expected.primary().unwrap());
    assert_eq!(theirs[512..PRIMARY_BYTES], ours[512..], "all but the MBR's cylinders");
    let backup = expected.backup().unwrap();
    assert_eq!(theirs[theirs.len() - BACKUP_BYTES..], backup);
}

#[test]
fn a_hybrid_mbr_is_refused() {
    let Some(sgdisk) = oracle("sgdisk", "gdisk") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk");
    write(&path, &table());
    run(Command::new(sgdisk).arg("--hybrid=1").arg(&path));
    let whole = fs::read(&path).unwrap();
    let error = Table::parse(&whole[..PRIMARY_BYTES], SECTORS).unwrap_err();
    assert_eq!(error, protocol::gpt::GptError::MbrNotProtective);
}
