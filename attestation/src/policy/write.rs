//! A policy as TOML, which [`Policy::parse`] reads back to the same policy.

use std::fmt::{self, Display, Formatter};

use super::{BitRules, MinimumLevels, MinimumTcb, Policy, TcbKind};
use crate::product::Product;
use crate::report::KeyKind;

impl Display for Policy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let products: Vec<_> = self.products.iter().map(|product| lower(*product)).collect();
        list(f, "product", &products)?;
        list(f, "measurement", &self.measurements)?;
        if let Some(vmpl) = self.vmpl {
            writeln!(f, "vmpl = {vmpl}")?;
        }
        list(f, "allow", &self.allow.iter().collect::<Vec<_>>())?;
        let keys: Vec<_> = self.signing_keys.iter().copied().map(KeyKind::name).collect();
        list(f, "signing_key", &keys)?;
        list(f, "csp_id", &self.csp_ids)?;
        if let Some(svn) = self.minimum_guest_svn {
            writeln!(f, "minimum_guest_svn = {svn}")?;
        }
        text(f, "minimum_firmware", self.minimum_firmware.as_ref())?;
        text(f, "host_data", self.host_data.as_ref())?;
        text(f, "family_id", self.family_id.as_ref())?;
        text(f, "image_id", self.image_id.as_ref())?;
        text(f, "report_data", self.report_data.as_ref())?;
        list(f, "id_key_digest", &self.id_key_digests)?;
        list(f, "author_key_digest", &self.author_key_digests)?;
        if self.require_crl {
            writeln!(f, "require_crl = true")?;
        }
        minimum_tcb(f, &self.minimum_tcb)?;
        if !self.guest_policy.is_empty() || self.minimum_abi.is_some() {
            writeln!(f, "\n[guest_policy]")?;
            rules(f, &self.guest_policy)?;
            if let Some((major, minor)) = self.minimum_abi {
                writeln!(f, "minimum_abi = \"{major}.{minor}\"")?;
            }
        }
        if !self.platform_info.is_empty() {
            writeln!(f, "\n[platform_info]")?;
            rules(f, &self.platform_info)?;
        }
        if self.report_id.is_some() || self.chip_id.is_some() {
            writeln!(f, "\n[instance]")?;
        }
        text(f, "report_id", self.report_id.as_ref())?;
        text(f, "chip_id", self.chip_id.as_ref())
    }
}

fn minimum_tcb(f: &mut Formatter<'_>, minimum: &MinimumTcb) -> fmt::Result {
    if !minimum.which.is_empty() || minimum.any.is_some() {
        writeln!(f, "\n[minimum_tcb]")?;
        let which: Vec<_> = minimum.which.iter().copied().map(TcbKind::name).collect();
        list(f, "which", &which)?;
        if let Some(of) = minimum.any {
            levels(f, &of)?;
        }
    }
    for product in Product::ALL {
        let own = match product {
            Product::Milan => minimum.milan,
            Product::Genoa => minimum.genoa,
            Product::Turin => minimum.turin,
        };
        if let Some(of) = own {
            writeln!(f, "\n[minimum_tcb.{}]", lower(product))?;
            levels(f, &of)?;
        }
    }
    Ok(())
}

fn levels(f: &mut Formatter<'_>, of: &MinimumLevels) -> fmt::Result {
    if of.fmc > 0 {
        writeln!(f, "fmc = {}", of.fmc)?;
    }
    writeln!(f, "bootloader = {}\ntee = {}\nsnp = {}", of.bootloader, of.tee, of.snp)?;
    writeln!(f, "microcode = {}", of.microcode)
}

fn rules<T: Display>(f: &mut Formatter<'_>, of: &BitRules<T>) -> fmt::Result {
    list(f, "required", &of.required)?;
    list(f, "forbidden", &of.forbidden)?;
    match of.exact {
        Some(exact) => writeln!(f, "exact = {exact:#x}"),
        None => Ok(()),
    }
}

fn text<T: Display>(f: &mut Formatter<'_>, key: &str, value: Option<&T>) -> fmt::Result {
    match value {
        Some(value) => writeln!(f, "{key} = {}", quoted(value)),
        None => Ok(()),
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, key: &str, values: &[T]) -> fmt::Result {
    if values.is_empty() {
        return Ok(());
    }
    let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
    writeln!(f, "{key} = [{}]", values.join(", "))
}

/// A TOML basic string.
fn quoted(value: &dyn Display) -> String {
    let mut out = String::from("\"");
    for character in value.to_string().chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_control() => {
                out.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn lower(product: Product) -> String {
    product.name().to_ascii_lowercase()
}
