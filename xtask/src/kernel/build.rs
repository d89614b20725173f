//! From the source to the kernel.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kernel_config::{Aml, KernelConfig};

use super::Recipe;
use crate::command;
use crate::setup::Source;

/// Without these, the kernel would name who built it, where and when
/// (Linux `Documentation/kbuild/reproducible-builds.rst`). The date is the source's.
pub(super) const VARIABLES: [(&str, &str); 5] = [
    ("LOCALVERSION", "-ravelin"),
    ("KBUILD_BUILD_USER", "ravelin"),
    ("KBUILD_BUILD_HOST", "ravelin"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("LC_ALL", "C"),
];

/// How often there is a line.
const PROGRESS: Duration = Duration::from_secs(15);

/// Builds the kernel below `into`.
pub(super) fn build(recipe: &Recipe, source: &Source, jobs: u16, into: &Path) -> Result<()> {
    let tree = into.join("build");
    fs::create_dir(&tree).context("make the build directory")?;
    println!("kernel: unpacking the source {}", source.version);
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&source.tar).args(["--strip-components=1", "-C"]).arg(&tree);
    command::run(&mut tar)?;
    for (name, content) in &recipe.patches {
        println!("kernel: applying {name}");
        let file = into.join(name);
        fs::write(&file, content).with_context(|| format!("write {name}"))?;
        let mut patch = Command::new("patch");
        patch.args(["--silent", "--fuzz=0", "-p1", "-i"]).arg(&file).current_dir(&tree);
        command::run(&mut patch)?;
        fs::remove_file(&file).with_context(|| format!("remove {name}"))?;
    }
    configure(recipe, source, &tree, into)?;
    compile(source, jobs, &tree, into)?;
    let release = command::stdout(make(source, &tree).args(["-s", "kernelrelease"]))?;
    install(&tree, release.trim(), into)?;
    fs::remove_dir_all(&tree).context("remove the build directory")
}

/// Everything off that the fragment does not turn on, and all of it on.
fn configure(recipe: &Recipe, source: &Source, tree: &Path, into: &Path) -> Result<()> {
    fs::write(tree.join("ravelin.config"), &recipe.fragment).context("write the fragment")?;
    let mut make = make(source, tree);
    make.args(["KCONFIG_ALLCONFIG=ravelin.config", "allnoconfig"]);
    command::logged(&mut make, &into.join("configure.log"))?;
    let config = fs::read_to_string(tree.join(".config")).context("read the configuration")?;
    let findings = kernel_config::check(&KernelConfig::parse(&config)?, &[]);
    let options = [&findings.missing, &findings.absent, &findings.modules, &findings.forbidden];
    let mut wrong: Vec<&str> = options.into_iter().flatten().map(|option| option.symbol).collect();
    wrong.extend(findings.risky.iter().map(|risk| risk.symbol));
    if !wrong.is_empty() || findings.aml != Aml::Sandboxed {
        bail!(
            "the source does not take the fragment as it is (AML {:?}); not as wanted: {}",
            findings.aml,
            wrong.join(" ")
        );
    }
    Ok(())
}

fn compile(source: &Source, jobs: u16, tree: &Path, into: &Path) -> Result<()> {
    println!("kernel: compiling; this takes about ten minutes on two processors");
    let (started, mut told) = (Instant::now(), Instant::now());
    let mut files = 0_u32;
    let mut make = make(source, tree);
    make.arg(format!("--jobs={jobs}")).arg("bzImage");
    command::watched(&mut make, &into.join("build.log"), |line| {
        files += u32::from(line.starts_with("  CC ") || line.starts_with("  AS "));
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            println!("kernel: {files} files after {} s", started.elapsed().as_secs());
        }
    })?;
    println!("kernel: {files} files in {} s", started.elapsed().as_secs());
    Ok(())
}

/// The files where the stock kernel's package has them.
fn install(tree: &Path, release: &str, into: &Path) -> Result<()> {
    let (boot, modules) = (into.join("boot"), into.join("lib/modules").join(release));
    for directory in [&boot, &modules] {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    }
    for (from, to) in [
        ("arch/x86/boot/bzImage", boot.join(format!("vmlinuz-{release}"))),
        (".config", boot.join(format!("config-{release}"))),
        ("modules.builtin", modules.join("modules.builtin")),
        ("modules.builtin.modinfo", modules.join("modules.builtin.modinfo")),
    ] {
        fs::copy(tree.join(from), &to).with_context(|| format!("copy {from}"))?;
    }
    Ok(())
}

/// Other people's work on the machine goes first.
fn make(source: &Source, tree: &Path) -> Command {
    let mut make = Command::new("nice");
    make.args(["-n", "10", "make"]).current_dir(tree).envs(VARIABLES);
    make.env("KBUILD_BUILD_TIMESTAMP", &source.date);
    make
}
