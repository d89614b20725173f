//! `cargo xtask kernel`: Debian's kernel source, Ravelin's fragment and patches, one
//! bzImage without modules, in the cache.
//!
//! The cached kernel looks like the stock kernel's directory: `boot/vmlinuz-VERSION`,
//! `boot/config-VERSION` and a `lib/modules/VERSION` that says what is built in. So it
//! takes the stock kernel's place wherever that is named.

mod build;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::project::Project;
use crate::setup::{self, Source};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many compilers run side by side
    #[arg(long, short, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Look for a newer source
    #[arg(long)]
    refresh: bool,
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let source = setup::kernel_source(project, arguments.refresh)?;
    let recipe = Recipe::read(project, &source)?;
    let directory = directory(project);
    if !setup::is_current(&directory, &recipe.text()) {
        setup::replace(&directory, &recipe.text(), |into| {
            build::build(&recipe, &source, arguments.jobs, into)
        })?;
    }
    println!("kernel: {} is there: {}", source.version, directory.display());
    println!("kernel: `cargo xtask test --vm NAME --kernel fragment` boots it");
    Ok(())
}

/// The cached kernel, if it is the one that would be built now.
pub(crate) fn current(project: &Project) -> Result<Option<PathBuf>> {
    let Some(source) = Source::find(&project.cache) else { return Ok(None) };
    let recipe = Recipe::read(project, &source)?;
    let directory = directory(project);
    Ok(setup::is_current(&directory, &recipe.text()).then_some(directory))
}

fn directory(project: &Project) -> PathBuf {
    project.cache.join("kernel-fragment")
}

/// All that the kernel's bytes depend on.
struct Recipe {
    source: String,
    compiler: String,
    /// File name and content, in the order in which they are applied.
    patches: Vec<(String, String)>,
    fragment: String,
}

impl Recipe {
    fn read(project: &Project, source: &Source) -> Result<Self> {
        let patches = project.root.join("kernel-config/patches");
        let mut files = Vec::new();
        for entry in
            fs::read_dir(&patches).with_context(|| format!("read {}", patches.display()))?
        {
            let path = entry?.path();
            let content =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, content));
        }
        files.sort();
        let compiler = command::stdout(Command::new("gcc").arg("--version"))?;
        Ok(Self {
            source: source.version.clone(),
            compiler: compiler.lines().next().unwrap_or_default().to_owned(),
            patches: files,
            fragment: kernel_config::fragment(),
        })
    }

    fn text(&self) -> String {
        let mut parts = vec![self.source.as_str(), &self.compiler];
        parts.extend(build::VARIABLES.iter().flat_map(|(name, value)| [name, value]));
        parts.extend(self.patches.iter().flat_map(|(name, content)| [name.as_str(), content]));
        parts.push(&self.fragment);
        parts.join("\n")
    }
}
