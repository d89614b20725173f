//! Puts the guest's program into `ravelin-simulator`: `RAVELIN_SIM_GUEST=/path/of/
//! the/static/ravelin-sim` at build time. Without it, archives need `--guest`.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The variable that names the guest's program.
const VARIABLE: &str = "RAVELIN_SIM_GUEST";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let generated = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let expression = match env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        Some(path) => embed(Path::new(&path))?,
        None => "None".to_owned(),
    };
    fs::write(generated.join("embedded_guest.rs"), expression)?;
    Ok(())
}

/// The expression that the crate includes.
fn embed(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let shown = path.display();
    let path = path.canonicalize().map_err(|error| format!("{VARIABLE}={shown}: {error}"))?;
    println!("cargo::rerun-if-changed={}", path.display());
    if !fs::read(&path)?.starts_with(b"\x7fELF") {
        return Err(format!("{VARIABLE}={shown}: not an ELF executable").into());
    }
    Ok(format!("Some(include_bytes!({path:?}))"))
}
