//! `ravelin image audit`.

use std::path::PathBuf;

use clap::Args;
use image_builder::disk::audit;
use image_builder::disk::clean::{Action, Finding, Findings, RULES};
use serde::Serialize;

use super::source::DiskArguments;
use crate::exit::Exit;
use crate::failure::Result;
use crate::terminal::{Terminal, Text, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin image audit rootfs/
  ravelin image audit debian.tar.zst --strict
  docker save app:1 | ravelin image audit -
  ravelin image audit app.tar --json | jq -r '.findings[] | select(.rule == \"token\") | .place'

Everything is told, also what `image verity` leaves out by itself. With --strict, the exit code is
1 if anything is found that does not belong into a public image; authorized_keys and privileged
programs are information and do not count. docs/import.md has the table of all rules.

The layers of a container image are unpacked into a file without a name in $TMPDIR (else /tmp).

Secrets are found by the form of small files' content. Some are missed, and some findings are
none: it is a help, and no proof.

JSON (\"kind\": \"image-audit\"): source, members (how many were looked at), findings (a list of
rule, path, line (or null), place, detail (or null), action (\"left out\", \"emptied\", \"lines left
out\", \"left out if asked\", \"told\" or \"information\": what `image verity` does about it), why),
omitted (findings beyond the first 10000), clean (nothing but information was found).";

/// Tell what does not belong into a public image
///
/// A verified disk is public, and the same in every VM. This looks at a source for one machine's
/// own keys and ids, for secrets, and for what keeps a system from starting on another disk; and
/// says what `image verity` would do about each.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Audit {
    /// A directory, a tar, a container image, a disk image with an ext4, or - for a tar on stdin
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// Of a container image that holds several: a name, a name with a tag, or a digest
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    #[command(flatten)]
    disk: DiskArguments,
    /// Fail if anything is found that does not belong into a public image
    #[arg(long)]
    strict: bool,
}

#[derive(Serialize)]
struct Report {
    source: String,
    members: u64,
    findings: Vec<Row>,
    omitted: u64,
    clean: bool,
}

#[derive(Serialize)]
struct Row {
    rule: &'static str,
    path: String,
    line: Option<u64>,
    place: String,
    detail: Option<String>,
    action: &'static str,
    why: &'static str,
}

pub(crate) fn run(arguments: &Audit, terminal: &Terminal) -> Result {
    let source = arguments.disk.open(&arguments.source, false)?;
    let progress = terminal.progress();
    // Nothing appears there: the layers of a container image go to files without a name.
    let scratch = std::env::temp_dir().join("ravelin-audit");
    let findings = audit(source, arguments.image.as_deref(), &scratch, &progress)?;
    progress.finish();
    let report = Report {
        source: arguments.source.display().to_string(),
        members: findings.members,
        findings: findings.list.iter().map(row).collect(),
        omitted: findings.omitted,
        clean: findings.clean(),
    };
    terminal.result("image-audit", &report, &describe(&report, &findings))?;
    let failed = arguments.strict && !report.clean;
    Ok(if failed { Exit::CheckFailed } else { Exit::Success })
}

fn row(finding: &Finding) -> Row {
    Row {
        rule: finding.rule.name,
        path: String::from_utf8_lossy(&finding.path).into_owned(),
        line: finding.line,
        place: finding.place(),
        detail: finding.detail.clone(),
        action: finding.rule.action.as_str(),
        why: finding.rule.why,
    }
}

fn describe(report: &Report, findings: &Findings) -> Text {
    let mut text = Text::new();
    for rule in &RULES {
        let mut found = findings.of(rule.id).peekable();
        if found.peek().is_none() {
            continue;
        }
        text.heading(&format!("{} ({})", rule.name, describe_action(rule.action)));
        text.line(rule.why);
        for finding in found {
            let place = printable(&finding.place());
            match &finding.detail {
                Some(detail) => text.line(format!("  {place}: {}", printable(detail))),
                None => text.line(format!("  {place}")),
            };
        }
    }
    if report.omitted > 0 {
        text.line(format!("and {} findings more", report.omitted));
    }
    let verdict = if report.clean {
        "nothing that does not belong into a public image"
    } else {
        "there is something that does not belong into a public image"
    };
    text.line(format!("{}: {} members, {verdict}", report.source, report.members));
    text
}

fn describe_action(action: Action) -> &'static str {
    match action {
        Action::LeaveOut => "image verity leaves it out",
        Action::Empty => "image verity empties it",
        Action::Rewrite => "image verity leaves the lines out",
        Action::IfAsked => "left out with --clean-authorized-keys",
        Action::Tell => "stays in the image: take it out of the source",
        Action::Inform => "information",
    }
}
