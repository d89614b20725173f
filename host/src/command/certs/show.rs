//! How a certificate of the cache is printed.

use attestation::certificate::UnixTime;
use attestation::certificate::service::{Content, Resource};
use attestation::product::Product;
use attestation::report::KeyKind;
use serde::Serialize;

use crate::certificates::Store;
use crate::terminal::{Text, printable};

/// One entry of the cache.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    kind: &'static str,
    product: Product,
    chip_id: Option<String>,
    csp_id: Option<String>,
    tcb: Option<String>,
    not_before: Option<UnixTime>,
    not_after: Option<UnixTime>,
    file: String,
    #[serde(skip)]
    levels: Option<String>,
}

impl Shown {
    pub(super) fn new(store: &Store, resource: &Resource, content: Option<&Content>) -> Self {
        let validity = content.map(Content::validity);
        let product = resource.product();
        let (mut chip_id, mut csp_id, mut levels) = (None, None, None);
        let kind = match resource {
            Resource::Vcek { .. } => "vcek",
            Resource::Vlek { .. } => "vlek",
            Resource::Chain { kind: KeyKind::Vcek, .. } => "ask",
            Resource::Chain { kind: KeyKind::Vlek, .. } => "asvk",
            Resource::Crl { kind: KeyKind::Vcek, .. } => "vcek-crl",
            Resource::Crl { kind: KeyKind::Vlek, .. } => "vlek-crl",
        };
        if let Resource::Vcek { hardware_id, .. } = resource {
            chip_id = Some(hardware_id.to_string());
        }
        if let Some(Content::Leaf(_, leaf)) = content {
            csp_id = leaf.csp_id().map(printable);
        }
        if let Resource::Vcek { tcb, .. } | Resource::Vlek { tcb, .. } = resource {
            levels = Some((tcb.to_string(), tcb.components(product).to_string()));
        }
        let (tcb, levels) = levels.unzip();
        let path = store.directory().join(resource.file_name());
        Self {
            kind,
            product,
            chip_id,
            csp_id,
            tcb,
            not_before: validity.map(|(from, _)| from),
            not_after: validity.map(|(_, until)| until),
            file: printable(&path.to_string_lossy()),
            levels,
        }
    }

    /// Adds it to a text, under a heading of its own.
    pub(super) fn describe(&self, text: &mut Text) {
        text.heading(&format!("{} {}", self.product, self.kind.to_ascii_uppercase()));
        if let Some(chip) = &self.chip_id {
            text.field("chip", chip);
        }
        if let Some(provider) = &self.csp_id {
            text.field("provider", provider);
        }
        if let Some(levels) = &self.levels {
            text.field("TCB", levels);
        }
        match (self.not_before, self.not_after) {
            (Some(from), Some(until)) => text.field("valid", format!("{from} to {until}")),
            _ => text.field("valid", "damaged; it is fetched again when it is needed"),
        };
        text.field("file", &self.file);
    }

    /// Whether it is past its time.
    pub(super) fn expired(&self, now: UnixTime) -> bool {
        self.not_after.is_some_and(|until| until < now)
    }
}
