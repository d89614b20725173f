//! The reference tool: PyPI's `sev-snp-measure`, by its library.
//!
//! One Python process does all jobs of a test. The tool's executable is
//! `$RAVELIN_SEV_SNP_MEASURE` or on the PATH; the Python that it was installed
//! with is asked to import the library.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const REMEDY: &str = "install it with `python3 -m venv V && V/bin/pip install sev-snp-measure` \
     and set RAVELIN_SEV_SNP_MEASURE=V/bin/sev-snp-measure, or set RAVELIN_SKIP_ORACLE=1 to go \
     without (`cargo xtask setup` installs it)";

/// Runs `program` with `jobs` as `jobs` and returns what it leaves in
/// `results`. Nothing if the oracle is not wanted.
///
/// # Panics
/// If there is no tool and the test was not told to go without, or Python fails.
pub(crate) fn run(program: &str, jobs: &Value) -> Option<Value> {
    if std::env::var_os("RAVELIN_SKIP_ORACLE").is_some_and(|value| value == "1") {
        eprintln!("SKIPPED: RAVELIN_SKIP_ORACLE=1, nothing is compared with sev-snp-measure");
        return None;
    }
    let python = interpreter().unwrap_or_else(|| panic!("no sev-snp-measure found; {REMEDY}"));
    let program = format!(
        "import json, sys\njobs = json.load(sys.stdin)\n{program}\njson.dump(results, sys.stdout)\n"
    );
    let mut child = Command::new(&python)
        .arg("-c")
        .arg(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("starting {}: {error}", python.display()));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(jobs.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "Python failed: {}", output.status);
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The executable of the tool.
pub(crate) fn executable() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("RAVELIN_SEV_SNP_MEASURE") {
        return Some(PathBuf::from(given)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("sev-snp-measure"))
        .find(|file| file.is_file())
}

/// A Python that has the library: next to the tool, or in the tool's first line.
fn interpreter() -> Option<PathBuf> {
    let tool = executable()?;
    let sibling = tool.with_file_name("python3");
    let script = std::fs::read(&tool).ok()?;
    let first = script.split(|byte| *byte == b'\n').next()?;
    let shebang = std::str::from_utf8(first).ok()?.strip_prefix("#!").map(str::trim);
    [Some(sibling), shebang.map(PathBuf::from), Some(PathBuf::from("python3"))]
        .into_iter()
        .flatten()
        .find(|python| imports_library(python))
}

fn imports_library(python: &Path) -> bool {
    Command::new(python)
        .args(["-c", "import sevsnpmeasure.guest"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
