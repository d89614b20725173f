//! The table: what was measured, what it is held against, the ratio, the goal.

use std::fmt;

use serde::Serialize;

use super::Benchmark;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) benchmark: Benchmark,
    /// What was measured.
    pub(crate) what: String,
    pub(crate) measured: Quantity,
    pub(crate) against: Option<Against>,
    /// The median of the rounds' ratios, which is not always the ratio of the
    /// two medians beside it.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: Option<Goal>,
}

/// What something is held against.
#[derive(Debug, Serialize)]
pub(crate) struct Against {
    pub(crate) what: String,
    pub(crate) quantity: Quantity,
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Quantity {
    Seconds(f64),
    Milliseconds(f64),
    /// Milliseconds of a clock that counts instructions.
    Counted(f64),
    Bytes(u64),
    /// Bytes that a program or a system had in use.
    Memory(u64),
    PerSecond(f64),
}

/// What is wished of the ratio: a bound, or no more than a direction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    More,
    Less,
}

impl Row {
    /// `None` if there is no bound.
    pub(crate) fn met(&self) -> Option<bool> {
        let ratio = self.ratio?;
        match self.goal? {
            Goal::AtLeast(bound) => Some(ratio >= bound),
            Goal::AtMost(bound) => Some(ratio <= bound),
            Goal::More | Goal::Less => None,
        }
    }

    /// What tells the row from all others.
    pub(crate) fn name(&self) -> String {
        match &self.against {
            Some(against) => format!("{}, against {}", self.what, against.what),
            None => self.what.clone(),
        }
    }

    fn cells(&self) -> [String; 6] {
        let met = match self.met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        [
            self.what.clone(),
            self.measured.to_string(),
            self.against.as_ref().map(Against::to_string).unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.goal.map(|goal| goal.to_string()).unwrap_or_default(),
            met.to_owned(),
        ]
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.quantity)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Seconds(seconds) => write!(f, "{seconds:.2} s"),
            Quantity::Milliseconds(ms) | Quantity::Counted(ms) if *ms < 20.0 => {
                write!(f, "{ms:.1} ms")
            }
            Quantity::Milliseconds(ms) | Quantity::Counted(ms) => write!(f, "{ms:.0} ms"),
            Quantity::Bytes(bytes) | Quantity::Memory(bytes) => write!(f, "{}", grouped(*bytes)),
            Quantity::PerSecond(rate) => write!(f, "{rate:.0}/s"),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::AtLeast(bound) => write!(f, "≥ {bound}"),
            Goal::AtMost(bound) => write!(f, "≤ {bound}"),
            Goal::More | Goal::Less => Ok(()),
        }
    }
}

/// All rows, as Markdown that is aligned for a terminal too.
pub(crate) fn table(rows: &[Row]) -> String {
    let cells = rows.iter().map(|row| row.cells().to_vec()).collect::<Vec<_>>();
    markdown(&["measured", "value", "held against", "ratio", "goal", ""], &cells)
}

/// A Markdown table with columns of equal width.
pub(crate) fn markdown(head: &[&str], rows: &[Vec<String>]) -> String {
    let length = |text: &str| text.chars().count();
    let width = |column: usize, name: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| length(cell)).chain([length(name)]).max().unwrap_or(0)
    };
    let widths: Vec<usize> =
        head.iter().enumerate().map(|(column, name)| width(column, name)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).map(|(cell, width)| {
            format!("{cell}{}", " ".repeat(width.saturating_sub(length(cell))))
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let mut text = line(&mut head.iter().copied());
    text.push_str(&format!("|{}|\n", rule.join("|")));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// `1 234 567 B`, or MiB where that is a whole number.
fn grouped(bytes: u64) -> String {
    if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) {
        return format!("{} MiB", bytes >> 20);
    }
    let digits: Vec<char> = bytes.to_string().chars().collect();
    let groups: Vec<String> = digits.rchunks(3).rev().map(|group| group.iter().collect()).collect();
    format!("{} B", groups.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ratio: f64, goal: Option<Goal>) -> Row {
        Row {
            benchmark: Benchmark::Sizes,
            what: "a file".to_owned(),
            measured: Quantity::Bytes(1_234_567),
            against: Some(Against { what: "limit".to_owned(), quantity: Quantity::Bytes(2 << 20) }),
            ratio: Some(ratio),
            goal,
        }
    }

    #[test]
    fn a_goal_is_met_at_its_bound() {
        assert_eq!(row(0.75, Some(Goal::AtLeast(0.75))).met(), Some(true));
        assert_eq!(row(0.74, Some(Goal::AtLeast(0.75))).met(), Some(false));
        assert_eq!(row(0.25, Some(Goal::AtMost(0.25))).met(), Some(true));
        assert_eq!(row(0.26, Some(Goal::AtMost(0.25))).met(), Some(false));
        assert_eq!(row(0.5, None).met(), None);
        assert_eq!(row(0.5, Some(Goal::More)).met(), None);
    }

    #[test]
    fn the_table_is_markdown_and_aligned() {
        let table = table(&[row(0.589, Some(Goal::AtMost(1.0))), row(12.0, None)]);
        assert_eq!(
            table,
            "| measured | value       | held against | ratio | goal |     |\n\
             |----------|-------------|--------------|-------|------|-----|\n\
             | a file   | 1 234 567 B | limit: 2 MiB | 0.59  | ≤ 1  | met |\n\
             | a file   | 1 234 567 B | limit: 2 MiB | 12.00 |      |     |\n"
        );
    }
}
