//! Many short lists in one flat array: the memory of the arcs and the announcements of all nodes.
//!
//! A list that outgrows its capacity moves to the array's end and leaves a hole. When holes are a quarter of everything, the
//! lists move to a second array, a few with every change, so that no single change takes long; a search reads either.

use std::hint::black_box;

/// What a processor reads from memory at once.
const CACHE_LINE_BYTES: usize = 64;
/// Most values of a list that are prefetched.
const READ_MAX: usize = 32;
/// Lists moved with every change while the arrays are exchanged.
const MOVED_AT_ONCE: usize = 16;
/// Below this many holes nothing is moved.
const HOLES_MIN: usize = 4096;
/// The bit of a start that says which array holds the list.
const SECOND: u32 = 1 << 31;
/// Most values in one array.
const VALUES_MAX: usize = SECOND as usize;

/// Where a list is.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    start: u32,
    length: u32,
    capacity: u32,
    note: u32,
}

/// Lists by number.
#[derive(Debug)]
pub(crate) struct Lists<T> {
    arrays: [Vec<T>; 2],
    heads: Vec<Head>,
    /// The array that lists move to when they move.
    target: usize,
    /// Lists below this number have been moved to the target; none: all lists are there.
    moved: Option<usize>,
    /// Values of the target that belong to no list.
    holes: usize,
}

impl<T: Copy + Default> Lists<T> {
    pub(crate) fn new() -> Self {
        Lists { arrays: [vec![], vec![]], heads: vec![], target: 0, moved: None, holes: 0 }
    }

    /// Makes sure that there are lists for all numbers below `count`.
    pub(crate) fn grow(&mut self, count: usize) {
        if self.heads.len() < count {
            self.heads.resize(count, Head::default());
        }
    }

    pub(crate) fn list(&self, number: u32) -> &[T] {
        let head = self.heads[number as usize];
        let (array, start) = locate(head.start);
        &self.arrays[array][start..start + head.length as usize]
    }

    pub(crate) fn list_mut(&mut self, number: u32) -> &mut [T] {
        let head = self.heads[number as usize];
        let (array, start) = locate(head.start);
        &mut self.arrays[array][start..start + head.length as usize]
    }

    /// Reads where a list is, so that this is in the processor's cache.
    pub(crate) fn read_head(&self, number: u32) {
        black_box(self.heads[number as usize].length);
    }

    /// Reads a list, so that it is in the processor's cache. Of a long one the part that a search for a value begins with.
    pub(crate) fn read_list(&self, number: u32) {
        let list = self.list(number);
        let step = (CACHE_LINE_BYTES / size_of::<T>()).max(1);
        let step = step.max(list.len() / READ_MAX);
        list.iter().step_by(step).chain(list.last()).for_each(|value| {
            black_box(*value);
        });
    }

    /// A number kept beside the list, 0 at first.
    pub(crate) fn note(&self, number: u32) -> u32 {
        self.heads[number as usize].note
    }

    pub(crate) fn set_note(&mut self, number: u32, note: u32) {
        self.heads[number as usize].note = note;
    }

    /// Puts `value` at `position`, moving those behind it.
    ///
    /// # Panics
    /// With more than 2^31 values in all lists together.
    pub(crate) fn insert(&mut self, number: u32, position: usize, value: T) {
        let head = self.heads[number as usize];
        if head.length == head.capacity {
            self.relocate(number, head.capacity + 1 + head.capacity / 4);
        }
        let head = &mut self.heads[number as usize];
        head.length += 1;
        let list = self.list_mut(number);
        list.copy_within(position..list.len() - 1, position + 1);
        list[position] = value;
        self.compact();
    }

    /// Removes the value at `position`.
    pub(crate) fn remove(&mut self, number: u32, position: usize) {
        let list = self.list_mut(number);
        list.copy_within(position + 1.., position);
        let head = &mut self.heads[number as usize];
        head.length -= 1;
        // Half empty: the rest becomes a hole.
        if head.length < head.capacity / 2 {
            let capacity = head.length;
            self.relocate(number, capacity);
        }
        self.compact();
    }

    /// Bytes of both arrays and of the heads.
    pub(crate) fn bytes(&self) -> usize {
        let values: usize = self.arrays.iter().map(Vec::len).sum();
        values * size_of::<T>() + self.heads.len() * size_of::<Head>()
    }

    fn relocate(&mut self, number: u32, capacity: u32) {
        let head = self.heads[number as usize];
        let (array, start) = locate(head.start);
        let is_last = array == self.target && start + head.capacity as usize == self.arrays[array].len();
        let grown = if is_last && capacity >= head.capacity {
            let end = start + capacity as usize;
            assert!(end <= VALUES_MAX, "an index server holds at most 2^31 values of a kind");
            self.arrays[array].resize(end, T::default());
            head.start
        } else {
            let target = self.target;
            let new_start = self.arrays[target].len();
            let end = new_start + capacity as usize;
            assert!(end <= VALUES_MAX, "an index server holds at most 2^31 values of a kind");
            if array == target {
                let list = start..start + head.length as usize;
                self.arrays[target].extend_from_within(list);
                self.holes += head.capacity as usize;
            } else {
                let (first, second) = self.arrays.split_at_mut(1);
                let (from, to) = if array == 0 { (&first[0], &mut second[0]) } else { (&second[0], &mut first[0]) };
                to.extend_from_slice(&from[start..start + head.length as usize]);
            }
            self.arrays[target].resize(end, T::default());
            new_start as u32 | if target == 1 { SECOND } else { 0 }
        };
        let head = &mut self.heads[number as usize];
        (head.start, head.capacity) = (grown, capacity);
    }

    /// Moves some lists when holes have to be closed.
    fn compact(&mut self) {
        let mut next = match self.moved {
            Some(next) => next,
            None if self.holes > HOLES_MIN.max(self.arrays[self.target].len() / 4) => {
                self.target = 1 - self.target;
                self.holes = 0;
                0
            }
            None => return,
        };
        let end = (next + MOVED_AT_ONCE).min(self.heads.len());
        while next < end {
            let head = self.heads[next];
            if locate(head.start).0 != self.target {
                self.relocate(next as u32, head.length);
            }
            next += 1;
        }
        self.moved = if end == self.heads.len() {
            self.arrays[1 - self.target] = vec![];
            None
        } else {
            Some(end)
        };
    }
}

fn locate(start: u32) -> (usize, usize) {
    ((start >> 31) as usize, (start & !SECOND) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn holes_are_closed() {
        let mut lists = Lists::new();
        lists.grow(1000);
        for value in 0..100u32 {
            for number in 0..1000 {
                lists.insert(number, lists.list(number).len(), value);
            }
        }
        assert!((0..1000).all(|number| lists.list(number).iter().copied().eq(0..100)));
        let needed = 1000 * 100 * 4 + 1000 * size_of::<Head>();
        // Room to grow is at most a quarter, holes are at most a quarter, or the move is in progress.
        assert!(lists.bytes() < needed * 2, "{} bytes for {needed}", lists.bytes());
        for number in 0..1000 {
            while !lists.list(number).is_empty() {
                lists.remove(number, 0);
            }
        }
        assert!(lists.bytes() < 200_000, "{} bytes for nothing", lists.bytes());
    }

    proptest! {
        #[test]
        fn like_vectors(changes in proptest::collection::vec((0u32..6, any::<bool>(), any::<prop::sample::Index>()), 0..600)) {
            let mut lists = Lists::new();
            lists.grow(6);
            let mut vectors = vec![vec![]; 6];
            for (value, (number, is_insert, index)) in changes.into_iter().enumerate() {
                let vector = &mut vectors[number as usize];
                if is_insert {
                    let position = index.index(vector.len() + 1);
                    vector.insert(position, value);
                    lists.insert(number, position, value);
                } else if !vector.is_empty() {
                    let position = index.index(vector.len());
                    vector.remove(position);
                    lists.remove(number, position);
                }
                // As if the holes were many.
                if value % 50 == 0 && lists.moved.is_none() {
                    lists.holes = HOLES_MIN + lists.arrays[lists.target].len();
                }
                prop_assert!((0..6).all(|number| lists.list(number) == vectors[number as usize]));
            }
        }
    }
}
