//! Which image of a layout or archive is meant, and what its layers are.

use super::digest::Digest;
use super::documents::{
    Config, Descriptor, Index, Layout, Manifest, MediaType, Saved, parse, shown,
};
use super::error::ContainerError;
use super::store::Store;

/// The most images that one layout or archive may hold, and the most indexes.
const MAX_IMAGES: usize = 1024;
/// The most layers of an image. (Docker takes 127.)
const MAX_LAYERS: usize = 1024;
/// How deep an index may name others.
const MAX_DEPTH: usize = 4;
/// How many images a message names.
const NAMED: usize = 20;

/// One layer of the chosen image.
pub(super) struct Layer {
    /// Its part's name.
    pub(super) part: String,
    /// Digest and size of the part, where something says them.
    pub(super) blob: Option<(Digest, u64)>,
    /// The digest of its tar.
    pub(super) diff_id: Digest,
}

/// The layers of the image, the lowest first.
pub(super) fn layers(store: &Store, wanted: Option<&str>) -> Result<Vec<Layer>, ContainerError> {
    // Since its version 25, `docker save` writes both.
    if store.find("index.json")?.is_some() {
        of_layout(store, wanted)
    } else if store.find("manifest.json")?.is_some() {
        of_saved(store, wanted)
    } else {
        let (name, part) = (store.name.clone(), "index.json or manifest.json".to_owned());
        Err(ContainerError::Missing { name, part })
    }
}

fn of_layout(store: &Store, wanted: Option<&str>) -> Result<Vec<Layer>, ContainerError> {
    let part = "oci-layout";
    parse::<Layout>(part, &store.document(part)?)?.check(part)?;
    let part = "index.json";
    let top: Index = parse(part, &store.document(part)?)?;
    let top = top.checked(part)?;
    let mut found = Found { images: Vec::new(), indexes: 0 };
    for descriptor in &top {
        let names: Vec<String> = descriptor.names().cloned().collect();
        collect(store, descriptor, &names, MAX_DEPTH, &mut found)?;
    }
    let images = found.images;
    let found = images.iter().map(Image::known);
    let chosen: Vec<&Image> = match wanted {
        Some(wanted) => {
            let all = known(found.clone());
            let named = images.iter().zip(found).filter(|(_, known)| known.is(wanted));
            let named: Vec<&Image> = named.map(|(image, _)| image).collect();
            if named.is_empty() {
                let (name, wanted) = (store.name.clone(), shown(wanted));
                return Err(ContainerError::NoSuchImage { name, wanted, found: all });
            }
            named
        }
        None => images.iter().collect(),
    };
    let platforms = platforms(&chosen);
    let mut fit: Vec<&Image> = chosen.into_iter().filter(|image| image.may_fit()).collect();
    // One image under several names is one image.
    fit.sort_by(|a, b| a.descriptor.digest.cmp(&b.descriptor.digest));
    fit.dedup_by(|a, b| a.descriptor.digest == b.descriptor.digest);
    let [image] = fit.as_slice() else {
        let name = store.name.clone();
        if fit.is_empty() {
            return Err(ContainerError::Platform { name, found: platforms });
        }
        let found = known(fit.iter().map(|image| image.known()));
        return Err(ContainerError::Several { name, found });
    };
    let part = image.descriptor.digest.blob();
    let manifest: Manifest = parse(&part, &store.described(&image.descriptor)?)?;
    let manifest = manifest.checked(&part)?;
    let config = store.described(&manifest.config)?;
    let diff_ids = diff_ids(store, &manifest.config.digest.blob(), &config)?;
    let layers = manifest.layers.unwrap_or_default();
    let layers = layers.into_iter().map(|layer| {
        let blob = Some((layer.digest.clone(), layer.size));
        (layer.digest.blob(), blob)
    });
    paired(&part, layers.collect(), diff_ids)
}

/// An image that an index names.
struct Image {
    descriptor: Descriptor,
    names: Vec<String>,
}

impl Image {
    fn known(&self) -> Known<'_> {
        Known { names: &self.names, digest: Some(&self.descriptor.digest) }
    }

    /// Without a platform, only the configuration says it.
    fn may_fit(&self) -> bool {
        let platform = self.descriptor.platform.as_ref();
        platform.is_none_or(|p| p.os == "linux" && p.architecture == "amd64")
    }
}

/// What was found below an index.
struct Found {
    images: Vec<Image>,
    /// How many other indexes were read: one may name another many times.
    indexes: usize,
}

/// The images below a descriptor; what is neither an image nor an index (signatures and the
/// like) is passed over.
fn collect(
    store: &Store,
    descriptor: &Descriptor,
    names: &[String],
    depth: usize,
    found: &mut Found,
) -> Result<(), ContainerError> {
    let part = descriptor.digest.blob();
    let unsupported = |problem: String| ContainerError::Unsupported { part: part.clone(), problem };
    match descriptor.kind() {
        MediaType::Manifest => {
            if found.images.len() >= MAX_IMAGES {
                return Err(unsupported(format!("is one of more than {MAX_IMAGES} images")));
            }
            found.images.push(Image { descriptor: descriptor.clone(), names: names.to_vec() });
        }
        MediaType::Index => {
            let deeper = depth.checked_sub(1);
            let deeper = deeper.ok_or_else(|| {
                unsupported(format!("is an index below more than {MAX_DEPTH} others"))
            })?;
            found.indexes = found.indexes.saturating_add(1);
            if found.indexes > MAX_IMAGES {
                return Err(unsupported(format!("is one of more than {MAX_IMAGES} indexes")));
            }
            let index: Index = parse(&part, &store.described(descriptor)?)?;
            for descriptor in index.checked(&part)? {
                collect(store, &descriptor, names, deeper, found)?;
            }
        }
        MediaType::Config | MediaType::Layer | MediaType::Other => {}
    }
    Ok(())
}

fn of_saved(store: &Store, wanted: Option<&str>) -> Result<Vec<Layer>, ContainerError> {
    let part = "manifest.json";
    let images: Vec<Saved> = parse(part, &store.document(part)?)?;
    let tags: Vec<Vec<String>> =
        images.iter().map(|image| image.repo_tags.clone().unwrap_or_default()).collect();
    let found = tags.iter().map(|names| Known { names, digest: None });
    let named: Vec<&Saved> = match wanted {
        Some(wanted) => {
            let named = images.iter().zip(found.clone()).filter(|(_, known)| known.is(wanted));
            named.map(|(image, _)| image).collect()
        }
        None => images.iter().collect(),
    };
    let name = store.name.clone();
    let image = match (named.as_slice(), wanted) {
        ([image], _) => image,
        ([], Some(wanted)) => {
            let (wanted, found) = (shown(wanted), known(found));
            return Err(ContainerError::NoSuchImage { name, wanted, found });
        }
        ([], None) => return Err(ContainerError::Missing { name, part: "image".to_owned() }),
        _ => return Err(ContainerError::Several { name, found: known(found) }),
    };
    let config = store.document(&image.config)?;
    // Its name is its digest, which is the image's ID.
    let digest = image.config.strip_suffix(".json").unwrap_or(&image.config);
    let digest = digest.strip_prefix("blobs/sha256/").unwrap_or(digest);
    if let Some(digest) = Digest::parse(&format!("sha256:{digest}")) {
        store.check(&image.config, &digest, &config[..])?;
    }
    let diff_ids = diff_ids(store, &image.config, &config)?;
    let layers = image.layers.iter().flatten().map(|part| (part.clone(), None));
    paired(part, layers.collect(), diff_ids)
}

fn diff_ids(store: &Store, part: &str, bytes: &[u8]) -> Result<Vec<Digest>, ContainerError> {
    parse::<Config>(part, bytes)?.checked(&store.name, part)
}

/// Layers and the digests of their tars.
fn paired(
    part: &str,
    layers: Vec<(String, Option<(Digest, u64)>)>,
    diff_ids: Vec<Digest>,
) -> Result<Vec<Layer>, ContainerError> {
    let unsupported =
        |problem: String| ContainerError::Unsupported { part: part.to_owned(), problem };
    if layers.len() != diff_ids.len() {
        let (layers, diff_ids) = (layers.len(), diff_ids.len());
        return Err(unsupported(format!(
            "has {layers} layers, but its configuration tells of {diff_ids}"
        )));
    }
    if layers.len() > MAX_LAYERS {
        return Err(unsupported(format!("has more than {MAX_LAYERS} layers")));
    }
    let pair = |((part, blob), diff_id)| Layer { part, blob, diff_id };
    Ok(layers.into_iter().zip(diff_ids).map(pair).collect())
}

/// By what an image can be chosen.
#[derive(Clone)]
struct Known<'a> {
    names: &'a [String],
    digest: Option<&'a Digest>,
}

impl Known<'_> {
    /// Whether it is called so: by its digest, its name, its name without the tag `latest`, or
    /// without the registry.
    fn is(&self, wanted: &str) -> bool {
        let tagged = format!("{wanted}:latest");
        let ends = |name: &str, wanted: &str| {
            name.strip_suffix(wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
        };
        self.digest.is_some_and(|digest| digest.to_string() == wanted)
            || self.names.iter().any(|name| ends(name, wanted) || ends(name, &tagged))
    }
}

/// The images for a message.
fn known<'a>(images: impl Iterator<Item = Known<'a>>) -> String {
    let mut list: Vec<String> = images
        .take(NAMED)
        .map(|image| match (image.names, image.digest) {
            ([], Some(digest)) => digest.to_string(),
            ([], None) => "one without a name".to_owned(),
            (names, _) => {
                names.iter().take(3).map(|name| shown(name)).collect::<Vec<_>>().join(" or ")
            }
        })
        .collect();
    list.dedup();
    list.join(", ")
}

fn platforms(images: &[&Image]) -> String {
    let known = images.iter().filter_map(|image| image.descriptor.platform.as_ref());
    let mut list: Vec<String> =
        known.map(|p| shown(&format!("{}/{}", p.os, p.architecture))).collect();
    list.sort();
    list.dedup();
    // What BuildKit says of its records of a build.
    list.retain(|platform| platform != "unknown/unknown");
    list.truncate(NAMED);
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_several_names() {
        let names = ["docker.io/library/debian:latest".to_owned(), "v1".to_owned()];
        let digest = Digest::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
        let known = Known { names: &names, digest: Some(&digest) };
        for name in
            ["docker.io/library/debian:latest", "debian:latest", "debian", "library/debian", "v1"]
        {
            assert!(known.is(name), "{name}");
        }
        assert!(known.is(&digest.to_string()));
        for name in ["bian", "debian:12", "", "latest", "docker.io", "sha256:aaaa"] {
            assert!(!known.is(name), "{name}");
        }
    }
}
