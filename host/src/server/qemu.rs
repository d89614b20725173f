//! QEMU, which starts the guests.

use super::{Check, Facts};

/// The first release with `sev-snp-guest`.
const NEEDED: (u32, u32) = (9, 1);

pub(super) fn check(facts: &Facts) -> Check {
    const ID: &str = "qemu";
    let install = format!(
        "install {}.{} or later (Debian 12: qemu-system-x86 of bookworm-backports; Debian 13 has \
         it), or name another with --qemu",
        NEEDED.0, NEEDED.1
    );
    let Some(run) = facts.view.qemu else {
        return Check::unknown(ID, "a recording has no programs", "name one with --qemu");
    };
    let version = match run(&["--version"]) {
        Ok(answer) if answer.success => answer.stdout,
        Ok(_) => return Check::missing(ID, "it does not tell its version", install),
        Err(error) => return Check::missing(ID, format!("it cannot be run: {error}"), install),
    };
    let first = version.lines().next().unwrap_or_default().trim().to_owned();
    let Some(number) = number(&first) else {
        return Check::missing(ID, format!("this is no QEMU: {first}"), install);
    };
    let object = run(&["-object", "sev-snp-guest,help"]);
    let has_object =
        object.is_ok_and(|answer| answer.success && answer.stdout.contains("id-block"));
    if has_object {
        return Check::ok(ID, format!("{first}, with sev-snp-guest"));
    }
    let found = if number < NEEDED {
        first
    } else {
        format!("{first}, built without the object sev-snp-guest")
    };
    Check::missing(ID, found, install)
}

/// `QEMU emulator version 10.0.2 (…)` to (10, 0).
fn number(first: &str) -> Option<(u32, u32)> {
    let mut numbers = first.strip_prefix("QEMU emulator version ")?.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(number("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)"), Some((10, 0)));
        assert_eq!(number("QEMU emulator version 9.1.0"), Some((9, 1)));
        assert_eq!(number("qemu-img version 9.1.0"), None);
        assert_eq!(number(""), None);
    }
}
