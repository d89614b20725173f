//! What is done with a tree between its source and its file system, and looking at it without
//! making one.

use std::io::Read;
use std::path::Path;

use super::BuildError;
use super::clean::{Clean, Cleaner, Finding, Findings};
use super::customize::{Customization, Customizer};
use super::fs::Tools;
use super::kernel_modules::{ModuleSource, Modules, WithModules};
use super::source::{Opened, Opening, Source};
use super::tree::{Entry, Note, Sink, Tree, TreeError};
use crate::progress::Progress;

/// What is done with a tree before it becomes a file system: something is taken out, then
/// something put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preparation {
    /// Which image of a container image that holds several: a name, a name with a tag, or a
    /// digest.
    pub image: Option<String>,
    /// What is taken out.
    pub clean: Clean,
    /// What is put in.
    pub customize: Option<Customization>,
    /// The kernel modules that are put in.
    pub modules: Option<ModuleSource>,
}

/// A tree, and what is done with it.
pub(crate) struct Prepared {
    tree: Tree,
    clean: Clean,
    customize: Option<Customization>,
    modules: Option<Modules>,
}

impl Prepared {
    pub(super) fn new(
        tree: Tree,
        preparation: Preparation,
        tools: &Tools,
        opening: &Opening<'_>,
    ) -> Result<Prepared, BuildError> {
        let Preparation { clean, customize, modules, .. } = preparation;
        let modules = modules.map(|source| Modules::open(&source, tools, opening)).transpose()?;
        Ok(Prepared { tree, clean, customize, modules })
    }

    /// As [`Tree::stream`].
    pub(crate) fn stream<S: Sink>(
        self,
        open: impl FnOnce(&Entry) -> Result<S, BuildError>,
    ) -> Result<S, BuildError> {
        let Prepared { tree, clean, customize, modules } = self;
        let customize = customize.unwrap_or_default();
        let cleaner = tree.stream(|root| {
            let customizer = Customizer::new(WithModules::new(open(root)?, modules), customize);
            Ok(Cleaner::new(customizer, clean))
        })?;
        cleaner.into_inner().finish()?.finish()
    }
}

/// Looks at a source without making anything of it.
///
/// `image` is as in [`Preparation::image`]; beside `scratch`, files without a name are made for
/// the layers of a container image.
///
/// # Errors
/// When the source cannot be read, is no tree, or is the image of a file system.
pub fn audit(
    source: Source,
    image: Option<&str>,
    scratch: &Path,
    progress: &dyn Progress,
) -> Result<Findings, BuildError> {
    match source.open(&Opening { image, scratch, progress })? {
        Opened::Image(image) => {
            Err(TreeError::NotLookedInto { path: image.path().to_owned() }.into())
        }
        Opened::Tree(tree) => {
            progress.stage("looking at the files", None);
            let auditor = tree.stream(|_| Ok(Cleaner::auditor(Auditor::default())))?;
            Ok(auditor.into_inner().0)
        }
    }
}

/// Collects what the rules find.
#[derive(Default)]
struct Auditor(Findings);

impl Sink for Auditor {
    fn add(&mut self, _: Entry, _: &mut dyn Read) -> Result<(), BuildError> {
        self.0.members = self.0.members.saturating_add(1);
        Ok(())
    }

    fn note(&mut self, note: Note) {
        if let Note::Found(finding) = note {
            self.0.push(finding);
        }
    }
}

/// So that a finding can be told from elsewhere.
impl Findings {
    /// The findings of a rule, in the order of the tree.
    pub fn of(&self, rule: super::clean::RuleId) -> impl Iterator<Item = &Finding> {
        self.list.iter().filter(move |finding| finding.rule.id == rule)
    }
}
