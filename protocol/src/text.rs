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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_length_is_bounded() {
        assert_eq!(excerpt("plain 'quoted'"), "plain 'quoted'");
        assert_eq!(excerpt("a\nravelin: ok\u{1b}[0m"), "a\\nravelin: ok\\u{1b}[0m");
        let long = excerpt(&"x".repeat(1 << 20));
        assert_eq!(long.len(), EXCERPT_MAX + 3);
    }
}
