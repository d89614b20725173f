//! The documents of a container image: index, manifest, configuration, and what docker saves.
//!
//! The input is a list of parts, one below the other, that end with a line `%`. `@N` in a part
//! is the digest of part N, and `#N` its size, so that what lies below a changed part is still
//! reached. The first part is `index.json`, or `manifest.json` if it begins with a bracket;
//! all others are blobs.

use sha2::{Digest as _, Sha256};

use super::image::{file, look_at};

/// The most parts.
const PARTS: usize = 9;

pub(super) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts: Vec<String> = text.split("\n%\n").take(PARTS).map(str::to_owned).collect();
    let mut tar = file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    // From the last: a part names those after it.
    for at in (0..parts.len()).rev() {
        let Some(part) = parts.get(at).cloned() else { continue };
        let digest: String = Sha256::digest(&part).iter().map(|b| format!("{b:02x}")).collect();
        for earlier in parts.iter_mut().take(at) {
            *earlier = earlier
                .replace(&format!("@{at}"), &format!("sha256:{digest}"))
                .replace(&format!("#{at}"), &part.len().to_string());
        }
        let name = match at {
            0 if part.starts_with('[') => "manifest.json".to_owned(),
            0 => "index.json".to_owned(),
            _ => format!("blobs/sha256/{digest}"),
        };
        tar.extend(file(&name, part.as_bytes()));
    }
    look_at(tar);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    // The layer is an empty tar: nothing at all.
    let layer = r#"{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"@3","size":#3}"#;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@2","size":#2}},"layers":[{layer}]}}"#
    );
    let config =
        r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["@3"]}}"#;
    let index = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"@1","size":#1,"annotations":{"org.opencontainers.image.ref.name":"a:1"},"platform":{"os":"linux","architecture":"amd64"}}]}"#;
    let nested = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@4","size":#4}]}"#;
    // Part 4 of the second seed stands for the index that part 0 is in the first.
    let deep = [nested, &manifest, config, "", index];
    let saved = r#"[{"Config":"blobs/sha256/2","RepoTags":["a:1"],"Layers":["blobs/sha256/3"]}]"#;
    [&[index, &manifest, config, ""][..], &deep, &[saved, "", config, ""]]
        .iter()
        .map(|parts| parts.join("\n%\n").into_bytes())
        .collect()
}
