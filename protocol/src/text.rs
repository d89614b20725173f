//! Showing hostile text: what a message may quote of bytes that somebody else
//! wrote.

/// Longest excerpt, in characters, that a message quotes.
pub const EXCERPT_MAX: usize = 80;

/// `text` for a message: control and non-ASCII characters escaped, cut to
/// [`EXCERPT_MAX`] characters with an ellipsis, so that a console line can
/// neither be forged nor flooded.
#[must_use]
pub fn excerpt(text: &str) -> String {
    let mut shown = String::new();
    for (count, piece) in text.chars().enumerate() {
        if count == EXCERPT_MAX {
            shown.push_str("...");
            break;
        }
        if piece == '\'' || piece == '"' {
            shown.push(piece);
        } else {
            shown.extend(piece.escape_default());
        }
    }
    shown
}

/// `text` on one line of a console or terminal: what controls it, and what changes the
/// direction of writing or cannot be seen, is escaped; other characters of any language
/// stay as they are.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let is_unseen = matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        );
        if c.is_control() || is_unseen {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_is_escaped() {
        assert_eq!(printable("a\x1b[2J\n\u{202e}ü"), "a\\u{1b}[2J\\n\\u{202e}ü");
        for c in ['\u{9b}', '\u{61c}', '\u{2066}', '\u{e0041}', '\u{7f}', '\r'] {
            assert!(printable(&c.to_string()).is_ascii(), "{c:?}");
        }
    }

    #[test]
    fn control_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(excerpt("plain 'quoted'"), "plain 'quoted'");
        assert_eq!(excerpt("a\nravelin: ok\u{1b}[0m"), "a\\nravelin: ok\\u{1b}[0m");
        let long = excerpt(&"x".repeat(1 << 20));
        assert_eq!(long.len(), EXCERPT_MAX + 3);
    }
}
