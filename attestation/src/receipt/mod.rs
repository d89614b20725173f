//! What a boot receipt should say, and whether it does.
//!
//! PID 1 does what its measured configuration says, so most of what it did can be
//! [predicted](predict) from the configuration, the load order and the hooks. What
//! cannot is somebody's to decide ([`Decides`]): which node a disk has, what DHCP gave,
//! whose release it was.
//!
//! **Threat.** The receipt is the guest's: its head is bound by a report that was verified
//! before. A line that is not as predicted is none of a guest of this measurement, unless
//! the files that it is predicted from are of another.

mod predict;
mod tables;

use std::collections::BTreeMap;

use protocol::config::Config;
use protocol::hooks::Stage;
use protocol::host_keys::HostKeys;
use protocol::load_order::LoadOrder;
use protocol::receipt::{Event, written};
use serde::{Serialize, Serializer};

use predict::Expected;

/// What a boot follows from.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    /// The measured configuration.
    pub config: &'a Config,
    /// The load order of the initramfs, where it has one.
    pub order: Option<&'a LoadOrder>,
    /// The hooks of the initramfs, in any order.
    pub hooks: &'a [(Stage, String)],
    /// The SSH host keys that the report binds beside the receipt.
    pub host_keys: &'a HostKeys,
}

/// Who decides a value that cannot be predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decides {
    /// Whoever runs the machine. The guest says what it saw.
    Host,
    /// The owners, by their release.
    Owners,
    /// The kernel or the root, which are measured or authenticated, but not read here.
    Image,
}

/// What there is to say of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// As predicted; but for the values that others decide, if there are any.
    Predicted {
        /// The names of these values, and who decides them.
        decided: BTreeMap<&'static str, Decides>,
    },
    /// Some values are others.
    Differs {
        /// Their names, and what was predicted.
        expected: BTreeMap<&'static str, String>,
    },
    /// Nothing is predicted there.
    Unexpected,
    /// It is predicted, and not in the receipt.
    Missing,
}

/// A line of the receipt, or one that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was done, or should have been.
    #[serde(flatten, serialize_with = "event")]
    pub event: Event,
    /// How it compares.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Compares a receipt with what is predicted, line by line.
#[must_use]
pub fn compare(events: &[Event], measured: &Measured<'_>) -> Vec<Line> {
    let expected = predict::predict(measured, events);
    let mut left = expected.as_slice();
    let mut lines = Vec::new();
    for event in events {
        // As predicted, else about the same thing, else the next one if it is of its kind.
        let at = left
            .iter()
            .position(|expected| expected.is_met(event))
            .or_else(|| left.iter().position(|expected| expected.is_of(event)))
            .or_else(|| (left.first()?.event.kind() == event.kind()).then_some(0));
        let (skipped, rest) = left.split_at(at.unwrap_or_default());
        lines.extend(skipped.iter().map(missing));
        let next = if at.is_some() { rest.split_first() } else { None };
        let finding = match next {
            Some((expected, rest)) => {
                left = rest;
                expected.compare(event)
            }
            None => Finding::Unexpected,
        };
        lines.push(Line { event: event.clone(), finding });
    }
    lines.extend(left.iter().map(missing));
    lines
}

/// Whether everything is as predicted.
#[must_use]
pub fn holds(lines: &[Line]) -> bool {
    lines.iter().all(|line| matches!(line.finding, Finding::Predicted { .. }))
}

fn missing(expected: &Expected) -> Line {
    Line { event: expected.event.clone(), finding: Finding::Missing }
}

impl Expected {
    /// Whether it is about the same thing: kind and first value.
    fn is_of(&self, event: &Event) -> bool {
        let first = |event: &Event| event.fields().first().map(|(_, value)| (*value).to_owned());
        self.event.kind() == event.kind() && first(&self.event) == first(event)
    }

    fn is_met(&self, event: &Event) -> bool {
        self.event.kind() == event.kind()
            && matches!(self.compare(event), Finding::Predicted { .. })
    }

    fn compare(&self, event: &Event) -> Finding {
        let (found, predicted) = (event.fields(), self.event.fields());
        let decided: BTreeMap<_, _> = self.decided.iter().copied().collect();
        let pairs = found.iter().zip(&predicted);
        let differing = pairs.filter(|((name, found), (_, predicted))| {
            !decided.contains_key(name) && written(found) != written(predicted)
        });
        let expected: BTreeMap<_, _> =
            differing.map(|(_, (name, predicted))| (*name, written(predicted))).collect();
        if expected.is_empty() {
            Finding::Predicted { decided }
        } else {
            Finding::Differs { expected }
        }
    }
}

/// Kind and values of an event, for JSON.
fn event<S: Serializer>(event: &Event, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Entry<'a> {
        event: &'static str,
        values: BTreeMap<&'static str, &'a str>,
    }
    let values = event.fields().into_iter().collect();
    Entry { event: event.kind(), values }.serialize(serializer)
}

#[cfg(test)]
mod tests;
