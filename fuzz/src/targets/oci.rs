//! The documents of a container image: index, manifest, configuration, and what docker saves.
//!
//! The input is a list of parts, one below the other, that end with a line `%`. `@N` in a part
//! is the digest of part N, `$N` the path of its blob, and `#N` its size, so that what lies below a changed part is still
//! reached. The first part is `index.json`, or `manifest.json` if it begins with a bracket;
//! all others are blobs.

use sha2::{Digest as _, Sha256};

use super::image::{file, look_at};

/// The end of a part.
const END: &str = "\n%\n";
/// The most parts.
const PARTS: usize = 9;

pub(super) fn run(data: &[u8]) {
    let _ = look_at(archive(data));
}

fn archive(data: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(data);
    let mut parts: Vec<String> = text.split(END).take(PARTS).map(str::to_owned).collect();
    let mut tar = file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    // From the last: a part names those after it.
    for at in (0..parts.len()).rev() {
        let Some(part) = parts.get(at).cloned() else { continue };
        let digest: String = Sha256::digest(&part).iter().map(|b| format!("{b:02x}")).collect();
        for earlier in parts.iter_mut().take(at) {
            *earlier = earlier
                .replace(&format!("@{at}"), &format!("sha256:{digest}"))
                .replace(&format!("${at}"), &format!("blobs/sha256/{digest}"))
                .replace(&format!("#{at}"), &part.len().to_string());
        }
        let name = match at {
            0 if part.starts_with('[') => "manifest.json".to_owned(),
            0 => "index.json".to_owned(),
            _ => format!("blobs/sha256/{digest}"),
        };
        tar.extend(file(&name, part.as_bytes()));
    }
    tar
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
    let saved = r#"[{"Config":"$1","RepoTags":["a:1"],"Layers":["$2"]}]"#;
    let nested = r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"@1","size":#1}]}"#;
    let plain = [index, &manifest, config, ""].join(END);
    // The same, one part further down.
    let deeper: String = plain
        .chars()
        .scan(false, |marked, c| {
            let c = match c {
                '1'..='8' if *marked => char::from_digit(c.to_digit(10)? + 1, 10)?,
                c => c,
            };
            *marked = matches!(c, '@' | '#');
            Some(c)
        })
        .collect();
    vec![
        plain.into_bytes(),
        [nested, &deeper].join(END).into_bytes(),
        [saved, &config.replace("@3", "@2"), ""].join(END).into_bytes(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_images() {
        for seed in seeds() {
            assert_eq!(look_at(archive(&seed)), Some(0), "{}", String::from_utf8_lossy(&seed));
        }
    }
}
