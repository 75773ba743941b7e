//! Whether a restart would load what the running node holds, beside its accounts.

use offst_funder::{Funder, Part, Payment, Progress};
use offst_rows::{Row, Rows};
use std::collections::BTreeMap;

/// Every row beside those of the accounts is what the machine holds: friends with names, rates and standings, relays, index
/// servers, settings, what is carried on and what ends here, invoices, payments, the recovery.
///
/// # Panics
/// When a restart would load something else.
pub(super) fn check_rows(live: &Funder, stored: &Funder) {
    let (mut live, mut stored) = (live.rows(), stored.rows());
    check_payments(payments(&mut live), payments(&mut stored));
    if live == stored {
        return;
    }
    let differ: Vec<_> = live.iter().filter(|row| !stored.iter().any(|other| other == *row)).collect();
    let lost: Vec<_> = stored.iter().filter(|row| !live.iter().any(|other| other == *row)).collect();
    panic!("the machine holds {differ:?} and the disk gives back {lost:?}");
}

fn payments(rows: &mut Rows) -> Vec<Payment> {
    let read =
        rows.read().expect("a row that was written can be read").into_iter().map(|(_, payment)| payment).collect();
    rows.take_bytes(Payment::KIND);
    read
}

/// Parts that nobody has committed bind nobody, so a payment may hold some, and the reason why others failed, that its row does
/// not: a restart begins with other ones.
fn check_payments(live: Vec<Payment>, stored: Vec<Payment>) {
    let what = "a payment as the machine holds it and as the disk gives it back";
    let mut stored: BTreeMap<_, Payment> = stored.into_iter().map(|payment| (payment.id, payment)).collect();
    for live in live {
        let stored = stored.remove(&live.id).unwrap_or_else(|| panic!("the disk does not know {live:?}"));
        if stored.progress == Progress::Committed {
            for (id, part) in &stored.parts {
                // The promise of a part that came in the place of another binds nobody before all have one.
                let held = live.parts.get(id).cloned();
                let held = held.map(|held| Part { promise: part.promise.and(held.promise), ..held });
                assert_eq!(held.as_ref(), Some(part), "{what}: a part of {}", live.id);
            }
        }
        let bare = |payment: Payment| Payment { parts: BTreeMap::new(), reason: String::new(), ..payment };
        assert_eq!(bare(live), bare(stored), "{what}");
    }
    assert!(stored.is_empty(), "the disk holds payments that the machine does not know: {stored:?}");
}
