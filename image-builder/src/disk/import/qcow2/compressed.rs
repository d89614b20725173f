//! Unpacking a compressed cluster.

use std::io;

use flate2::{Decompress, FlushDecompress};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::header::Compression;

/// The largest window of a zstd frame, as a logarithm: that of its highest level for content
/// of any size is 27, but a frame here is one cluster of 2 MiB at most.
const WINDOW_LOG: u32 = 23;

/// Fills `cluster` from the stream that `packed` starts with. What follows the stream is
/// not part of it: its length is only known in sectors.
pub(super) fn unpack(kind: Compression, packed: &[u8], cluster: &mut [u8]) -> io::Result<()> {
    let filled = match kind {
        Compression::Zlib => {
            let mut decoder = Decompress::new(false);
            decoder.decompress(packed, cluster, FlushDecompress::Finish)?;
            usize::try_from(decoder.total_out()).unwrap_or(usize::MAX)
        }
        Compression::Zstd => zstd(packed, cluster)?,
    };
    if filled == cluster.len() {
        return Ok(());
    }
    let problem = format!("it has {filled} bytes instead of {}", cluster.len());
    Err(io::Error::new(io::ErrorKind::InvalidData, problem))
}

fn zstd(packed: &[u8], cluster: &mut [u8]) -> io::Result<usize> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
    let mut input = InBuffer::around(packed);
    let length = cluster.len();
    let mut output = OutBuffer::around(cluster);
    loop {
        let before = (input.pos(), output.pos());
        let left_of_frame = decoder.run(&mut input, &mut output)?;
        let stuck = before == (input.pos(), output.pos());
        if left_of_frame == 0 || stuck || output.pos() == length {
            return Ok(output.pos());
        }
    }
}
