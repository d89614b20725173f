//! The tables as Markdown, for `docs/kernel.md`.

use std::fmt::Write as _;

use crate::fragment::left_out;
use crate::need::Need;
use crate::risks::{From, RISKS};
use crate::table::OPTIONS;

/// Every option of both tables with its reason.
#[must_use]
pub fn tables() -> String {
    let mut text = String::new();
    // Writing into a String does not fail.
    for group in OPTIONS.chunk_by(|a, b| a.need == b.need) {
        for (index, option) in group.iter().enumerate() {
            if index == 0 {
                let why = if option.need == Need::Never { "left out because" } else { "why" };
                let _ = writeln!(text, "### {}\n", option.need.description());
                let _ = writeln!(text, "| option | module | {why} |\n|---|---|---|");
            }
            let module = option.module.map(|name| format!("`{name}`")).unwrap_or_default();
            let _ = writeln!(text, "| `{}` | {module} | {} |", option.symbol, option.reason);
        }
        text.push('\n');
    }
    for (from, heading) in [
        (From::Host, "Left out: ways in for the host"),
        (From::Root, "Left out: ways for root to undo what was measured"),
    ] {
        let _ = writeln!(text, "### {heading}\n\n| option | better without because |\n|---|---|");
        for risk in left_out().filter(|risk| risk.from == from) {
            let _ = writeln!(text, "| `{}` | {} |", risk.symbol, risk.reason);
        }
        text.push('\n');
    }
    let _ = writeln!(text, "### Risks that another option answers\n");
    let _ = writeln!(text, "| option | its risk | answered by |\n|---|---|---|");
    for risk in RISKS {
        if let Some(other) = risk.answered() {
            let _ = writeln!(text, "| `{}` | {} | `{other}` |", risk.symbol, risk.reason);
        }
    }
    text
}
