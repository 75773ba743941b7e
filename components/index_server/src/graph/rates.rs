//! Every rate that is in use, once; arcs refer to it by its number.

use super::capacity::CODE_BITS;
use offst_proto::Amount;
use offst_proto::Rate;
use std::collections::BTreeMap;

/// Most different rates: arcs have 24 bits for a number.
const RATES_MAX: usize = 1 << CODE_BITS;

/// A rate as the search reads it, 16 bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PackedRate {
    add_low: u64,
    add_high: u32,
    mul: u32,
}

impl PackedRate {
    fn new(rate: Rate) -> Self {
        let add = rate.add.credits().min(Amount::MAX.credits() - 1);
        PackedRate { add_low: add as u64, add_high: (add >> 64) as u32, mul: rate.mul }
    }

    /// What a mediator takes for forwarding `amount`, at most [`Amount::MAX`]; the result may be above.
    pub(crate) fn fee(self, amount: u128) -> u128 {
        let add = u128::from(self.add_low) | u128::from(self.add_high) << 64;
        // The largest flat part does not fit into 96 bits and is held as one less; a rate of exactly one less costs 1 too much.
        add + u128::from(add == Amount::MAX.credits() - 1) + ((amount * u128::from(self.mul)) >> 32)
    }
}

/// Rates by number, with how often each is used.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    numbers: BTreeMap<Rate, u32>,
    rates: Vec<PackedRate>,
    names: Vec<Rate>,
    uses: Vec<u32>,
    free: Vec<u32>,
}

impl Rates {
    /// The number of `rate`, used once more. None when all numbers are taken.
    pub(crate) fn take(&mut self, rate: Rate) -> Option<u32> {
        if let Some(number) = self.numbers.get(&rate) {
            self.uses[*number as usize] += 1;
            return Some(*number);
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.rates.len() == RATES_MAX => return None,
            None => {
                self.rates.push(PackedRate::default());
                self.names.push(Rate::default());
                self.uses.push(0);
                (self.rates.len() - 1) as u32
            }
        };
        self.rates[number as usize] = PackedRate::new(rate);
        self.names[number as usize] = rate;
        self.uses[number as usize] = 1;
        self.numbers.insert(rate, number);
        Some(number)
    }

    /// The number of `new`, which is used once more instead of the rate `old`. None, and nothing has changed, when all
    /// numbers are taken.
    pub(crate) fn replace(&mut self, old: u32, new: Rate) -> Option<u32> {
        if self.names[old as usize] == new {
            return Some(old);
        }
        let number = self.take(new)?;
        self.release(old);
        Some(number)
    }

    /// Used once less.
    pub(crate) fn release(&mut self, number: u32) {
        let uses = &mut self.uses[number as usize];
        *uses -= 1;
        if *uses == 0 {
            self.numbers.remove(&self.names[number as usize]);
            self.free.push(number);
        }
    }

    /// All rates by number.
    pub(crate) fn table(&self) -> &[PackedRate] {
        &self.rates
    }

    /// Bytes of what a search reads.
    pub(crate) fn search_bytes(&self) -> usize {
        self.rates.len() * size_of::<PackedRate>()
    }

    /// Bytes of everything else, estimated.
    pub(crate) fn other_bytes(&self) -> usize {
        self.rates.len() * (2 * size_of::<Rate>() + 4 * 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shared_and_used_again() {
        let rate = |add| Rate { mul: 7, add };
        let mut rates = Rates::default();
        assert_eq!(
            (rates.take(rate(1.into())), rates.take(rate(2.into())), rates.take(rate(1.into()))),
            (Some(0), Some(1), Some(0))
        );
        rates.release(0);
        assert_eq!(rates.take(rate(3.into())), Some(2));
        rates.release(0);
        assert_eq!(rates.take(rate(4.into())), Some(0));
        assert_eq!(rates.table()[0].fee(0), 4);
        assert_eq!((rates.replace(0, rate(4.into())), rates.replace(0, rate(3.into()))), (Some(0), Some(2)));
        assert_eq!(rates.take(rate(5.into())), Some(0), "nobody uses 4 any more");
    }

    #[test]
    fn fees_are_those_of_the_protocol() {
        for rate in [
            Rate { mul: u32::MAX, add: Amount::MAX },
            Rate { mul: 42_949_673, add: 5.into() },
            Rate { mul: 0, add: Amount::capped(1 << 64) },
            Rate { mul: 1 << 30, add: 0.into() },
        ] {
            for amount in [0, 1, 1000, 1015, u128::from(u64::MAX), Amount::MAX.credits()] {
                let fee = PackedRate::new(rate).fee(amount);
                assert_eq!(Amount::new(fee), rate.fee(Amount::capped(amount)));
            }
        }
    }
}
