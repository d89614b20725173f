//! The options of a reply: only those that are wanted are kept.

use super::{FILE, OPTIONS, SNAME, code};

/// Why the options of a reply are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// An option reaches past its field, or the field has no end.
    #[error("its options are cut")]
    Cut,
    /// An option that is used has a length that it cannot have.
    #[error("its option {0} has a wrong length")]
    Length(u8),
    /// An option that is used is there twice.
    #[error("its option {0} is there twice")]
    Twice(u8),
    /// Option 52 says what it cannot say.
    #[error("its option 52 (overload) is not 1, 2 or 3")]
    Overload,
}

/// The options that are used, as they stand in the reply.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Options {
    pub(super) kind: Option<[u8; 1]>,
    pub(super) mask: Option<[u8; 4]>,
    /// The first router; the others are ignored.
    pub(super) router: Option<[u8; 4]>,
    pub(super) server: Option<[u8; 4]>,
    pub(super) mtu: Option<[u8; 2]>,
    pub(super) lease: Option<[u8; 4]>,
    pub(super) renewal: Option<[u8; 4]>,
    pub(super) rebinding: Option<[u8; 4]>,
    overload: Option<[u8; 1]>,
}

impl Options {
    /// Reads the options of a message of at least [`OPTIONS`] bytes, and those in `file`
    /// and `sname` if option 52 says so (RFC 2131, section 4.1).
    pub(super) fn read(message: &[u8]) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        options.field(message.get(OPTIONS..).ok_or(OptionsError::Cut)?)?;
        let overload = options.overload.map_or(0, |[value]| value);
        if options.overload.is_some() && !(1..=3).contains(&overload) {
            return Err(OptionsError::Overload);
        }
        for (bit, range) in [(1, FILE), (2, SNAME)] {
            if overload & bit != 0 {
                options.field(message.get(range).ok_or(OptionsError::Cut)?)?;
            }
        }
        // An option 52 in there is a second one.
        Ok(options)
    }

    fn field(&mut self, mut field: &[u8]) -> Result<(), OptionsError> {
        loop {
            let (option, rest) = field.split_first().ok_or(OptionsError::Cut)?;
            field = rest;
            match *option {
                code::PAD => {}
                code::END => return Ok(()),
                option => {
                    let (length, rest) = field.split_first().ok_or(OptionsError::Cut)?;
                    let value =
                        rest.split_at_checked(usize::from(*length)).ok_or(OptionsError::Cut)?;
                    self.option(option, value.0)?;
                    field = value.1;
                }
            }
        }
    }

    fn option(&mut self, option: u8, value: &[u8]) -> Result<(), OptionsError> {
        match option {
            code::TYPE => set(&mut self.kind, option, value),
            code::MASK => set(&mut self.mask, option, value),
            code::SERVER => set(&mut self.server, option, value),
            code::MTU => set(&mut self.mtu, option, value),
            code::LEASE => set(&mut self.lease, option, value),
            code::RENEWAL => set(&mut self.renewal, option, value),
            code::REBINDING => set(&mut self.rebinding, option, value),
            code::OVERLOAD => set(&mut self.overload, option, value),
            code::ROUTER => {
                let first = value.first_chunk::<4>().filter(|_| value.len().is_multiple_of(4));
                set(&mut self.router, option, first.ok_or(OptionsError::Length(option))?)
            }
            _ => Ok(()),
        }
    }
}

fn set<const N: usize>(
    slot: &mut Option<[u8; N]>,
    option: u8,
    value: &[u8],
) -> Result<(), OptionsError> {
    let value = value.try_into().map_err(|_err| OptionsError::Length(option))?;
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(OptionsError::Twice(option)),
    }
}
