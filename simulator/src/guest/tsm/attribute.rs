//! The files of one report's directory. Those of the manifest and the service
//! provider are absent, as they are for a guest without an SVSM (VMPL 0).

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attribute {
    Inblob,
    Outblob,
    Auxblob,
    Generation,
    Provider,
    Privlevel,
    PrivlevelFloor,
}

impl Attribute {
    pub(super) const ALL: [Self; 7] = [
        Self::Inblob,
        Self::Outblob,
        Self::Auxblob,
        Self::Generation,
        Self::Provider,
        Self::Privlevel,
        Self::PrivlevelFloor,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Inblob => "inblob",
            Self::Outblob => "outblob",
            Self::Auxblob => "auxblob",
            Self::Generation => "generation",
            Self::Provider => "provider",
            Self::Privlevel => "privlevel",
            Self::PrivlevelFloor => "privlevel_floor",
        }
    }

    /// The permissions in configfs.
    pub(super) const fn permissions(self) -> u16 {
        match self {
            Self::Inblob | Self::Privlevel => 0o200,
            Self::Outblob
            | Self::Auxblob
            | Self::Generation
            | Self::Provider
            | Self::PrivlevelFloor => 0o444,
        }
    }

    /// What `stat` says: configfs gives a page to text, nothing to blobs.
    pub(super) const fn size(self) -> u64 {
        match self {
            Self::Inblob | Self::Outblob | Self::Auxblob => 0,
            Self::Generation | Self::Provider | Self::Privlevel | Self::PrivlevelFloor => 4096,
        }
    }

    /// A number from 1, for the inode.
    pub(super) fn index(self) -> u64 {
        Self::ALL.iter().zip(1..).find(|(one, _)| **one == self).map_or(0, |(_, index)| index)
    }
}
