//! The layers of a container image: their members, whiteouts, links and what replaces what.
//!
//! The input is a list of members, one a line: `+` begins the next layer, otherwise the first
//! character is the kind (as in a tar's header), then path and target with a space between.

use sha2::{Digest as _, Sha256};

use super::image::{file, look_at};

/// The most members.
const MEMBERS: usize = 200;

pub(super) fn run(data: &[u8]) {
    let _ = look_at(archive(data));
}

fn archive(data: &[u8]) -> Vec<u8> {
    let mut layers = vec![Vec::new()];
    for line in data.split(|&byte| byte == b'\n').take(MEMBERS) {
        let Some((&kind, rest)) = line.split_first() else { continue };
        if kind == b'+' {
            layers.push(Vec::new());
            continue;
        }
        let mut words = rest.splitn(2, |&byte| byte == b' ');
        let (path, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if let Some(layer) = layers.last_mut() {
            layer.extend(member(kind, path, target));
        }
    }
    let mut tar = Vec::new();
    let (mut names, mut diff_ids) = (Vec::new(), Vec::new());
    for (at, mut layer) in layers.into_iter().enumerate() {
        layer.resize(layer.len() + 1024, 0);
        let digest: String = Sha256::digest(&layer).iter().map(|b| format!("{b:02x}")).collect();
        names.push(format!("\"blobs/{at}\""));
        diff_ids.push(format!("\"sha256:{digest}\""));
        tar.extend(file(&format!("blobs/{at}"), &layer));
    }
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let manifest = format!(r#"[{{"Config":"config","Layers":[{}]}}]"#, names.join(","));
    tar.extend(file("config", config.as_bytes()));
    tar.extend(file("manifest.json", manifest.as_bytes()));
    tar
}

/// A member's header with a right checksum; a file has its path as its content.
fn member(kind: u8, path: &[u8], target: &[u8]) -> Vec<u8> {
    let content = if kind == b'0' { path } else { &[] };
    let mut block = file("", content);
    let (path, target) = (path.get(..100).unwrap_or(path), target.get(..100).unwrap_or(target));
    let mut put = |at: usize, text: &[u8]| {
        block.iter_mut().skip(at).zip(text).for_each(|(to, from)| *to = *from);
    };
    put(0, path);
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target);
    put(329, b"0000001\x000000003\x00");
    let sum: u32 = block.iter().take(512).map(|&byte| u32::from(byte)).sum();
    let mut put = |at: usize, text: &[u8]| {
        block.iter_mut().skip(at).zip(text).for_each(|(to, from)| *to = *from);
    };
    put(148, format!("{sum:06o}\x00 ").as_bytes());
    block
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seeds = [
        "5usr\n5usr/lib\n2lib usr/lib\n0usr/lib/a\n0etc/passwd\n3dev/null\n\
         +\n0lib/b\n1c usr/lib/a\n0lib/.wh.a\n2loop loop\n5etc\n0etc/fstab",
        "5d\n0d/a\n5d/e\n0d/e/b\n+\n0d/.wh..wh..opq\n0d/c\n+\n0.wh.d\n0d\n+\n5d\n0d/x\n6p",
        "0.wh..\n0.wh.\n+\n0../x\n0loop/x\n2loop loop\n1l ../../etc/shadow\n0.wh..wh..opq",
    ];
    seeds.map(|seed| seed.as_bytes().to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_images_or_refused() {
        let found: Vec<_> = seeds().iter().map(|seed| look_at(archive(seed))).collect();
        assert_eq!(found, [Some(11), Some(3), None]);
    }
}
