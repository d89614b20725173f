//! The table of all attacks in `docs/security.md` is what the scenarios' files and the
//! tests say: `RAVELIN_BLESS=1 cargo test -p vm-tests --lib`.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::{Scenario, one_screen};

const BEGIN: &str = "<!-- begin: made from vm-tests/scenarios and vm-tests/tests: RAVELIN_BLESS=1 cargo test -p vm-tests --lib -->\n";
const END: &str = "<!-- end -->";

fn tables() -> String {
    let scenarios = Scenario::read_all(&Scenario::directory()).unwrap();
    let scenarios: Vec<_> =
        scenarios.iter().filter(|scenario| !scenario.expect.is_empty()).collect();
    let tests = one_screen::read_all().unwrap();
    let mut text = format!(
        "{} attacks: {} are [scenarios](../vm-tests/scenarios), {} are tests of their own.\n\n\
         | scenario | what the host does | observed | why that closes it |\n|---|---|---|---|\n",
        scenarios.len() + tests.len(),
        scenarios.len(),
        tests.len(),
    );
    for scenario in scenarios {
        let ends: Vec<String> =
            scenario.expect.values().map(|expected| expected.end.to_string()).collect();
        row(&mut text, [&scenario.name, &scenario.attack, &ends.join("; "), &scenario.closed]);
    }
    text.push_str("\n| test | what the host does | observed | why that closes it |\n");
    text.push_str("|---|---|---|---|\n");
    for test in tests {
        row(&mut text, [&test.test, &test.attack, &test.observed, &test.closed]);
    }
    text
}

fn row(text: &mut String, [name, attack, observed, closed]: [&str; 4]) {
    let cell = |text: &str| {
        let text = text.replace('|', "\\|");
        // Settings and file names are written as they are.
        if text.split(' ').next().is_some_and(|word| word.contains(['=', '.', '_'])) {
            return text;
        }
        let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
        first.to_uppercase() + rest
    };
    writeln!(text, "| `{name}` | {} | {} | {} |", cell(attack), cell(observed), cell(closed))
        .unwrap();
}

#[test]
fn docs_security_md_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let fresh = format!("{before}{BEGIN}\n{}\n{END}{after}", tables());
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap() == fresh,
        "docs/security.md is out of date; run `RAVELIN_BLESS=1 cargo test -p vm-tests --lib` and \
         commit the result"
    );
}

/// What the owner is told of a refusal is a code of the page that explains it.
#[test]
fn every_code_is_one_of_pid_1() {
    use super::End;

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/boot-failures.md");
    let page = fs::read_to_string(page).unwrap();
    for scenario in Scenario::read_all(&Scenario::directory()).unwrap() {
        for expected in scenario.expect.values() {
            if let End::Refused { code, .. } = &expected.end {
                assert!(page.contains(&format!("| `{code}` |")), "{}: {code}", scenario.name);
            }
        }
    }
}
