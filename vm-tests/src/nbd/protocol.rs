//! The part of the NBD protocol that QEMU needs: the fixed newstyle handshake and
//! simple replies. Integers are big-endian.
//!
//! Specification: <https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md>.

use std::io::{self, ErrorKind, Read, Write};

use super::{Disk, SECTOR, Trouble};

const NBD_MAGIC: u64 = 0x4e42_444d_4147_4943;
const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;

/// Fixed newstyle; no zeros after the export's size.
const HANDSHAKE_FLAGS: u16 = 1 | 2;
const CLIENT_NO_ZEROES: u32 = 2;
/// Has flags; flush; FUA.
const TRANSMISSION_FLAGS: u16 = 1 | 4 | 8;

const OPTION_EXPORT_NAME: u32 = 1;
const OPTION_ABORT: u32 = 2;
const OPTION_INFO: u32 = 6;
const OPTION_GO: u32 = 7;

const REPLY_ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
const REPLY_UNSUPPORTED: u32 = 1 << 31 | 1;

const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

const COMMAND_READ: u16 = 0;
const COMMAND_WRITE: u16 = 1;
const COMMAND_DISCONNECT: u16 = 2;
const COMMAND_FLUSH: u16 = 3;
const FLAG_FUA: u16 = 1;

const ERROR_IO: u32 = 5;
const ERROR_INVALID: u32 = 22;

/// Options are short: an export's name, at most 4096 bytes, and a list of infos.
const MAX_OPTION: u32 = 8192;
/// What a client may ask for at once, by the specification.
const MAX_REQUEST: u32 = 32 << 20;

/// Serves one client until it leaves, or until the disk is gone.
pub(super) fn serve(stream: &mut (impl Read + Write), disk: &dyn Disk) -> io::Result<()> {
    if !negotiate(stream, disk.size())? {
        return Ok(());
    }
    while request(stream, disk)? {}
    Ok(())
}

/// Tells whether transmission begins; otherwise the client has left.
fn negotiate(stream: &mut (impl Read + Write), size: u64) -> io::Result<bool> {
    put(stream, &[&NBD_MAGIC.to_be_bytes(), &OPTION_MAGIC.to_be_bytes()])?;
    put(stream, &[&HANDSHAKE_FLAGS.to_be_bytes()])?;
    let client_flags = u32::from_be_bytes(take(stream)?);
    loop {
        if u64::from_be_bytes(take(stream)?) != OPTION_MAGIC {
            return Err(ErrorKind::InvalidData.into());
        }
        let option = u32::from_be_bytes(take(stream)?);
        let length = u32::from_be_bytes(take(stream)?);
        if length > MAX_OPTION {
            return Err(ErrorKind::InvalidData.into());
        }
        // The export's name; any will do.
        io::copy(&mut stream.take(u64::from(length)), &mut io::sink())?;
        let mut reply = |kind: u32, content: &[u8]| {
            let length = u32::try_from(content.len()).map_err(io::Error::other)?;
            put(
                stream,
                &[
                    &OPTION_REPLY_MAGIC.to_be_bytes(),
                    &option.to_be_bytes(),
                    &kind.to_be_bytes(),
                    &length.to_be_bytes(),
                    content,
                ],
            )
        };
        match option {
            OPTION_EXPORT_NAME => {
                put(stream, &[&size.to_be_bytes(), &TRANSMISSION_FLAGS.to_be_bytes()])?;
                if client_flags & CLIENT_NO_ZEROES == 0 {
                    put(stream, &[&[0; 124]])?;
                }
                return Ok(true);
            }
            OPTION_INFO | OPTION_GO => {
                let (kind, flags) = (INFO_EXPORT.to_be_bytes(), TRANSMISSION_FLAGS.to_be_bytes());
                reply(REPLY_INFO, &[&kind[..], &size.to_be_bytes(), &flags].concat())?;
                let sizes = [SECTOR as u64, 4096, u64::from(MAX_REQUEST)];
                let sizes = sizes.map(|size| u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes());
                let kind = INFO_BLOCK_SIZE.to_be_bytes();
                reply(REPLY_INFO, &[&kind, sizes.as_flattened()].concat())?;
                reply(REPLY_ACK, &[])?;
                if option == OPTION_GO {
                    return Ok(true);
                }
            }
            OPTION_ABORT => {
                reply(REPLY_ACK, &[])?;
                return Ok(false);
            }
            _ => reply(REPLY_UNSUPPORTED, &[])?,
        }
    }
}

/// Tells whether the client goes on.
fn request(stream: &mut (impl Read + Write), disk: &dyn Disk) -> io::Result<bool> {
    if u32::from_be_bytes(take(stream)?) != REQUEST_MAGIC {
        return Err(ErrorKind::InvalidData.into());
    }
    let flags = u16::from_be_bytes(take(stream)?);
    let command = u16::from_be_bytes(take(stream)?);
    let cookie: [u8; 8] = take(stream)?;
    let offset = u64::from_be_bytes(take(stream)?);
    let length = u32::from_be_bytes(take(stream)?);
    if length > MAX_REQUEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut data = Vec::new();
    if matches!(command, COMMAND_READ | COMMAND_WRITE) {
        data.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
    }
    if command == COMMAND_WRITE {
        stream.read_exact(&mut data)?;
    }
    let size = SECTOR as u64;
    let inside = offset.is_multiple_of(size)
        && u64::from(length).is_multiple_of(size)
        && offset.checked_add(u64::from(length)).is_some_and(|end| end <= disk.size());

    let result = match command {
        COMMAND_DISCONNECT => return Ok(false),
        COMMAND_READ | COMMAND_WRITE if !inside => Err(ERROR_INVALID),
        COMMAND_READ => in_protocol(disk.read(&mut data, offset))?,
        COMMAND_WRITE => {
            let mut result = disk.write(&data, offset);
            if flags & FLAG_FUA != 0 {
                result = result.and_then(|()| disk.flush());
            }
            in_protocol(result)?
        }
        COMMAND_FLUSH => in_protocol(disk.flush())?,
        _ => Err(ERROR_INVALID),
    };
    let error = result.err().unwrap_or_default();
    let header = [SIMPLE_REPLY_MAGIC.to_be_bytes(), error.to_be_bytes()];
    let answer: &[u8] = if command == COMMAND_READ && error == 0 { &data } else { &[] };
    put(stream, &[header.as_flattened(), &cookie, answer])?;
    Ok(true)
}

/// An error for the client, or the end of the connection.
fn in_protocol(result: Result<(), Trouble>) -> io::Result<Result<(), u32>> {
    match result {
        Ok(()) => Ok(Ok(())),
        Err(Trouble::Error) => Ok(Err(ERROR_IO)),
        Err(Trouble::Gone) => Err(ErrorKind::ConnectionAborted.into()),
    }
}

fn take<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn put(stream: &mut impl Write, parts: &[&[u8]]) -> io::Result<()> {
    stream.write_all(&parts.concat())
}
