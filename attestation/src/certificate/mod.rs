//! Certificates: from AMD's root to the key that signed a report.
//!
//! Everything here may come from the host: the certificates, their order, the
//! revocation lists and the table they arrive in. What is trusted is only the
//! set of [`Roots`], AMD's own as compiled in or one that the owner named, and
//! the time, which is an argument: this module reads no clock.
//!
//! The chain has three links, always the same (57230, "VCEK Certificate and
//! KDS Interface Specification", chapters 2 and 3):
//!
//! | link | common name | key | signed by | algorithm |
//! |---|---|---|---|---|
//! | ARK | `ARK-Milan` | RSA 4096 | itself | RSASSA-PSS, SHA-384, MGF1 SHA-384, salt 48 |
//! | ASK | `SEV-Milan` | RSA 4096 | ARK | the same |
//! | ASVK | `SEV-VLEK-Milan` | RSA 4096 | ARK | the same |
//! | VCEK | `SEV-VCEK` | ECDSA P-384 | ASK | the same |
//! | VLEK | `SEV-VLEK` | ECDSA P-384 | ASVK | the same |
//!
//! Being so fixed, it is checked against that table rather than by a general
//! X.509 path search, which would both refuse AMD's leaves (their serial
//! number is 0) and allow chains that AMD never issues.
//!
//! [`validate`] runs once a chain; its [`VerifiedChain`] is kept and verifies
//! any number of reports.

mod bundle;
mod chain;
mod crl;
mod der;
mod error;
mod extensions;
mod leaf;
mod pss;
mod roots;
pub mod service;
mod table;
mod time;
mod x509;

pub use bundle::{Bundle, BundleError};
pub use chain::{ChainRejection, Revocation, VerifiedChain, validate};
pub use crl::Crl;
pub use error::{CertificateError, ChainError, ExtensionError, Link};
pub use extensions::{HardwareId, ParseHardwareIdError};
pub use leaf::Leaf;
pub use roots::{Root, RootError, RootOrigin, Roots};
pub use table::{CertificateTable, Entry, EntryKind, TableError};
pub use time::{ParseTimeError, UnixTime};
pub use x509::{Certificate, Role};
