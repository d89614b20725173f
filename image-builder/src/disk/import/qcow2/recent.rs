//! The last few values that were made, for the next reader who asks for one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// At most so many values, by number; the one that was not asked for the longest goes first.
pub(super) struct Recent<V> {
    most: usize,
    values: Mutex<VecDeque<(u64, Arc<V>)>>,
}

impl<V> Recent<V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, values: Mutex::new(VecDeque::new()) }
    }

    /// The value with this number, made if it is not there. Two readers may make it at once.
    pub(super) fn get_or<E>(
        &self,
        number: u64,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let lock = || self.values.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut values = lock();
            let place = values.iter().position(|(key, _)| *key == number);
            if let Some(found) = place.and_then(|place| values.remove(place)) {
                let value = Arc::clone(&found.1);
                values.push_front(found);
                return Ok(value);
            }
        }
        let value = Arc::new(make()?);
        let mut values = lock();
        values.push_front((number, Arc::clone(&value)));
        values.truncate(self.most);
        Ok(value)
    }
}
