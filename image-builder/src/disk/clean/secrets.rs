//! Secrets by their form, in a text.
//!
//! The forms are those that the providers document: an AWS access key ID (`AKIA…`, `ASIA…`),
//! GitHub's tokens ("About authentication to GitHub", token formats), GitLab's `glpat-`,
//! Slack's `xox?-`. Some texts only look like it; that is why nothing is left out for it.

use super::RuleId;

/// One place in a text.
pub(super) struct Match {
    pub(super) rule: RuleId,
    /// From 1.
    pub(super) line: u64,
    pub(super) what: &'static str,
}

/// The most matches of one file.
const MOST: usize = 20;
/// The longest part of a line that is looked at, in bytes.
const LINE: usize = 4096;

struct Form {
    what: &'static str,
    starts: &'static [&'static [u8]],
    /// Bytes after the start, at least.
    least: usize,
    is: fn(u8) -> bool,
}

const FORMS: [Form; 5] = [
    Form {
        what: "an AWS access key",
        starts: &[b"AKIA", b"ASIA"],
        least: 16,
        is: |b| b.is_ascii_uppercase() || b.is_ascii_digit(),
    },
    Form {
        what: "a GitHub token",
        starts: &[b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"],
        least: 36,
        is: |b| b.is_ascii_alphanumeric(),
    },
    Form {
        what: "a GitHub token",
        starts: &[b"github_pat_"],
        least: 22,
        is: |b| b.is_ascii_alphanumeric() || b == b'_',
    },
    Form {
        what: "a GitLab token",
        starts: &[b"glpat-"],
        least: 20,
        is: |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-',
    },
    Form {
        what: "a Slack token",
        starts: &[b"xoxb-", b"xoxp-", b"xoxa-", b"xoxr-", b"xoxs-"],
        least: 20,
        is: |b| b.is_ascii_alphanumeric() || b == b'-',
    },
];

/// Whether this is text: no zero byte near its start.
pub(super) fn is_text(content: &[u8]) -> bool {
    !content.iter().take(1024).any(|&byte| byte == 0)
}

/// Tokens, and passwords if those are looked for too.
pub(super) fn find(text: &[u8], passwords: bool) -> Vec<Match> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let line = line.get(..LINE).unwrap_or(line);
        if let Some(what) = token(line) {
            found.push(Match { rule: RuleId::Token, line: number, what });
        } else if passwords && let Some(what) = password(line) {
            found.push(Match { rule: RuleId::Password, line: number, what });
        }
        if found.len() == MOST {
            break;
        }
    }
    found
}

fn token(line: &[u8]) -> Option<&'static str> {
    (0..line.len()).find_map(|at| {
        let (before, rest) = line.split_at_checked(at)?;
        // Inside of a longer word it is a part of something else.
        if before.last().is_some_and(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let form = FORMS.iter().find(|form| {
            let start = form.starts.iter().find(|start| rest.starts_with(start));
            let rest = start.and_then(|start| rest.get(start.len()..)).unwrap_or_default();
            rest.iter().take_while(|&&b| (form.is)(b)).take(form.least).count() == form.least
        })?;
        Some(form.what)
    })
}

const WORDS: [(&[u8], &str); 8] = [
    (b"password", "a password"),
    (b"passwd", "a password"),
    (b"passphrase", "a passphrase"),
    (b"secret", "a secret"),
    (b"secret_key", "a secret key"),
    (b"api_key", "an API key"),
    (b"apikey", "an API key"),
    (b"token", "a token"),
];

/// `KEY=VALUE`, where the key ends in one of the words and the value could be a secret:
/// neither a variable nor a pattern, nor a word that says something else.
fn password(line: &[u8]) -> Option<&'static str> {
    let line = line.trim_ascii();
    if line.starts_with(b"#") || line.starts_with(b";") || line.starts_with(b"//") {
        return None;
    }
    let equals = line.iter().position(|&byte| byte == b'=')?;
    let (key, value) = line.split_at_checked(equals)?;
    let key = key.trim_ascii_end();
    let key = key.rsplit(|&b| !(b.is_ascii_alphanumeric() || b == b'_')).next()?;
    let key = key.to_ascii_lowercase();
    let (_, what) = WORDS.iter().find(|(word, _)| key.ends_with(word))?;
    let value = value.get(1..)?.trim_ascii();
    let quote = |&byte: &u8| byte == b'"' || byte == b'\'';
    let value = value.strip_prefix(b"\"").or(value.strip_prefix(b"'")).unwrap_or(value);
    let end = value.iter().position(|b| quote(b) || b.is_ascii_whitespace() || *b == b';');
    let value = value.get(..end.unwrap_or(value.len()))?;
    let plain = |b: &u8| b.is_ascii_graphic() && !b"$<>(){}[]`%*\\|".contains(b);
    let words: [&[u8]; 8] =
        [b"required", b"optional", b"changeme", b"password", b"prompt", b"ask", b"None", b"null"];
    let secret = value.len() >= 6 && value.iter().all(plain) && !words.contains(&value);
    secret.then_some(*what)
}
