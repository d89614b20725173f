//! A target against all scenarios that mean something for it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use super::{Attacked, Elsewhere, EvilError, Scenario, Seen, Target, Verdict};

/// As many as run at once; the slots for machines may allow fewer.
const AT_ONCE: usize = 2;

/// One scenario's result.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// The scenario.
    pub scenario: String,
    /// What the host did.
    pub attack: String,
    /// What was seen; `None` where nothing was run.
    pub seen: Option<Seen>,
    /// What is judged.
    pub verdict: Verdict,
    /// What was seen, or why nothing was, in words.
    pub shown: String,
}

/// All of them.
#[derive(Debug, Serialize)]
pub struct Score {
    /// The target.
    pub target: String,
    /// In the order of the scenarios.
    pub lines: Vec<Line>,
    /// How many of each verdict.
    pub counts: BTreeMap<Verdict, usize>,
}

impl Score {
    /// Runs the scenarios, `done` is told of each as it ends.
    ///
    /// # Panics
    /// If QEMU cannot be started.
    #[must_use]
    pub fn of(target: &Target, scenarios: &[Scenario], done: impl Fn(&Line) + Sync) -> Self {
        let next = AtomicUsize::new(0);
        let lines = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for _worker in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(scenario) = scenarios.get(index) else { break };
                        let line = line(target, scenario);
                        done(&line);
                        let lines = lines.lock();
                        lines.unwrap_or_else(|poisoned| poisoned.into_inner()).insert(index, line);
                    }
                });
            }
        });
        let lines = lines.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        let lines: Vec<Line> = lines.into_values().collect();
        let mut counts = BTreeMap::new();
        lines.iter().for_each(|line| *counts.entry(line.verdict).or_default() += 1);
        Self { target: target.name.clone(), lines, counts }
    }

    /// Whether nothing is broken, and all was run.
    #[must_use]
    pub fn holds(&self) -> bool {
        let bad = [Verdict::Broken, Verdict::NotRun];
        !bad.iter().any(|verdict| self.counts.contains_key(verdict))
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let width = self.lines.iter().map(|line| line.scenario.len()).max().unwrap_or_default();
        let row = |line: &Line| {
            format!("{:width$}  {:14}  {}\n", line.scenario, line.verdict.to_string(), line.shown)
        };
        let counts: Vec<String> =
            self.counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let rows: String = self.lines.iter().map(row).collect();
        format!("{rows}{}: {}\n", self.target, counts.join(", "))
    }
}

fn line(target: &Target, scenario: &Scenario) -> Line {
    let of = |seen, verdict, shown: String| Line {
        scenario: scenario.name.clone(),
        attack: scenario.attack.clone(),
        seen,
        verdict,
        shown,
    };
    let nothing = |why: &str| of(None, Verdict::NotApplicable, why.to_owned());
    let Some(acceptable) = scenario.elsewhere else {
        return nothing("it is for Ravelin's own targets");
    };
    let attacked = match Attacked::new(target, scenario) {
        Ok(attacked) => attacked,
        Err(error @ EvilError::NotThere { .. }) => return nothing(&error.to_string()),
        Err(error) => return of(None, Verdict::NotRun, error.to_string()),
    };
    let (ended, took_place) = attacked.start().watch(|machine| Seen::watch(machine, target));
    let (seen, outcome) = ended;
    if !took_place && seen == Seen::Booted {
        return nothing("the disk was not read often enough");
    }
    let why = if seen == Seen::Qemu { outcome.qemu.as_str() } else { "" };
    let shown = format!("{} {why}", seen.shown(acceptable)).trim_end().to_owned();
    of(Some(seen), seen.judged(acceptable), shown)
}

/// A scenario in which the host does nothing: the target has to boot, or there is nothing
/// to learn of it.
#[must_use]
pub fn nothing() -> Scenario {
    Scenario {
        name: "nothing".to_owned(),
        attack: "The host does nothing".to_owned(),
        closed: String::new(),
        host: Vec::new(),
        expect: BTreeMap::new(),
        elsewhere: Some(Elsewhere::MayBoot),
    }
}
