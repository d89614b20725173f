//! The lists that `modprobe` goes by, made by `depmod` (kmod).

use std::path::Path;

use super::Tools;
use super::tool::{Tool, ToolError, Wanted};

static WANTED: Wanted = Wanted { name: "depmod", variable: "RAVELIN_DEPMOD", remedy: "kmod" };

/// Makes the lists of the modules in `root`/lib/modules/`release`.
pub(crate) fn depmod(tools: &Tools, root: &Path, release: &str) -> Result<(), ToolError> {
    let tool = Tool::find(&WANTED, tools.depmod.as_ref())?;
    let args = ["-b".into(), root.into(), release.into()];
    // A word about a symbol that no module of the package has is no fault of it.
    tool.start(&args, &[], None)?.finish().map(drop)
}
