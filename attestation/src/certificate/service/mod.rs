//! AMD's key service (KDS): what can be asked for, where, and whether an answer
//! is what was asked for.
//!
//! Nothing here touches a network, a clock or a file system; `host` does. An
//! answer is worth nothing because of where it came from: [`Resource::read`]
//! compares it with the question, [`Content::check`] its signatures with the
//! roots. Caches and offline bundles go through the same two steps.
//!
//! 57230 revision 1.00, chapter 4:
//!
//! | resource | path | form |
//! |---|---|---|
//! | VCEK | `/vcek/v1/{product}/{hwID}?blSPL=…&teeSPL=…&snpSPL=…&ucodeSPL=…` | DER |
//! | the same, Turin | … `?fmcSPL=…&blSPL=…` … | DER |
//! | ASK, ARK | `/vcek/v1/{product}/cert_chain` | PEM |
//! | ASVK, ARK | `/vlek/v1/{product}/cert_chain` | PEM |
//! | revocation list | `/vcek/v1/{product}/crl`, `/vlek/v1/{product}/crl` | DER |
//!
//! A VLEK itself is given to the cloud provider alone, against its account; it
//! reaches a verifier in the report's certificate table or in a file.

mod content;
mod resource;

pub use content::{Content, Unfit};
pub use resource::{NoResource, Resource};

/// Where AMD's key service is.
pub const AMD_URL: &str = "https://kdsintf.amd.com";
