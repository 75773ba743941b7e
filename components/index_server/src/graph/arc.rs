//! A friendship as one of its ends sees it, in 16 bytes.

/// Both directions between a node (whose list this is in) and a friend: what they hold and what they cost. Capacities are
/// codes ([`super::capacity`]), rates are numbers ([`super::rates`]), each of 24 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Arc {
    friend: u32,
    /// Capacity from the friend to the node; above it the lowest 8 bits of the friend's rate.
    inward: u32,
    /// Capacity from the node to the friend; above it the next 8 bits of the friend's rate.
    outward: u32,
    /// The node's rate; above it the highest 8 bits of the friend's rate.
    rate: u32,
}

/// One direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Direction {
    /// The code of the capacity.
    pub(crate) capacity: u32,
    /// The number of the rate that the end which receives has set for the end which sends.
    pub(crate) rate: u32,
}

const LOW: u32 = (1 << 24) - 1;

impl Arc {
    /// `inward` leads from the friend to the node, `outward` from the node to the friend.
    pub(crate) fn new(friend: u32, inward: Direction, outward: Direction) -> Self {
        let byte = |position: u32| (outward.rate >> (8 * position) & 0xff) << 24;
        Arc {
            friend,
            inward: inward.capacity | byte(0),
            outward: outward.capacity | byte(1),
            rate: inward.rate | byte(2),
        }
    }

    /// The other end.
    pub(crate) fn friend(self) -> u32 {
        self.friend
    }

    /// From the friend to the node.
    pub(crate) fn inward(self) -> Direction {
        Direction { capacity: self.inward & LOW, rate: self.rate & LOW }
    }

    /// From the node to the friend.
    pub(crate) fn outward(self) -> Direction {
        let rate = self.inward >> 24 | self.outward >> 24 << 8 | self.rate >> 24 << 16;
        Direction { capacity: self.outward & LOW, rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_comes_back() {
        assert_eq!(size_of::<Arc>(), 16);
        for (a, b, c, d) in [(1, 2, 3, 4), (LOW, 0, LOW, 0), (0, LOW, 0, LOW), (0x123456, 0x789abc, 0xdef012, 0x345678)]
        {
            let arc = Arc::new(7, Direction { capacity: a, rate: b }, Direction { capacity: c, rate: d });
            let (inward, outward) = (arc.inward(), arc.outward());
            assert_eq!((inward.capacity, inward.rate, outward.capacity, outward.rate), (a, b, c, d));
            assert_eq!(arc.friend(), 7);
        }
    }
}
