//! Seeded changes of an input.

use offst_simulator::keys::Dice;

/// Values that lie at the edge of something.
const EDGES: [u64; 10] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, u64::MAX / 2, u64::MAX];

/// A changed copy: some bits flipped, some bytes replaced, cut out, doubled or taken from `other`.
pub fn changed(input: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(bytes.len() + 1);
        let length = dice.below((bytes.len() - at).min(64) + 1);
        match dice.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let part = bytes[at..at + length].to_vec();
                bytes.splice(at..at, part);
            }
            3 => {
                let from = dice.below(other.len() + 1);
                let part = &other[from..(from + length).min(other.len())];
                let end = (at + part.len()).min(bytes.len());
                bytes.splice(at..end, part.iter().copied());
            }
            4 => {
                let edge = EDGES[dice.below(EDGES.len())];
                let edge = if dice.chance(50) { edge.to_be_bytes() } else { edge.to_le_bytes() };
                let width = 1 << dice.below(4);
                for (byte, new) in bytes.iter_mut().skip(at).zip(&edge[8 - width..]) {
                    *byte = *new;
                }
            }
            5 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = byte.wrapping_add(dice.throw() as u8)),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
        }
    }
    bytes
}
