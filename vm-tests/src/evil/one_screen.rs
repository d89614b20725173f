//! The attacks that are tests of their own, by their doc comments.
//!
//! A test against the host says `Attack: … Observed: … Closed: …`. In a module of
//! attacks every test does; elsewhere those that are attacks.

use std::fs;
use std::path::{Path, PathBuf};

/// Files of `tests/vm` in which every test is an attack.
const MODULES: [&str; 5] =
    ["aml.rs", "attested.rs", "disk_attacks.rs", "unlock/attacks.rs", "volume_attacks.rs"];

const PARTS: [&str; 3] = ["Attack: ", "Observed: ", "Closed: "];

/// One such test.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OneScreen {
    /// Module and name.
    pub(super) test: String,
    pub(super) attack: String,
    pub(super) observed: String,
    pub(super) closed: String,
}

/// All of them, in the order of their modules.
pub(super) fn read_all() -> Result<Vec<OneScreen>, String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm");
    let mut found = Vec::new();
    for path in sources(&tests) {
        let file = path.strip_prefix(&tests).unwrap_or(&path).display().to_string();
        let source = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        found.extend(read(&file, &source)?);
    }
    Ok(found)
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    paths.into_iter().flat_map(below).collect()
}

/// The attacks of one file.
fn read(file: &str, source: &str) -> Result<Vec<OneScreen>, String> {
    let mut found = Vec::new();
    let (mut comment, mut is_test) = (String::new(), false);
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            comment.push_str(text.trim());
            comment.push(' ');
        } else if line == "#[test]" {
            is_test = true;
        } else {
            let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            if let (Some(name), true) = (name, is_test) {
                let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
                let test = format!("{}::{name}", module.replace('/', "::"));
                found.extend(parts(&test, comment.trim(), MODULES.contains(&file))?);
            }
            (comment, is_test) = (String::new(), false);
        }
    }
    Ok(found)
}

/// `None` for a test that is no attack.
fn parts(test: &str, comment: &str, required: bool) -> Result<Option<OneScreen>, String> {
    if !required && !["Attack", "Closed:"].iter().any(|word| comment.contains(word)) {
        return Ok(None);
    }
    let refused = || format!("{test}: its comment is not `Attack: … Observed: … Closed: …`");
    let [attack, observed, closed] = PARTS;
    let once = |part: &str| comment.matches(part).count() == 1;
    if !PARTS.into_iter().all(once) {
        return Err(refused());
    }
    let rest = comment.strip_prefix(attack).ok_or_else(refused)?;
    let (attack, rest) = rest.split_once(observed).ok_or_else(refused)?;
    let (observed, closed) = rest.split_once(closed).ok_or_else(refused)?;
    let sentence = |text: &str| text.trim().trim_end_matches('.').to_owned();
    Ok(Some(OneScreen {
        test: test.to_owned(),
        attack: sentence(attack),
        observed: sentence(observed),
        closed: sentence(closed),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "/// Attack: a bit\n/// flips. Observed: refused.\n/// Closed: by the \
                          root hash.\n#[test]\nfn a_bit() {\n}\n\n/// Good weather.\n#[test]\nfn \
                          boots() {\n}\n\n/// Attack: none of a test's.\nfn helper() {}\n";

    #[test]
    fn attacks_are_found_and_good_weather_is_not() {
        let found = read("unlock/mod.rs", SOURCE).unwrap();
        assert_eq!(
            found,
            [OneScreen {
                test: "unlock::a_bit".to_owned(),
                attack: "a bit flips".to_owned(),
                observed: "refused".to_owned(),
                closed: "by the root hash".to_owned(),
            }]
        );
        let missing = read("aml.rs", SOURCE).unwrap_err();
        assert!(missing.starts_with("aml::boots"), "{missing}");
        for wrong in ["Attack: a.", "Attack: a. Observed: b.", "Observed: b. Attack: a. Closed: c."]
        {
            parts("t", wrong, false).unwrap_err();
        }
    }
}
