//! Scores any init by the scenarios of the evil host: `cargo xtask evil-host`.
//!
//! `evil-host TARGET.toml [--json] [NAME]`: of the scenarios whose names contain NAME.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use vm_tests::evil::{Attacked, Scenario, Score, Seen, Target, nothing};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |error| (*error).source());
            eprintln!("evil-host: {error}");
            causes.for_each(|cause| eprintln!("evil-host:   cause: {cause}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether the target holds.
fn run() -> Result<bool, Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let before = arguments.len();
    arguments.retain(|argument| argument != "--json");
    let json = arguments.len() < before;
    let [path, part @ ..] = arguments.as_slice() else {
        return Err("which target?".into());
    };
    let part = part.first().map_or("", String::as_str);

    let target = Target::read(Path::new(path))?;
    let mut scenarios = Scenario::read_all(&Scenario::directory())?;
    scenarios.retain(|scenario| scenario.name.contains(part));
    if scenarios.is_empty() {
        return Err(format!("no scenario has {part} in its name").into());
    }
    let harmless = Attacked::new(&target, &nothing())?.start();
    let ((seen, outcome), _) = harmless.watch(|machine| Seen::watch(machine, &target));
    if seen != Seen::Booted {
        let why = format!(
            "nobody said {:?} though the host did nothing\n{}{}",
            target.booted, outcome.qemu, outcome.console
        );
        return Err(why.into());
    }
    let score = Score::of(&target, &scenarios, |line| {
        eprintln!("evil-host: {}: {} ({})", line.scenario, line.verdict, line.shown);
    });
    if json {
        println!("{}", serde_json::to_string_pretty(&score)?);
    } else {
        print!("{}", score.table());
    }
    Ok(score.holds())
}
