//! The tail of a volume. It is authenticated, so this is about its own rules: the first
//! bytes of its four blocks come from the input.

use luks::{Epoch, TAIL_BLOCK, TAIL_SIZE};

const PART: usize = 48;

pub(super) fn run(data: &[u8]) {
    let Some(spec) = super::volumes::ordinary().into_iter().next() else { return };
    let mut tail = [0; TAIL_SIZE];
    for (block, part) in tail.as_chunks_mut::<TAIL_BLOCK>().0.iter_mut().zip(data.chunks(PART)) {
        block.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
    }
    let latest = Epoch::latest(&tail);
    if let Ok(epoch) = spec.check_tail(&tail) {
        assert_eq!(latest, Ok(epoch));
        // It is in its own place, odd epochs behind even ones.
        let blocks = tail.as_chunks::<TAIL_BLOCK>().0;
        assert!(blocks.get(if epoch.0 & 1 == 0 { 1 } else { 2 }) == Some(&epoch.block()));
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let tails = super::volumes::ordinary().into_iter().take(2).map(|spec| spec.new_tail());
    let parts = |tail: [u8; TAIL_SIZE]| {
        let blocks = tail.chunks(TAIL_BLOCK).filter_map(|block| block.get(..PART));
        blocks.collect::<Vec<_>>().concat()
    };
    tails.map(parts).collect()
}
