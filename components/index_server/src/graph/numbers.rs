//! The numbers of nodes: an open-addressing hash table of numbers, beside an array of the keys by number.
//!
//! An attacker can choose keys. So the slot of a key depends on a seed that nobody outside knows; otherwise some thousand
//! keys chosen to collide would make every lookup slow. No answer depends on the seed.

use offst_crypto::PublicKey;
use std::hint::black_box;

const EMPTY: u32 = u32::MAX;
const FIRST_SLOTS: usize = 8;

/// Nodes by key and by number. Numbers of removed nodes are used again.
#[derive(Debug)]
pub(crate) struct Numbers {
    slots: Vec<u32>,
    used: usize,
    keys: Vec<PublicKey>,
    free: Vec<u32>,
    seed: u64,
}

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Numbers { slots: vec![EMPTY; FIRST_SLOTS], used: 0, keys: vec![], free: vec![], seed }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// One more than the largest number ever given.
    pub(crate) fn end(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn key(&self, number: u32) -> PublicKey {
        self.keys[number as usize]
    }

    /// The number of a node that has one.
    pub(crate) fn find(&self, key: &PublicKey) -> Option<u32> {
        let number = self.slots[self.slot_of(key)];
        (number != EMPTY).then_some(number)
    }

    /// Reads the slot where the search for a key begins. Gives the number that is there.
    pub(super) fn read_slot(&self, key: &PublicKey) -> u32 {
        black_box(self.slots[self.home(key)])
    }

    /// Reads the key that has a number, if one has.
    pub(super) fn read_key(&self, number: u32) {
        black_box(self.keys.get(number as usize).map(|key| key.as_bytes()[0]));
    }

    /// The number of a node, a new one if it has none.
    ///
    /// # Panics
    /// With more than 2^32 - 1 nodes.
    pub(crate) fn find_or_add(&mut self, key: PublicKey) -> u32 {
        if let Some(number) = self.find(&key) {
            return number;
        }
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.enlarge();
        }
        let number = match self.free.pop() {
            Some(number) => {
                self.keys[number as usize] = key;
                number
            }
            None => {
                assert!(self.keys.len() < EMPTY as usize, "an index server holds less than 2^32 nodes");
                self.keys.push(key);
                (self.keys.len() - 1) as u32
            }
        };
        let slot = self.slot_of(&key);
        self.slots[slot] = number;
        self.used += 1;
        number
    }

    /// Removes a node. Its number is free again.
    pub(crate) fn remove(&mut self, number: u32) {
        let mask = self.slots.len() - 1;
        let mut hole = self.slot_of(&self.keys[number as usize]);
        if self.slots[hole] != number {
            return;
        }
        // The entries after it move up, so that no search ends at the hole.
        let mut next = hole;
        loop {
            next = (next + 1) & mask;
            if self.slots[next] == EMPTY {
                break;
            }
            let home = self.home(&self.keys[self.slots[next] as usize]);
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
        }
        self.slots[hole] = EMPTY;
        self.used -= 1;
        self.free.push(number);
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.slots.len() + self.free.len()) * 4 + self.keys.len() * size_of::<PublicKey>()
    }

    /// Where the search for a key begins.
    fn home(&self, key: &PublicKey) -> usize {
        let mut hash = self.seed;
        for part in key.as_bytes().chunks_exact(8) {
            let part = part.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            // Multiplied to 128 bits and folded, so that every bit of the key and of the seed matters.
            let product = u128::from(hash ^ part) * u128::from(0x9e37_79b9_7f4a_7c15 ^ self.seed.rotate_left(32) | 1);
            hash = (product as u64 ^ (product >> 64) as u64).wrapping_add(self.seed);
        }
        hash as usize & (self.slots.len() - 1)
    }

    /// Where a key is, or would be.
    fn slot_of(&self, key: &PublicKey) -> usize {
        let mut slot = self.home(key);
        while self.slots[slot] != EMPTY && self.keys[self.slots[slot] as usize] != *key {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    fn enlarge(&mut self) {
        let slots = vec![EMPTY; self.slots.len() * 2];
        for number in std::mem::replace(&mut self.slots, slots) {
            if number != EMPTY {
                let slot = self.slot_of(&self.keys[number as usize]);
                self.slots[slot] = number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn key(seed: u16) -> PublicKey {
        let mut bytes = [9; 32];
        bytes[30..].copy_from_slice(&seed.to_be_bytes());
        PublicKey::from_bytes(bytes).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn like_a_map(changes in proptest::collection::vec((0u16..60, any::<bool>()), 0..400), seed: u64) {
            let mut numbers = Numbers::new(seed);
            let mut known = BTreeMap::new();
            for (name, is_added) in changes {
                if is_added {
                    let number = numbers.find_or_add(key(name));
                    prop_assert_eq!(*known.entry(name).or_insert(number), number);
                } else if let Some(number) = known.remove(&name) {
                    numbers.remove(number);
                }
                for name in 0..60 {
                    prop_assert_eq!(numbers.find(&key(name)), known.get(&name).copied());
                }
                prop_assert!(known.iter().all(|(name, number)| numbers.key(*number) == key(*name)));
                prop_assert_eq!(numbers.is_empty(), known.is_empty());
            }
            prop_assert!(numbers.end() <= 60);
        }
    }
}
