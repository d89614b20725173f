//! Why a container image cannot be read.

use std::io;

use thiserror::Error;

/// Why a container image is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// A part of it is missing.
    #[error("{name}: the container image has no {part}; save it again, or copy it with skopeo")]
    Missing {
        /// The image's file or directory.
        name: String,
        /// The part's name there.
        part: String,
    },
    /// A part of it cannot be read.
    #[error("{name}: {part} of the container image cannot be read")]
    Read {
        /// The image's file or directory.
        name: String,
        /// The part's name there.
        part: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A document that is too large.
    #[error("{part} has {bytes} bytes; a document of a container image has at most {most}")]
    DocumentSize {
        /// The document.
        part: String,
        /// Its bytes.
        bytes: u64,
        /// The limit.
        most: u64,
    },
    /// A document that says nothing usable.
    #[error("{part} is no document of a container image")]
    Document {
        /// The document.
        part: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A document of a version, kind or form that is not known.
    #[error("{part}: {problem}")]
    Unsupported {
        /// The document.
        part: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A part that is not what its digest says.
    #[error("{part} is not what its digest says: the container image is damaged, or was changed")]
    Digest {
        /// The part.
        part: String,
    },
    /// A part whose size is another one.
    #[error(
        "{part} has {found} bytes, its descriptor says {expected}: the container image is damaged"
    )]
    Size {
        /// The part.
        part: String,
        /// The descriptor's size.
        expected: u64,
        /// Its size.
        found: u64,
    },
    /// Nothing for this machine.
    #[error(
        "{name}: has no image for linux/amd64{}; fetch that one \
         (`docker pull --platform linux/amd64`, `skopeo copy --override-arch amd64`)",
        if found.is_empty() { String::new() } else { format!(", but for {found}") }
    )]
    Platform {
        /// The image's file or directory.
        name: String,
        /// What there is.
        found: String,
    },
    /// Several images.
    #[error("{name}: holds several images: {found}; choose one with --image")]
    Several {
        /// The image's file or directory.
        name: String,
        /// Their names, or digests.
        found: String,
    },
    /// No image of that name.
    #[error("{name}: has no image `{wanted}`{}", if found.is_empty() { String::new() } else { format!("; it has {found}") })]
    NoSuchImage {
        /// The image's file or directory.
        name: String,
        /// The name that was asked for.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// A name was given for what is no container image.
    #[error("{name}: is no container image, so --image does not apply; leave it out")]
    NotAnImage {
        /// The source.
        name: String,
    },
    /// More than is kept in memory.
    #[error(
        "{part}: more than {members} members, or {bytes} bytes of names, link targets and \
         attributes, in all layers; flatten the image (`docker export`) and give the tar"
    )]
    TooMany {
        /// The layer.
        part: String,
        /// The limit of members.
        members: u64,
        /// The limit of bytes.
        bytes: u64,
    },
    /// Layers that unpack to more than any image.
    #[error("{part}: unpacks, with what comes before it, to more than {} GiB", .most >> 30)]
    Bomb {
        /// The layer, or the archive.
        part: String,
        /// The limit in bytes.
        most: u64,
    },
}
