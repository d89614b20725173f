//! What a simulator keeps: its secret, and the keys and certificates of each
//! product, made when they are first needed.
//!
//! ```text
//! STATE/secret                   32 bytes
//! STATE/milan/{ark,ask,asvk}.pk8 private keys, PKCS #8
//! STATE/milan/{ark,ask,asvk}.der certificates
//! STATE/milan/root.pem           the root, for --trust-root
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use attestation::product::Product;
use ring::rand::{SecureRandom, SystemRandom};
use x509_cert::der::pem::{LineEnding, encode_string};
use zeroize::Zeroizing;

use crate::authority::{Authority, Certificates, IssueError, KeyError, RsaKey, Validity};
use crate::chip::Secret;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long root and intermediates are valid; AMD's are for 25 years.
const AUTHORITY_DAYS: u32 = 20 * 365;
/// 2049-12-31, the last day that the certificates' form of time can say.
const LATEST: u64 = 2_524_521_600;

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// No place for it.
    #[error("neither XDG_DATA_HOME nor HOME is an absolute path; name a directory with --state")]
    NoPlace,
    /// A file.
    #[error("{path}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The secret has another length.
    #[error("{path} is damaged; delete it to start anew", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The random source failed.
    #[error("there are no random bytes")]
    Random,
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A thread that made a key panicked.
    #[error("a key could not be made")]
    Thread,
}

/// A simulator's state.
pub struct State {
    directory: PathBuf,
    secret: Secret,
}

/// The keys and certificates of one product.
pub struct ProductState {
    /// The keys.
    pub authority: Authority,
    /// The certificates.
    pub certificates: Certificates,
    /// The root as a PEM file.
    pub root: PathBuf,
}

impl State {
    /// Opens or makes the state in `directory`, by default
    /// `$XDG_DATA_HOME/ravelin/simulator`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn open(directory: Option<&Path>) -> Result<Self, StateError> {
        let directory = directory.map_or_else(usual_directory, |path| Ok(path.to_owned()))?;
        make_directory(&directory)?;
        let _lock = lock(&directory)?;
        let path = directory.join("secret");
        if !path.exists() {
            let mut secret = Zeroizing::new([0; 32]);
            random(secret.as_mut())?;
            write(&path, secret.as_ref())?;
        }
        let bytes = Zeroizing::new(fs::read(&path).map_err(failed(&path))?);
        let secret = bytes.as_slice().try_into().map_err(|_length| StateError::Damaged { path })?;
        Ok(Self { directory, secret: Zeroizing::new(secret) })
    }

    /// The secret.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The keys of a product; `making` is called before they are made, which
    /// takes seconds.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn product(
        &self,
        product: Product,
        making: impl FnOnce(),
    ) -> Result<ProductState, StateError> {
        let directory = self.directory.join(product.name().to_ascii_lowercase());
        make_directory(&directory)?;
        let _lock = lock(&directory)?;
        let root = directory.join("root.pem");
        // Written last: where it is, all of them are.
        if !root.exists() {
            making();
            make(product, &directory)?;
        }
        let read = |name: &str| {
            let path = directory.join(name);
            fs::read(&path).map_err(failed(&path))
        };
        let key = |name: &str| -> Result<RsaKey, StateError> {
            Ok(RsaKey::from_pkcs8(&Zeroizing::new(read(name)?))?)
        };
        Ok(ProductState {
            authority: Authority::new(product, key("ark.pk8")?, key("ask.pk8")?, key("asvk.pk8")?),
            certificates: Certificates {
                ark: read("ark.der")?,
                ask: read("ask.der")?,
                asvk: read("asvk.der")?,
            },
            root,
        })
    }
}

/// Random bytes.
///
/// # Errors
/// [`StateError::Random`].
pub fn random(bytes: &mut [u8]) -> Result<(), StateError> {
    SystemRandom::new().fill(bytes).map_err(|_unspecified| StateError::Random)
}

/// From yesterday for so many days.
#[must_use]
pub fn validity(days: u32) -> Validity {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let not_before = now.saturating_sub(DAY).as_secs();
    let not_after = (now + DAY * days).as_secs().min(LATEST);
    Validity { not_before, not_after }
}

/// Makes a product's keys side by side, then its certificates.
fn make(product: Product, directory: &Path) -> Result<(), StateError> {
    let [ark, ask, asvk] = [(), (), ()].map(|()| thread::spawn(RsaKey::make));
    let finish = |thread: thread::JoinHandle<Result<Zeroizing<Vec<u8>>, KeyError>>, name: &str| {
        let key = thread.join().map_err(|_panic| StateError::Thread)??;
        write(&directory.join(name), &key)?;
        Ok::<_, StateError>(RsaKey::from_pkcs8(&key)?)
    };
    let authority = Authority::new(
        product,
        finish(ark, "ark.pk8")?,
        finish(ask, "ask.pk8")?,
        finish(asvk, "asvk.pk8")?,
    );
    let certificates = authority.certificates(validity(AUTHORITY_DAYS))?;
    write(&directory.join("ark.der"), &certificates.ark)?;
    write(&directory.join("ask.der"), &certificates.ask)?;
    write(&directory.join("asvk.der"), &certificates.asvk)?;
    let pem = encode_string("CERTIFICATE", LineEnding::LF, &certificates.ark)
        .map_err(|error| IssueError::Encode(error.into()))?;
    write(&directory.join("root.pem"), pem.as_bytes())
}

fn usual_directory() -> Result<PathBuf, StateError> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("ravelin/simulator"))
        .ok_or(StateError::NoPlace)
}

fn make_directory(path: &Path) -> Result<(), StateError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path))
}

/// Held while something is made, against a second launch at the same time.
fn lock(directory: &Path) -> Result<File, StateError> {
    let path = directory.join("lock");
    let open = || {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(failed(&path))
}

/// Writes a file whole or not at all.
fn write(path: &Path, content: &[u8]) -> Result<(), StateError> {
    let new = path.with_extension("new");
    let create = || {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    create().map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::File { path, source }
}
