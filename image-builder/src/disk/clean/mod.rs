//! What does not belong into an image that others will have: found in any tree, and taken out.
//!
//! A verified image is public: whoever has the disk reads it. What is in it besides is the
//! same in every VM that boots it, so what has to be one machine's own (its keys, its id, its
//! random seed) may not be there either.
//!
//! [`RULES`] is the one list: what is found, why, and what is done about it. Nothing is ever
//! taken out for what a file contains, because no pattern is right every time; that is only
//! told.

mod cleaner;
mod content;
mod fstab;
mod rules;
mod secrets;
#[cfg(test)]
mod tests;

use std::fmt;

pub(super) use cleaner::Cleaner;
pub use rules::{Action, RULES, Rule, RuleId};

use super::tree::Shown;

/// What is taken out of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clean(u32);

impl Clean {
    /// Nothing.
    pub const NOTHING: Clean = Clean(0);

    /// All that a public image may not have: every rule that takes something out, but for
    /// those that have to be asked for.
    #[must_use]
    pub fn public_image() -> Clean {
        let removed = RULES.iter().filter(|rule| {
            matches!(rule.action, Action::LeaveOut | Action::Empty | Action::Rewrite)
        });
        removed.fold(Clean::NOTHING, |clean, rule| clean.with(rule.id, true))
    }

    /// What keeps a system from starting on another disk than it was installed on.
    #[must_use]
    pub fn another_disk() -> Clean {
        Clean::NOTHING.with(RuleId::Fstab, true)
    }

    /// The same, with or without what a rule finds. A rule that only tells takes nothing out.
    #[must_use]
    pub fn with(self, rule: RuleId, taken_out: bool) -> Clean {
        let bit = 1 << (rule as u32);
        Clean(if taken_out { self.0 | bit } else { self.0 & !bit })
    }

    /// Whether what a rule finds is taken out.
    #[must_use]
    pub fn has(self, rule: RuleId) -> bool {
        self.0 & (1 << (rule as u32)) != 0
    }
}

/// What a rule found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// Path from the root of the tree.
    pub path: Vec<u8>,
    /// Line in the file, from 1, where one is meant.
    pub line: Option<u64>,
    /// What was found, where the rule does not say it; never a secret.
    pub detail: Option<String>,
    /// What was done.
    pub done: Done,
}

/// What was done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing: it is in the image.
    Kept,
    /// It is not in the image.
    LeftOut,
    /// It is there without its content.
    Emptied,
    /// A part of it was left out.
    Rewritten,
}

impl Done {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Done::Kept => "kept",
            Done::LeftOut => "left out",
            Done::Emptied => "emptied",
            Done::Rewritten => "rewritten",
        }
    }
}

impl Finding {
    /// The path, and the line if one is meant, for people: control characters are escaped.
    #[must_use]
    pub fn place(&self) -> String {
        let path = Shown(&self.path);
        self.line.map_or_else(|| path.to_string(), |line| format!("{path}:{line}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.rule.name)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        write!(f, ", {}", self.done.as_str())
    }
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first findings, in the order of the tree.
    pub list: Vec<Finding>,
    /// How many more there were.
    pub omitted: u64,
    /// Members that were looked at.
    pub members: u64,
}

impl Findings {
    /// How many are kept.
    pub const MOST: usize = 10_000;

    pub(super) fn push(&mut self, finding: Finding) {
        if self.list.len() < Self::MOST {
            self.list.push(finding);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    /// Whether there is nothing that does not belong into a public image; what only informs,
    /// and what is left out if that is asked for, does not count.
    #[must_use]
    pub fn clean(&self) -> bool {
        let counts =
            |found: &Finding| !matches!(found.rule.action, Action::Inform | Action::IfAsked);
        self.omitted == 0 && !self.list.iter().any(counts)
    }
}
