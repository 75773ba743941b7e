//! What must hold when everything has come to rest: no credit came or went, no debt is above its limit, nothing is pending, and
//! everybody has what the receipts say.

use super::market::Market;
use offst_crypto::PublicKey;
use offst_ledger::Account;

impl Market {
    /// Everything is at rest and right.
    pub(super) fn check(&self) {
        let mut sum = 0;
        for (place, person) in self.people.iter().enumerate() {
            assert_eq!(person.notes.underway.len(), 0, "requests are left at {place}");
            for (key, account) in person.funder().accounts() {
                self.check_account(place, key, account);
            }
            sum += person.wealth();
        }
        assert_eq!(sum, 0, "credits came or went");
        let mut expected = vec![0_i128; self.people.len()];
        for deal in self.outcome.deals.iter().filter(|deal| deal.is_paid()) {
            expected[deal.buyer] -= i128::from(deal.amount) + signed(deal.fees);
            expected[deal.seller] += i128::from(deal.amount);
        }
        for (place, person) in self.people.iter().enumerate() {
            let expected = expected[place] + signed(person.notes.earned) - signed(person.notes.rebalancing_fees);
            assert_eq!(person.wealth(), expected, "what {place} has, and what the payments say");
        }
    }

    fn check_account(&self, place: usize, key: PublicKey, account: &Account) {
        let other = self.people[place].friends[&key].place;
        let own = self.people[place].key;
        let mut accounts = self.people[other].funder().accounts();
        let (_, mirror) = accounts.find(|(key, _)| *key == own).expect("friendships have two ends");
        let epoch = account.active().expect("no account was stopped");
        let theirs = mirror.active().expect("no account was stopped");
        assert_eq!(epoch.pendings().count(), 0, "requests are pending between {place} and {other}");
        assert_eq!(epoch.balance(), -theirs.balance(), "the balances of {place} and {other}");
        assert!(epoch.balance() <= signed(account.limit().credits()), "{other} owes {place} more than {place} allows");
    }
}

fn signed(credits: u128) -> i128 {
    i128::try_from(credits).expect("credits of this economy are few")
}
