//! The configuration of a kernel, as `.config`, `/boot/config-*` and
//! `/proc/config.gz` have it.

use std::collections::BTreeMap;

/// The longest text that is read, in bytes. (Debian's has about 300 KiB.)
pub const MAX_TEXT: usize = 4 << 20;

/// What a symbol is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `y`: in the kernel image.
    BuiltIn,
    /// `m`: a module.
    Module,
    /// Not set, or not there.
    Off,
    /// A number or a text.
    Value,
}

/// A kernel's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelConfig {
    set: BTreeMap<String, State>,
    release: Option<String>,
}

/// Text that is no kernel configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Longer than any.
    #[error("longer than {MAX_TEXT} bytes: not a kernel's configuration")]
    TooLong,
    /// A line that is neither a comment nor an assignment.
    #[error("line {line} is not one of a kernel's configuration (CONFIG_NAME=value)")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A symbol that is set twice.
    #[error("line {line} sets CONFIG_{symbol} a second time")]
    Repeated {
        /// Counted from 1.
        line: usize,
        /// The symbol.
        symbol: String,
    },
    /// No symbol at all.
    #[error("it sets nothing: not a kernel's configuration")]
    Empty,
}

impl KernelConfig {
    /// Reads a configuration's text.
    ///
    /// # Errors
    /// If it is not one.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > MAX_TEXT {
            return Err(ConfigError::TooLong);
        }
        let mut set = BTreeMap::new();
        let mut release = None;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                // The third line: `# Linux/x86 6.12.95 Kernel Configuration`.
                let said = line.strip_prefix("# Linux/").and_then(|rest| rest.split(' ').nth(1));
                release = release.or_else(|| said.map(str::to_owned));
                continue;
            }
            let bad = || ConfigError::Line { line: index + 1 };
            let assignment = line.strip_prefix("CONFIG_").and_then(|rest| rest.split_once('='));
            let (symbol, value) = assignment.ok_or_else(bad)?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if symbol.is_empty() || !symbol.bytes().all(plain) {
                return Err(bad());
            }
            let state = match value {
                "y" => State::BuiltIn,
                "m" => State::Module,
                "n" => State::Off,
                "" => return Err(bad()),
                _ => State::Value,
            };
            if set.insert(symbol.to_owned(), state).is_some() {
                return Err(ConfigError::Repeated { line: index + 1, symbol: symbol.to_owned() });
            }
        }
        if set.is_empty() { Err(ConfigError::Empty) } else { Ok(Self { set, release }) }
    }

    /// What `symbol` (without `CONFIG_`) is set to.
    #[must_use]
    pub fn state(&self, symbol: &str) -> State {
        self.set.get(symbol).copied().unwrap_or(State::Off)
    }

    /// The kernel's version, as the configuration's head says it.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "#\n# Automatically generated file; DO NOT EDIT.\n\
        # Linux/x86 6.12.95 Kernel Configuration\n#\nCONFIG_NET=y\nCONFIG_XFS_FS=m\n\
        # CONFIG_KEXEC is not set\nCONFIG_HZ=250\nCONFIG_CC=\"gcc = x\"\nCONFIG_NO=n\n";

    #[test]
    fn states_come_as_they_are_written() {
        let config = KernelConfig::parse(TEXT).unwrap();
        let states = ["NET", "XFS_FS", "KEXEC", "HZ", "CC", "NO", "MISSING"];
        let states = states.map(|symbol| config.state(symbol));
        let (off, value) = (State::Off, State::Value);
        assert_eq!(states, [State::BuiltIn, State::Module, off, value, value, off, off]);
        assert_eq!(config.release(), Some("6.12.95"));
    }

    #[test]
    fn other_text_is_refused() {
        let line = |line| Err(ConfigError::Line { line });
        assert_eq!(KernelConfig::parse("CONFIG_A=y\nroot:x:0:0\n"), line(2));
        assert_eq!(KernelConfig::parse("CONFIG_=y"), line(1));
        assert_eq!(KernelConfig::parse("CONFIG_A="), line(1));
        assert_eq!(KernelConfig::parse("CONFIG_A B=y"), line(1));
        assert_eq!(KernelConfig::parse("# nothing\n"), Err(ConfigError::Empty));
        let twice = KernelConfig::parse("CONFIG_A=y\nCONFIG_A=n\n");
        assert_eq!(twice, Err(ConfigError::Repeated { line: 2, symbol: "A".to_owned() }));
        assert_eq!(KernelConfig::parse(&"#".repeat(MAX_TEXT + 1)), Err(ConfigError::TooLong));
    }
}
