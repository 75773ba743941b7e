//! What an application has spent, in the periods that are remembered.
//!
//! Clocks jump. Two periods are remembered: the one that runs, and another one, from before a jump or from where the
//! clock had jumped to. Neither comes about again, nor does one before both, or one that was dropped between them. What
//! lies between the two has never run, so a clock that was ahead and is right again stops nobody. (What is under way
//! while a clock jumps between two periods that have both run counts where it ends: there the sum may be exceeded by
//! it, once.)

use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::budget::{Budget, Period};
use offst_proto::calendar::DAY_MS;
use offst_proto::encoding::Decoder;
use offst_rows::{FieldReader, FieldWriter, Kind, Row, RowError, Table};

/// What an application has spent of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// Which time of being bounded it belongs to: [`offst_proto::budget::Budgets::since_ms`].
    pub since_ms: u64,
    /// How long it counts.
    pub period: Option<Period>,
    /// When the period is over, unix ms; `u64::MAX`: never.
    pub until_ms: u64,
    /// What was paid in it, fees included, credits.
    pub spent: u128,
    /// When another period is over in which something was paid, unix ms, and what: the last one, or the one that a
    /// clock had shown that was ahead.
    pub other: Option<(u64, u128)>,
}

/// A period that ends later than this was begun by a clock that was ahead: no period is half as long.
const FAR_MS: u64 = 62 * DAY_MS;

/// What was spent by each application, in each currency.
pub type Spendings = Table<Spending>;

impl Spending {
    /// What counts now: what is stored, or a new period. When the owner has changed the period, what was spent in the
    /// one before goes on counting in the one that runs now.
    /// (R6.7.)
    pub(super) fn running(stored: Option<&Spending>, since_ms: u64, budget: &Budget, now_ms: u64) -> Spending {
        let until_ms = budget.period.map_or(u64::MAX, |period| period.end_ms(now_ms));
        let fresh = Spending { since_ms, period: budget.period, until_ms, spent: 0, other: None };
        match stored.filter(|stored| stored.since_ms == since_ms) {
            None => fresh,
            Some(stored) if stored.period == budget.period => stored.at(fresh, now_ms),
            // `u64::MAX` is no moment.
            Some(stored) if stored.until_ms <= now_ms && stored.until_ms < u64::MAX => fresh,
            Some(stored) => Spending { spent: stored.spent, ..fresh },
        }
    }

    /// The same at another time, in a period of its own if that has never run before. `fresh`: the period of that time.
    fn at(&self, fresh: Spending, now_ms: u64) -> Spending {
        let here = (self.until_ms, self.spent);
        let (early, late) = match self.other {
            Some(other) => (Some(here.min(other)), here.max(other)),
            None => (None, here),
        };
        let run = |(until_ms, spent), other| Spending { until_ms, spent, other, ..fresh };
        match early {
            _ if fresh.until_ms == late.0 => run(late, early),
            _ if fresh.until_ms > late.0 => run((fresh.until_ms, 0), Some(late)),
            Some(early) if fresh.until_ms < early.0 && early.0 - now_ms > FAR_MS => {
                // A clock has shown two times that were far ahead. What was spent there counts here, for once.
                run((fresh.until_ms, early.1), Some(late))
            }
            Some(early) if fresh.until_ms <= early.0 => run(early, Some(late)),
            Some(_) | None => run((fresh.until_ms, 0), Some(late)),
        }
    }
}

/// By the application and the currency.
impl Row for Spending {
    const KIND: Kind = Kind::state(38, "budgets");
    type Key = (PublicKey, Currency);

    fn write(&self, fields: &mut FieldWriter) {
        fields.with(2, |encoder| encoder.u64(self.since_ms));
        fields.option(4, self.period.as_ref());
        fields.with(6, |encoder| encoder.u64(self.until_ms));
        fields.with(8, |encoder| encoder.u128(self.spent));
        fields.option_with(10, self.other, |encoder, (until_ms, spent)| {
            encoder.u64(until_ms);
            encoder.u128(spent);
        });
    }

    fn read(_: &Self::Key, fields: &mut FieldReader<'_>) -> Result<Self, RowError> {
        Ok(Spending {
            since_ms: fields.with(2, Decoder::u64)?,
            period: fields.option(4)?,
            until_ms: fields.with(6, Decoder::u64)?,
            spent: fields.with(8, Decoder::u128)?,
            other: fields.option_with(10, |decoder| Ok((decoder.u64()?, decoder.u128()?)))?,
        })
    }
}
