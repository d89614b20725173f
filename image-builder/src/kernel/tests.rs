use std::io::Write;

use kernel_config::State;

use super::*;

const TEXT: &str = "# Linux/x86 6.12.95 Kernel Configuration\nCONFIG_NET=y\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A kernel with its configuration `at` that many bytes.
fn vmlinux(at: usize) -> Vec<u8> {
    let mut image = b"\x7fELF IKCFG_ST is not here".to_vec();
    image.resize(at, 0x90);
    image.extend_from_slice(b"IKCFG_ST");
    image.extend_from_slice(&gzip(TEXT.as_bytes()));
    image.extend_from_slice(b"IKCFG_ED and more");
    image.resize(image.len() + 5000, 0x90);
    image
}

fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 512 * 3];
    image[0x1f1] = 2;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    image.extend_from_slice(&[0xcc; 16]);
    image.extend_from_slice(payload);
    image.extend_from_slice(&[0xcc; 100]);
    image
}

fn package(member: &str, file: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in [("./usr/share/doc/x", "y"), (file, TEXT)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let data = zstd::encode_all(tar.into_inner().unwrap().as_slice(), 1).unwrap();
    let mut deb = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0".as_slice()), (member, &data)] {
        let size = content.len();
        deb.extend_from_slice(format!("{name:<16}{:<32}{size:<10}`\n", 0).as_bytes());
        deb.extend_from_slice(content);
        if size % 2 == 1 {
            deb.push(b'\n');
        }
    }
    deb
}

/// With two headers whose index and store are noise.
fn rpm(file: &str) -> Vec<u8> {
    let mut archive = crate::initramfs::Archive::new();
    for (name, content) in [("usr/share/doc/x", "y"), (file, TEXT)] {
        archive.file(name, 0o644, content.into()).unwrap();
    }
    let mut rpm = [&[0xed, 0xab, 0xee, 0xdb][..], &[0; 92]].concat();
    for (entries, store, padding) in [(1_u32, 5_u32, 3), (2, 7, 0)] {
        rpm.extend_from_slice(&[0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]);
        rpm.extend_from_slice(&[entries.to_be_bytes(), store.to_be_bytes()].concat());
        rpm.resize(rpm.len() + (16 * entries + store) as usize + padding, 0xaa);
    }
    rpm.extend_from_slice(&zstd::encode_all(archive.to_bytes().as_slice(), 1).unwrap());
    rpm
}

#[track_caller]
fn is_found(bytes: &[u8], found: Found) {
    let (config, place) = of_bytes(bytes).unwrap();
    assert_eq!(place, found);
    assert_eq!(config.state("NET"), State::BuiltIn);
    assert_eq!(config.release(), Some("6.12.95"));
}

#[test]
fn it_is_found_wherever_it_is() {
    is_found(TEXT.as_bytes(), Found::Text);
    is_found(&gzip(TEXT.as_bytes()), Found::Text);
    // Also across the places where the search goes on.
    for at in [100, (1 << 20) - 20, (1 << 20) - 4, 1 << 20, (2 << 20) - 1] {
        is_found(&vmlinux(at), Found::Image);
    }
    is_found(&bzimage(&gzip(&vmlinux(70_000))), Found::Image);
    is_found(&bzimage(&zstd::encode_all(vmlinux(70_000).as_slice(), 1).unwrap()), Found::Image);
    is_found(&package("data.tar.zst", "./boot/config-6.12.95"), Found::Package);
    for file in ["boot/config-6.12", "lib/modules/6.12/config", "usr/lib/modules/6.12/config"] {
        is_found(&rpm(file), Found::Package);
    }
}

#[test]
fn what_has_none_says_so() {
    let refused = |bytes: &[u8]| of_bytes(bytes).unwrap_err();
    let no_config = refused(b"\x7fELF and nothing");
    assert!(matches!(no_config, KernelFileError::NoConfiguration), "{no_config}");
    let lz4 = refused(&bzimage(&[0x02, 0x21, 0x4c, 0x18]));
    assert!(matches!(lz4, KernelFileError::Unpack { .. }), "{lz4}");
    let other = refused(&package("data.tar.zst", "./boot/System.map"));
    assert!(matches!(other, KernelFileError::Package(_)), "{other}");
    let other = refused(&rpm("lib/modules/6.12/kernel/config"));
    assert!(matches!(other, KernelFileError::Package(_)), "{other}");
    assert!(matches!(refused(&[0xff; 100]), KernelFileError::NotText));
    assert!(matches!(refused(b"hello"), KernelFileError::Text(_)));
    let bomb = refused(&gzip(&vec![b'#'; kernel_config::MAX_TEXT + 1]));
    assert!(matches!(bomb, KernelFileError::Bomb { .. }), "{bomb}");
}

/// Whatever the bytes are, the answer is a value or an error.
#[test]
fn damaged_files_are_survived() {
    let files = [
        package("data.tar.zst", "boot/config-1"),
        rpm("boot/config-1"),
        bzimage(&gzip(&vmlinux(300))),
        vmlinux(100),
    ];
    for file in files {
        for length in (0..file.len()).step_by(7) {
            let _any = of_bytes(&file[..length]);
        }
        for at in (0..file.len().min(2000)).step_by(3) {
            let mut changed = file.clone();
            changed[at] ^= 0xff;
            let _any = of_bytes(&changed);
        }
    }
}

/// The test kernel: its package's config, and the image, which has none inside or has
/// the same.
#[test]
fn a_real_kernel_is_read() {
    let Some(kernel) = std::env::var_os("RAVELIN_TEST_KERNEL") else {
        let line = "SKIPPED a_real_kernel_is_read: RAVELIN_TEST_KERNEL is unset\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    for entry in std::fs::read_dir(Path::new(&kernel).join("boot")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("config-") {
            let (config, found) = configuration(&path).unwrap();
            assert_eq!((config.state("DM_VERITY"), found), (State::Module, Found::Text));
        } else if name.starts_with("vmlinuz-") {
            // Debian builds without IKCONFIG.
            let error = configuration(&path).unwrap_err();
            assert!(matches!(error, KernelFileError::NoConfiguration), "{error:?}");
        }
    }
}

/// A long name of a gigabyte in a small package is not unpacked into memory.
#[test]
fn a_bomb_of_names_is_passed_over() {
    let mut tar = Vec::new();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    let rest = std::io::repeat(b'a').take(1 << 30).chain([0; 1024].as_slice());
    let data = zstd::encode_all(tar.as_slice().chain(rest), 1).unwrap();
    let mut deb = b"!<arch>\n".to_vec();
    deb.extend_from_slice(
        format!("{:<16}{:<32}{:<10}`\n", "data.tar.zst", 0, data.len()).as_bytes(),
    );
    deb.extend_from_slice(&data);
    let error = of_bytes(&deb).unwrap_err();
    assert!(matches!(error, KernelFileError::Package(_)), "{error:?}");
}
