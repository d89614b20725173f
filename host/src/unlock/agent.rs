//! A client of ssh-agent: which keys it has, and a signature by one of them
//! (draft-miller-ssh-agent, sections 3.5 and 3.6).
//!
//! Blocking, one request at a time. An agent is the owner's own program, but it is
//! read with bounds all the same: 256 KiB a message, as OpenSSH has it, and a
//! deadline.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ssh_key::{PublicKey, Signature};

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// The longest message, in bytes (OpenSSH's `AGENT_MAX_LEN`).
const MAX_MESSAGE: usize = 256 << 10;
/// For an answer that needs nobody.
const QUICK: Duration = Duration::from_secs(10);
/// For a signature: somebody may have to confirm it, or to touch a security key.
const CONFIRMED: Duration = Duration::from_secs(120);

/// Why the agent does not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Nobody listens.
    #[error("the agent at {} cannot be reached", .path.display())]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The conversation broke, or took too long.
    #[error("the agent gave no answer")]
    Io(#[source] io::Error),
    /// Not an answer of an agent.
    #[error("the agent's answer makes no sense: {0}")]
    Malformed(&'static str),
    /// It says no.
    #[error("the agent refused to sign: the key is not there, or was not confirmed")]
    Refused,
}

/// A connection to an agent.
#[derive(Debug)]
pub struct Agent {
    stream: UnixStream,
}

impl Agent {
    /// Connects to the agent at this socket (`$SSH_AUTH_SOCK`).
    ///
    /// # Errors
    /// [`AgentError::Connect`].
    pub fn connect(path: &Path) -> Result<Self, AgentError> {
        let failed = |source| AgentError::Connect { path: path.to_owned(), source };
        Ok(Self { stream: UnixStream::connect(path).map_err(failed)? })
    }

    /// The public keys that it can sign with. Those of kinds that are not known
    /// here are left out.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn keys(&mut self) -> Result<Vec<PublicKey>, AgentError> {
        let answer = self.ask(REQUEST_IDENTITIES, &[], QUICK)?;
        let mut fields = match answer.split_first() {
            Some((&IDENTITIES_ANSWER, fields)) => Fields(fields),
            Some((&FAILURE, _)) => return Err(AgentError::Malformed("it has no list of keys")),
            _ => return Err(AgentError::Malformed("no list of keys")),
        };
        let count = fields.number()?;
        let mut keys = Vec::new();
        for _ in 0..count {
            // Each takes bytes of the answer, so that the count bounds nothing.
            let (blob, comment) = (fields.string()?, fields.string()?);
            if let Ok(mut key) = PublicKey::from_bytes(blob) {
                key.set_comment(String::from_utf8_lossy(comment));
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// The signature of `key` over `data`.
    ///
    /// # Errors
    /// [`AgentError`].
    pub fn sign(&mut self, key: &PublicKey, data: &[u8]) -> Result<Signature, AgentError> {
        let blob = key.to_bytes().map_err(|_key| AgentError::Malformed("no such key"))?;
        let mut request = Vec::with_capacity(blob.len() + data.len() + 12);
        for string in [&blob, data] {
            request.extend_from_slice(&length(string)?);
            request.extend_from_slice(string);
        }
        // No flags: they are for RSA.
        request.extend_from_slice(&[0; 4]);
        let answer = self.ask(SIGN_REQUEST, &request, CONFIRMED)?;
        match answer.split_first() {
            Some((&SIGN_RESPONSE, fields)) => Signature::try_from(Fields(fields).string()?)
                .map_err(|_form| AgentError::Malformed("no signature that is known here")),
            Some((&FAILURE, _)) => Err(AgentError::Refused),
            _ => Err(AgentError::Malformed("no signature")),
        }
    }

    /// A request and its answer, type first.
    fn ask(&mut self, kind: u8, content: &[u8], limit: Duration) -> Result<Vec<u8>, AgentError> {
        let start = Instant::now();
        let message = [&[kind], content].concat();
        let request = [length(&message)?.as_slice(), &message].concat();
        self.arm(start, limit)?;
        self.stream.write_all(&request).map_err(AgentError::Io)?;
        let mut head = [0; 4];
        self.fill(&mut head, start, limit)?;
        let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
        if length == 0 || length > MAX_MESSAGE {
            return Err(AgentError::Malformed("its length"));
        }
        let mut answer = vec![0; length];
        self.fill(&mut answer, start, limit)?;
        Ok(answer)
    }

    fn arm(&self, start: Instant, limit: Duration) -> Result<(), AgentError> {
        let left = limit.checked_sub(start.elapsed()).filter(|left| !left.is_zero());
        let left = left.ok_or_else(|| AgentError::Io(io::ErrorKind::TimedOut.into()))?;
        let set = |timeout| {
            self.stream.set_read_timeout(timeout)?;
            self.stream.set_write_timeout(timeout)
        };
        set(Some(left)).map_err(AgentError::Io)
    }

    fn fill(
        &mut self,
        buffer: &mut [u8],
        start: Instant,
        limit: Duration,
    ) -> Result<(), AgentError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            self.arm(start, limit)?;
            match self.stream.read(rest) {
                Ok(0) => return Err(AgentError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(AgentError::Io(error)),
            }
        }
        Ok(())
    }
}

fn length(bytes: &[u8]) -> Result<[u8; 4], AgentError> {
    let fits = u32::try_from(bytes.len()).ok().filter(|_length| bytes.len() <= MAX_MESSAGE);
    fits.map(u32::to_be_bytes).ok_or(AgentError::Malformed("the request is too long"))
}

/// Numbers and strings (RFC 4251, section 5).
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u32, AgentError> {
        let (number, rest) =
            self.0.split_first_chunk().ok_or(AgentError::Malformed("it is cut"))?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Result<&'a [u8], AgentError> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let cut = AgentError::Malformed("it is cut");
        let (string, rest) = self.0.split_at_checked(length).ok_or(cut)?;
        self.0 = rest;
        Ok(string)
    }
}
