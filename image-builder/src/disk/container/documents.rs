//! The JSON documents of a container image. Fields that are not needed are passed over, as
//! the specification asks for.
//!
//! Formats: OCI image specification 1.1 ("Image Layout", "Image Index", "Image Manifest",
//! "Image Configuration"); Docker's registry API, "Image Manifest Version 2, Schema 2"; and
//! the `manifest.json` of `docker save` (Docker Image Specification 1.2, "Combined Image JSON
//! + Filesystem Changeset Format").

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::digest::Digest;
use super::error::ContainerError;

/// The most bytes of a document: what registries take of a manifest.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// Each without what says how it is compressed. The last three are of layers that a registry
/// does not hand out; where one is there, it is as good as any.
const LAYERS: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];
const COMPRESSIONS: [&str; 5] = ["", "+gzip", "+zstd", ".gzip", ".zstd"];

/// `oci-layout`.
#[derive(Deserialize)]
pub(super) struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    pub(super) version: String,
}

/// `index.json`, or a list of images for several platforms.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    pub(super) media_type: Option<String>,
    pub(super) manifests: Option<Vec<Descriptor>>,
}

/// What names a blob.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Platform {
    pub(super) os: String,
    pub(super) architecture: String,
}

/// One image.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    pub(super) media_type: Option<String>,
    pub(super) config: Descriptor,
    pub(super) layers: Option<Vec<Descriptor>>,
}

/// An image's configuration.
#[derive(Deserialize)]
pub(super) struct Config {
    pub(super) os: String,
    pub(super) architecture: String,
    pub(super) rootfs: RootFs,
}

/// The layers of a configuration, by the digests of their tars.
#[derive(Deserialize)]
pub(super) struct RootFs {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) diff_ids: Option<Vec<Digest>>,
}

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    pub(super) config: String,
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) layers: Option<Vec<String>>,
}

/// What a descriptor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    Index,
    Manifest,
    Config,
    Layer,
    Other,
}

impl Descriptor {
    pub(super) fn kind(&self) -> MediaType {
        let media_type = self.media_type.as_str();
        let layer = |base: &&str| {
            media_type.strip_prefix(*base).is_some_and(|rest| COMPRESSIONS.contains(&rest))
        };
        if INDEXES.contains(&media_type) {
            MediaType::Index
        } else if MANIFESTS.contains(&media_type) {
            MediaType::Manifest
        } else if CONFIGS.contains(&media_type) {
            MediaType::Config
        } else if LAYERS.iter().any(layer) {
            MediaType::Layer
        } else {
            MediaType::Other
        }
    }

    /// How people call the image.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        let names = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
        names.into_iter().filter_map(|name| self.annotations.as_ref()?.get(name))
    }
}

impl Index {
    /// The document, if it is one.
    pub(super) fn checked(self, part: &str) -> Result<Vec<Descriptor>, ContainerError> {
        check(part, self.schema_version, self.media_type.as_deref(), &INDEXES)?;
        Ok(self.manifests.unwrap_or_default())
    }
}

impl Manifest {
    /// The document, if it is one of an image.
    pub(super) fn checked(self, part: &str) -> Result<Manifest, ContainerError> {
        check(part, self.schema_version, self.media_type.as_deref(), &MANIFESTS)?;
        if self.config.kind() != MediaType::Config {
            let media_type = &self.config.media_type;
            let problem = format!("is of an artifact ({media_type:?}), not of a container image");
            return Err(ContainerError::Unsupported { part: part.to_owned(), problem });
        }
        let layers = self.layers.iter().flatten();
        if let Some(other) = layers.into_iter().find(|layer| layer.kind() != MediaType::Layer) {
            let problem = format!(
                "has a layer of the media type {:?}, which is not known (an encrypted layer? \
                 decrypt it with skopeo)",
                other.media_type
            );
            return Err(ContainerError::Unsupported { part: part.to_owned(), problem });
        }
        Ok(self)
    }
}

impl Config {
    /// The digests of the layers' tars, if the image is for this kind of machine.
    pub(super) fn checked(self, name: &str, part: &str) -> Result<Vec<Digest>, ContainerError> {
        if self.os != "linux" || self.architecture != "amd64" {
            let found = shown(&format!("{}/{}", self.os, self.architecture));
            return Err(ContainerError::Platform { name: name.to_owned(), found });
        }
        if self.rootfs.kind != "layers" {
            let problem = format!("has a root of the type {:?}, not of layers", self.rootfs.kind);
            return Err(ContainerError::Unsupported { part: part.to_owned(), problem });
        }
        Ok(self.rootfs.diff_ids.unwrap_or_default())
    }
}

impl Layout {
    /// Refuses versions to come.
    pub(super) fn check(&self, part: &str) -> Result<(), ContainerError> {
        if self.version == "1.0.0" {
            return Ok(());
        }
        let problem = format!("says version {:?}; 1.0.0 is the one that is known", self.version);
        Err(ContainerError::Unsupported { part: part.to_owned(), problem })
    }
}

fn check(
    part: &str,
    version: u32,
    media_type: Option<&str>,
    expected: &[&str],
) -> Result<(), ContainerError> {
    let problem = match media_type {
        _ if version != 2 => format!(
            "has the schema version {version}; 2 is the one that is known (`skopeo copy` makes it)"
        ),
        Some(other) if !expected.contains(&other) => {
            format!(
                "says that it is of the media type {other:?}, which is another kind of document"
            )
        }
        Some(_) | None => return Ok(()),
    };
    Err(ContainerError::Unsupported { part: part.to_owned(), problem })
}

/// Reads a document.
pub(super) fn parse<T: DeserializeOwned>(part: &str, bytes: &[u8]) -> Result<T, ContainerError> {
    serde_json::from_slice(bytes)
        .map_err(|source| ContainerError::Document { part: part.to_owned(), source })
}

/// Text of a document for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
