//! Puts PID 1 into `ravelin`: `RAVELIN_INIT=/path/of/the/static/init` at build
//! time makes a CLI that is one file to install. Without it, `ravelin image
//! initramfs` needs `--init`.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The variable that names the PID 1 binary to embed.
const VARIABLE: &str = "RAVELIN_INIT";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let generated = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let expression = match env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        Some(path) => embed(Path::new(&path))?,
        None => "None".to_owned(),
    };
    fs::write(generated.join("embedded_init.rs"), expression)?;
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
