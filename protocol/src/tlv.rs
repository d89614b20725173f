//! The one encoding of fields: tag (1 byte), length of the value (4 bytes,
//! big-endian), value. Tags ascend, so that each occurs at most once and one
//! content has one encoding.

/// Appends a field.
///
/// # Panics
/// Never: lengths above `u32::MAX` cannot occur, every writer's fields are
/// bounded far below; such a length would be cut.
pub(crate) fn write(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(value);
}

/// Bytes that are not a list of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlvError {
    /// The bytes end inside a field.
    #[error("the bytes end inside a field")]
    Cut,
    /// A tag is not above the one before it.
    #[error("field {tag:#04x} is out of order or repeated")]
    Order {
        /// The tag.
        tag: u8,
    },
}

/// Reads fields one by one, each checked against the bytes that are left.
pub(crate) struct Fields<'a> {
    left: &'a [u8],
    last: Option<u8>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, last: None }
    }

    /// The next field, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, TlvError> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let (head, rest) = self.left.split_first_chunk::<5>().ok_or(TlvError::Cut)?;
        let [tag, length @ ..] = *head;
        if self.last.is_some_and(|last| last >= tag) {
            return Err(TlvError::Order { tag });
        }
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_err| TlvError::Cut)?;
        let (value, rest) = rest.split_at_checked(length).ok_or(TlvError::Cut)?;
        self.left = rest;
        self.last = Some(tag);
        Ok(Some((tag, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back() {
        let mut bytes = Vec::new();
        write(&mut bytes, 1, b"one");
        write(&mut bytes, 7, b"");
        let mut fields = Fields::new(&bytes);
        assert_eq!(fields.next(), Ok(Some((1, b"one".as_slice()))));
        assert_eq!(fields.next(), Ok(Some((7, b"".as_slice()))));
        assert_eq!(fields.next(), Ok(None));
    }

    #[test]
    fn every_cut_and_every_disorder_is_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, 2, b"value");
        for length in 1..bytes.len() {
            assert_eq!(Fields::new(&bytes[..length]).next(), Err(TlvError::Cut), "{length}");
        }
        for second in [2, 1] {
            let mut both = bytes.clone();
            write(&mut both, second, b"");
            let mut fields = Fields::new(&both);
            assert!(fields.next().is_ok());
            assert_eq!(fields.next(), Err(TlvError::Order { tag: second }));
        }
        let mut huge = vec![1];
        huge.extend_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Fields::new(&huge).next(), Err(TlvError::Cut));
    }
}
