//! The page with the numbers: text by hand, tables from a run.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::Outcome;
use crate::project::Project;

const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- begin: cargo xtask bench --write-docs -->\n";
const END: &str = "<!-- end -->";

/// Puts the tables of a run into the page.
pub(crate) fn write(project: &Project, outcome: &Outcome) -> Result<()> {
    let path = project.root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("read {PAGE}"))?;
    let page = replace(&page, &outcome.tables())?;
    fs::write(&path, page).with_context(|| format!("write {PAGE}"))
}

fn replace(page: &str, tables: &str) -> Result<String> {
    let (before, rest) =
        page.split_once(BEGIN).with_context(|| format!("{PAGE} has no {BEGIN}"))?;
    let (old, after) = rest.split_once(END).with_context(|| format!("{PAGE} has no {END}"))?;
    ensure!(!old.contains(BEGIN), "{PAGE} has {BEGIN} twice");
    Ok(format!("{before}{BEGIN}\n{}\n\n{END}{after}", tables.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_by_hand_stays() {
        let page = format!("before\n{BEGIN}old\n{END}\nafter\n");
        let new = replace(&page, "tables\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\ntables\n\n{END}\nafter\n"));
        assert_eq!(replace(&new, "tables\n").unwrap(), new, "the same again");
        assert!(replace("no marks", "tables").is_err());
    }
}
