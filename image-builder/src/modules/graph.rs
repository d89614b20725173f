//! Waves: the order of things that must come after others.

use std::collections::{BTreeMap, BTreeSet};

/// For each thing, the wave it is in: one more than the last of those that come
/// before it. The error is one circle, its first member again at its end.
pub(super) fn waves(
    before: &BTreeMap<&str, BTreeSet<&str>>,
) -> Result<BTreeMap<String, u16>, Vec<String>> {
    let mut waves: BTreeMap<&str, u16> = BTreeMap::new();
    let mut wave = 0;
    while waves.len() < before.len() {
        let ready: Vec<&str> = before
            .iter()
            .filter(|(name, _)| !waves.contains_key(*name))
            .filter(|(_, others)| {
                others.iter().all(|other| waves.contains_key(other) || !before.contains_key(other))
            })
            .map(|(name, _)| *name)
            .collect();
        if ready.is_empty() {
            return Err(circle(before, &waves));
        }
        waves.extend(ready.into_iter().map(|name| (name, wave)));
        wave += 1;
    }
    Ok(waves.into_iter().map(|(name, wave)| (name.to_owned(), wave)).collect())
}

/// One circle among the things that have no wave: each of them waits for
/// another of them, so following that leads into it.
fn circle(before: &BTreeMap<&str, BTreeSet<&str>>, waves: &BTreeMap<&str, u16>) -> Vec<String> {
    let stuck = |name: &str| before.contains_key(name) && !waves.contains_key(name);
    let mut path: Vec<&str> = Vec::new();
    let mut next = before.keys().copied().find(|name| stuck(name));
    while let Some(name) = next {
        if let Some(start) = path.iter().position(|seen| *seen == name) {
            path.push(name);
            return path.drain(start..).map(str::to_owned).collect();
        }
        path.push(name);
        next = before.get(name).into_iter().flatten().copied().find(|name| stuck(name));
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(rules: &[(&'static str, &[&'static str])]) -> Result<Vec<(String, u16)>, String> {
        let before =
            rules.iter().map(|(name, others)| (*name, others.iter().copied().collect())).collect();
        waves(&before).map(|waves| waves.into_iter().collect()).map_err(|circle| circle.join(" "))
    }

    #[test]
    fn each_is_one_wave_after_the_last_that_it_waits_for() {
        let waves = solve(&[
            ("verity", &["mod", "bufio"]),
            ("bufio", &["mod", "not-there"]),
            ("mod", &[]),
            ("blk", &[]),
        ])
        .unwrap();
        let expected = [("blk", 0), ("bufio", 1), ("mod", 0), ("verity", 2)];
        assert_eq!(waves, expected.map(|(name, wave)| (name.to_owned(), wave)));
    }

    #[test]
    fn circles_are_named() {
        assert_eq!(solve(&[("a", &["a"])]), Err("a a".into()));
        assert_eq!(
            solve(&[("a", &["x"]), ("b", &["c"]), ("c", &["d"]), ("d", &["b"]), ("x", &[])]),
            Err("b c d b".into())
        );
        assert_eq!(solve(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]), Err("b c b".into()));
        assert_eq!(solve(&[]), Ok(vec![]));
    }
}
