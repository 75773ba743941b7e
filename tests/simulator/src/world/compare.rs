//! Whether a restart would load what the running node holds, beside its accounts.

use offst_funder::{Funder, FunderImage, Part, Payment, Progress};
use std::collections::BTreeMap;

/// Every row beside those of the accounts is what the machine holds: friends with names, rates and standings, relays, index
/// servers, settings, what is forwarded and what ends here, invoices, payments, the recovery.
///
/// # Panics
/// When a restart would load something else.
pub(super) fn check_rows(live: &Funder, stored: &Funder) {
    let what = "what the machine holds and what the disk gives back";
    let (live, stored): (FunderImage, FunderImage) = (live.rows(), stored.rows());
    assert_eq!(live.friends, stored.friends, "{what}: friends");
    assert_eq!(live.tombstones, stored.tombstones, "{what}: accounts that are over");
    assert_eq!(live.replacements, stored.replacements, "{what}: keys that were replaced");
    assert_eq!(live.relays, stored.relays, "{what}: relays");
    assert_eq!(live.index_servers, stored.index_servers, "{what}: index servers");
    assert_eq!(live.forwards, stored.forwards, "{what}: requests that are forwarded");
    assert_eq!(live.written_off, stored.written_off, "{what}: requests that were written off");
    assert_eq!(live.arrivals, stored.arrivals, "{what}: requests that end here");
    assert_eq!(live.invoices, stored.invoices, "{what}: invoices");
    assert_eq!(live.spendings, stored.spendings, "{what}: what applications have spent");
    assert_eq!(live.auto_clear, stored.auto_clear, "{what}: the clearing of debt cycles");
    assert_eq!(live.recovery, stored.recovery, "{what}: the recovery");
    check_payments(live.payments, stored.payments);
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
