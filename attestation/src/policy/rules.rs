//! Rules on a field of bits.

/// Bits that must be set and bits that must not be. Bits that are in neither
/// list may be either, so that a new bit of a newer platform does not break a
/// policy; `exact` is for those who want that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitRules<T> {
    /// Bits that must be set.
    pub required: Vec<T>,
    /// Bits that must be clear.
    pub forbidden: Vec<T>,
    /// The field as a whole is exactly this.
    pub exact: Option<u64>,
}

impl<T> Default for BitRules<T> {
    fn default() -> Self {
        Self { required: Vec::new(), forbidden: Vec::new(), exact: None }
    }
}

impl<T> BitRules<T> {
    /// Whether there is no rule.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.required.is_empty() && self.forbidden.is_empty() && self.exact.is_none()
    }
}

impl<T: Copy + PartialEq> BitRules<T> {
    /// A bit that is both required and forbidden.
    pub(super) fn contradiction(&self) -> Option<T> {
        self.required.iter().copied().find(|bit| self.forbidden.contains(bit))
    }
}
