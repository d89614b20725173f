//! The kernel command line, split as the kernel splits it.
//!
//! It is in the launch measurement, so its content is the owner's; the parser
//! still takes any bytes. Quoting matters: a `ravelin.` word inside another
//! parameter's quoted value is not a parameter, and must not become one here.
//! See `next_arg()` in the kernel's `lib/cmdline.c`.

use crate::text::excerpt;

/// Longest command line that is read, in bytes. x86-64 kernels keep 2047
/// (`COMMAND_LINE_SIZE`); other architectures up to 4096.
pub const MAX_LEN: usize = 4096;

/// Longest command line, in bytes without the terminating NUL, that is known to
/// be whole on x86-64: the kernel keeps 2047 (`COMMAND_LINE_SIZE` is 2048) and
/// cuts a longer one silently, so that one of 2047 may be the rest of another.
pub const X86_MAX_LEN: usize = 2046;

/// Prefix of the words that are Ravelin's.
pub const PREFIX: &str = "ravelin.";

/// Why a command line was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CmdlineError {
    /// More than [`MAX_LEN`] bytes.
    #[error("the kernel command line is longer than {MAX_LEN} bytes")]
    TooLong,
    /// More than [`X86_MAX_LEN`] bytes reached PID 1.
    #[error(
        "the kernel command line has {length} bytes, and an x86-64 kernel cuts longer ones: \
         it may not be whole; {X86_MAX_LEN} bytes are allowed"
    )]
    MayBeCut {
        /// Its length in bytes, without the line end.
        length: usize,
    },
    /// Not UTF-8, or with control characters.
    #[error("the kernel command line has a byte that is not printable at offset {offset}")]
    NotPrintable {
        /// Byte offset of the first such byte.
        offset: usize,
    },
    /// A quotation mark that is never closed.
    #[error("the kernel command line has a quotation mark without its pair")]
    OpenQuote,
    /// A `ravelin.` word without `=`.
    #[error("'{word}' on the kernel command line has no value; write {word}=VALUE")]
    NoValue {
        /// The word.
        word: String,
    },
    /// A quotation mark in a `ravelin.` word.
    #[error("'{word}' on the kernel command line has a quotation mark; Ravelin's values have none")]
    Quoted {
        /// The word.
        word: String,
    },
}

/// The words of a kernel command line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    words: Vec<String>,
}

impl CommandLine {
    /// Splits the content of `/proc/cmdline` or of QEMU's `-append`.
    ///
    /// # Errors
    /// If it is too long, not printable, or ends inside quotation marks.
    pub fn parse(bytes: &[u8]) -> Result<CommandLine, CmdlineError> {
        if bytes.len() > MAX_LEN {
            return Err(CmdlineError::TooLong);
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|error| CmdlineError::NotPrintable { offset: error.valid_up_to() })?;
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\n');
        if let Some((offset, _)) =
            text.char_indices().find(|(_, c)| c.is_control() && !is_space(*c))
        {
            return Err(CmdlineError::NotPrintable { offset });
        }
        let mut words = Vec::new();
        let mut word = String::new();
        let mut quoted = false;
        for c in text.chars() {
            if c == '"' {
                quoted = !quoted;
            }
            if is_space(c) && !quoted {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            } else {
                word.push(c);
            }
        }
        if quoted {
            return Err(CmdlineError::OpenQuote);
        }
        if !word.is_empty() {
            words.push(word);
        }
        Ok(CommandLine { words })
    }

    /// All words, in order, quotation marks included.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The words that are the kernel's or PID 1's parameters: those before a
    /// bare `--`. What follows it is for the real init.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str).take_while(|word| *word != "--")
    }

    /// The parameters for a kernel module, as `NAME[=VALUE]` words between
    /// spaces: those written `MODULE.NAME[=VALUE]`. In the names `-` and `_` are
    /// the same. For a module it is modprobe that does this, not the kernel.
    #[must_use]
    pub fn module_parameters(&self, module: &str) -> String {
        let same = |name: &str| name.replace('-', "_");
        let own = |word: &str| {
            let (name, parameter) = word.split_once('.')?;
            (same(name) == same(module) && !name.contains('=')).then(|| parameter.to_owned())
        };
        self.parameters().filter_map(own).collect::<Vec<_>>().join(" ")
    }

    /// Ravelin's settings in order: key without the `ravelin.` prefix, value.
    /// Keys are neither checked against the table nor against each other here.
    ///
    /// # Errors
    /// If a `ravelin.` word has no `=` or has a quotation mark.
    pub fn settings(&self) -> Result<Vec<(&str, &str)>, CmdlineError> {
        self.values(|name| name.strip_prefix(PREFIX)).collect()
    }

    /// The parameters whose names `known` knows, with their values, in order.
    pub(crate) fn values<'a, K>(
        &'a self,
        known: impl Fn(&'a str) -> Option<K>,
    ) -> impl Iterator<Item = Result<(K, &'a str), CmdlineError>> {
        self.parameters().filter_map(move |word| {
            // The kernel drops a quotation mark that opens the whole word.
            let bare = word.strip_prefix('"').unwrap_or(word);
            let (name, value) =
                bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)));
            let key = known(name)?;
            Some(if word.contains('"') {
                Err(CmdlineError::Quoted { word: excerpt(word) })
            } else {
                let missing = || CmdlineError::NoValue { word: excerpt(word) };
                value.map(|value| (key, value)).ok_or_else(missing)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Vec<(String, String)>, CmdlineError> {
        let line = CommandLine::parse(text.as_bytes())?;
        Ok(line.settings()?.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    #[test]
    fn only_whole_words_with_the_prefix_are_settings() {
        let got = settings(
            "console=ttyS0 x.ravelin.a=1 ravelin.b=2=3 ravelin_c=4\n foo=\"a ravelin.d=5 b\" ravelin.e=",
        );
        let expected =
            [("b", "2=3"), ("e", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        assert_eq!(got, Ok(expected));
    }

    #[test]
    fn what_follows_two_dashes_is_for_the_real_init() {
        assert_eq!(settings("ravelin.a=1 -- ravelin.b=2").unwrap().len(), 1);
        let line = CommandLine::parse(
            b"dm_verity.require_signatures=1 dm-verity.x x=dm_verity.y=1 dm_verity_z.a=1 -- dm_verity.b=1",
        )
        .unwrap();
        assert_eq!(line.module_parameters("dm-verity"), "require_signatures=1 x");
        assert_eq!(line.module_parameters("dm_mod"), "");
    }

    #[test]
    fn refusals() {
        let cases: &[(&[u8], CmdlineError)] = &[
            (&[b'a'; MAX_LEN + 1], CmdlineError::TooLong),
            (b"ab\xff", CmdlineError::NotPrintable { offset: 2 }),
            (b"a\x1b[0m", CmdlineError::NotPrintable { offset: 1 }),
            (b"a=\"b", CmdlineError::OpenQuote),
        ];
        for (bytes, expected) in cases {
            assert_eq!(CommandLine::parse(bytes).as_ref(), Err(expected));
        }
        assert!(matches!(settings("ravelin.a"), Err(CmdlineError::NoValue { .. })));
        assert!(matches!(settings("ravelin.a=\"b c\""), Err(CmdlineError::Quoted { .. })));
        assert!(matches!(settings("\"ravelin.a=b c\""), Err(CmdlineError::Quoted { .. })));
    }
}
