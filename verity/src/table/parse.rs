//! Reading a table back from its text.

use std::mem;
use std::str::{FromStr, SplitAsciiWhitespace};

use super::{FORMAT, IGNORE_ZERO_BLOCKS, Reaction, Table, TableError};
use crate::params::{Params, ParamsError};

/// Parses what the kernel would: arguments between white space. Numbers are
/// decimal without sign or leading zeros, and no option may be unknown,
/// repeated or in contradiction to another.
impl FromStr for Table {
    type Err = TableError;

    fn from_str(text: &str) -> Result<Self, TableError> {
        let mut arguments = Arguments(text.split_ascii_whitespace());
        let format = arguments.next("format")?;
        if format != FORMAT {
            return Err(TableError::Format(format.to_owned()));
        }
        let data_device = arguments.next("data device")?;
        let hash_device = arguments.next("hash device")?;
        let data_block_size = arguments.parse("data block size")?;
        let hash_block_size = arguments.parse("hash block size")?;
        let data_blocks = arguments.number("number of data blocks")?;
        let hash_start_block = arguments.number("hash start block")?;
        let algorithm = arguments.parse("hash algorithm")?;
        let root_hash = arguments.next("root hash")?.parse()?;
        let salt = arguments.parse("salt")?;
        let params = Params { algorithm, data_block_size, hash_block_size, salt };
        let table =
            Self::new(data_device, hash_device, params, data_blocks, hash_start_block, root_hash)?;

        let (mut on_corruption, mut on_error) = (None, None);
        let mut ignore_zero_blocks = false;
        if let Ok(count) = arguments.next("number of options") {
            let count = decimal("number of options", count)?;
            for _ in 0..count {
                let option = arguments.next("option")?;
                let reaction = |name: fn(Reaction) -> Option<&'static str>| {
                    let named = [Reaction::Restart, Reaction::Panic];
                    named.into_iter().find(|reaction| name(*reaction) == Some(option))
                };
                let repeated = if option == IGNORE_ZERO_BLOCKS {
                    mem::replace(&mut ignore_zero_blocks, true)
                } else if let Some(reaction) = reaction(Reaction::to_corruption) {
                    on_corruption.replace(reaction).is_some()
                } else if let Some(reaction) = reaction(Reaction::to_error) {
                    on_error.replace(reaction).is_some()
                } else {
                    return Err(TableError::UnknownOption(option.to_owned()));
                };
                if repeated {
                    return Err(TableError::RepeatedOption(option.to_owned()));
                }
            }
        }
        if let Ok(rest) = arguments.next("end") {
            return Err(TableError::Trailing(rest.to_owned()));
        }
        Ok(table
            .on_corruption(on_corruption.unwrap_or(Reaction::Eio))
            .on_error(on_error.unwrap_or(Reaction::Eio))
            .ignore_zero_blocks(ignore_zero_blocks))
    }
}

struct Arguments<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Arguments<'a> {
    fn next(&mut self, name: &'static str) -> Result<&'a str, TableError> {
        self.0.next().ok_or(TableError::Missing(name))
    }

    fn parse<T: FromStr<Err = ParamsError>>(
        &mut self,
        name: &'static str,
    ) -> Result<T, TableError> {
        self.next(name)?.parse().map_err(|source| TableError::Params { name, source })
    }

    fn number(&mut self, name: &'static str) -> Result<u64, TableError> {
        decimal(name, self.next(name)?)
    }
}

fn decimal(name: &'static str, text: &str) -> Result<u64, TableError> {
    text.parse()
        .ok()
        .filter(|number: &u64| number.to_string() == text)
        .ok_or_else(|| TableError::Number { name, text: text.to_owned() })
}
