//! Taking apart what the kernel sends.

/// fuse_in_header's length.
const HEADER: usize = 40;

/// One request of the kernel.
pub(super) struct Request<'a> {
    pub(super) opcode: u32,
    /// What the answer must repeat.
    pub(super) unique: u64,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    /// fuse_in_header: length, opcode, unique, node, user, group, process.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, body) = bytes.split_at_checked(HEADER)?;
        let mut fields = Fields(header);
        let _length = fields.u32()?;
        Some(Self { opcode: fields.u32()?, unique: fields.u64()?, body })
    }
}

/// Numbers in this machine's order, from the front.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }
}
