//! A signer that refuses what nobody may ever sign: two statements with one number, or two Openings for one epoch.

use offst_crypto::{PublicKey, Signature, Signer};
use offst_funder::{AccountId, RequestRef};
use offst_proto::Unverified;
use offst_proto::opening::Opening;
use offst_proto::statement::{Operation, Statement};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The place of a statement: the friend, the currency, the epoch and the number in it. An Opening stands before the
/// first.
pub(super) type Place = (PublicKey, String, u64, u64);

#[derive(Default)]
struct Entries {
    /// Signed by a batch that is not on the disk yet: when the process dies, nobody has seen it.
    fresh: BTreeMap<Place, Vec<u8>>,
    durable: BTreeMap<Place, Vec<u8>>,
    /// Signed before somebody put an older disk back in silence. What no friend has received may be signed again.
    torn: BTreeMap<Place, Vec<u8>>,
    /// Positions of these that were signed again with other content: not on the disk yet.
    again: Vec<Place>,
    /// What the signed requests hold, credits: not on the disk yet, and on it.
    fresh_requests: Vec<(RequestRef, u128)>,
    requests: BTreeMap<RequestRef, u128>,
    /// Requests that statements collect: not on the disk yet, and, each with how often it was collected, on it.
    fresh_collects: Vec<RequestRef>,
    collects: BTreeMap<RequestRef, usize>,
}

/// What a node has signed, in all runs of its process. It is beside the node's disk, which is what it checks.
#[derive(Clone, Default)]
pub(super) struct SignerLog(Arc<Mutex<Entries>>);

impl SignerLog {
    fn entries<T>(&self, with: impl FnOnce(&mut Entries) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The transaction is written.
    pub(super) fn committed(&self) {
        self.entries(|entries| {
            let fresh = std::mem::take(&mut entries.fresh);
            entries.durable.extend(fresh);
            for hop in std::mem::take(&mut entries.fresh_collects) {
                *entries.collects.entry(hop).or_default() += 1;
            }
            let fresh = std::mem::take(&mut entries.fresh_requests);
            entries.requests.extend(fresh);
        });
    }

    /// The process died before its transaction was written.
    pub(super) fn reset_memory(&self) {
        self.entries(|entries| {
            entries.fresh.clear();
            entries.fresh_collects.clear();
            entries.fresh_requests.clear();
            entries.again.clear();
        });
    }

    /// Whether this content was signed once, and the transaction was written.
    pub(super) fn knows(&self, statement: &Statement, message: &[u8]) -> bool {
        let place = (statement.other, statement.currency.to_string(), statement.epoch, statement.seq);
        self.entries(|entries| {
            [entries.durable.get(&place), entries.torn.get(&place)].into_iter().flatten().any(|known| known == message)
        })
    }

    /// How many requests were collected in statements.
    pub(super) fn collect_count(&self) -> usize {
        self.entries(|entries| entries.collects.len())
    }

    /// All requests that were collected in statements.
    pub(super) fn collects(&self) -> BTreeSet<RequestRef> {
        self.entries(|entries| entries.collects.keys().cloned().collect())
    }

    /// In how many statements a request was collected.
    pub(super) fn times_collected(&self, hop: &RequestRef) -> usize {
        self.entries(|entries| entries.collects.get(hop).copied().unwrap_or(0))
    }

    /// What each signed request holds, credits.
    pub(super) fn requests(&self) -> BTreeMap<RequestRef, u128> {
        self.entries(|entries| entries.requests.clone())
    }

    /// Somebody has put an old disk back by hand, and said nothing: whatever nobody has received may be signed again.
    pub(super) fn torn_out(&self) {
        self.entries(|entries| {
            let torn = std::mem::take(&mut entries.durable);
            entries.torn.extend(torn);
        });
    }

    /// A disk was lost while the clock shows less than it has shown before. So nothing says for which epochs Openings
    /// were signed that no friend has received, and another one may be signed for each of them (protocol, *Lost and old
    /// state*).
    pub(super) fn openings_torn_out(&self) {
        self.entries(|entries| {
            let signed = std::mem::take(&mut entries.durable).into_iter();
            let (openings, statements) = signed.partition::<BTreeMap<_, _>, _>(|((.., seq), _)| *seq == 0);
            entries.durable = statements;
            entries.torn.extend(openings);
        });
    }

    /// A disk was lost, and these friends, who lie, have put epochs ahead of the clock, which shows `unix_ms`. So it
    /// does not say for which of these Openings were signed: when such a friend shows the same older state after each
    /// of two losses, the same epoch is begun twice. What was signed in it first is a fork then, and can stop the
    /// account (protocol, *Lost and old state*).
    pub(super) fn torn_out_ahead(&self, liars: &[PublicKey], unix_ms: u64) {
        self.entries(|entries| {
            let signed = std::mem::take(&mut entries.durable).into_iter();
            let (ahead, others) = signed.partition::<BTreeMap<_, _>, _>(|((friend, _, epoch, _), _)| {
                *epoch >= unix_ms && liars.contains(friend)
            });
            entries.durable = others;
            entries.torn.extend(ahead);
        });
    }

    /// Places at which a second statement was signed since an older disk was put back in silence, each told once.
    pub(super) fn signed_again(&self) -> Vec<Place> {
        self.entries(|entries| std::mem::take(&mut entries.again))
    }

    /// An Opening may stand beside one that was signed before somebody put an older disk back in silence: whether the
    /// friend has received that, its owner has to know.
    fn open(&self, opening: &Opening, message: &[u8]) {
        let place = (opening.other, opening.currency.to_string(), opening.epoch, 0);
        self.entries(|entries| {
            for known in [entries.fresh.get(&place), entries.durable.get(&place)].into_iter().flatten() {
                assert!(known == message, "a second opening is signed for one epoch: {opening:?}");
            }
            entries.fresh.insert(place, message.to_vec());
        });
    }

    fn sign(&self, message: &[u8]) {
        let wire = [message, &[0; Signature::LEN]].concat();
        if let Ok(opening) = Unverified::<Opening>::from_wire(&wire) {
            return self.open(opening.peek(), message);
        }
        let Ok(statement) = Unverified::<Statement>::from_wire(&wire) else { return };
        let statement = statement.peek();
        let place = (statement.other, statement.currency.to_string(), statement.epoch, statement.seq);
        self.entries(|entries| {
            for known in [entries.fresh.get(&place), entries.durable.get(&place)].into_iter().flatten() {
                assert!(known == message, "a second statement is signed for one number: {statement:?}");
            }
            if entries.torn.get(&place).is_some_and(|known| known != message) {
                entries.again.push(place.clone());
            }
            entries.fresh.insert(place, message.to_vec());
            for operation in &statement.operations {
                let account_id = AccountId { friend: statement.other, currency: statement.currency.clone() };
                match operation {
                    Operation::Collect { id, .. } => entries.fresh_collects.push(account_id.request(*id)),
                    Operation::Request(request) => {
                        entries.fresh_requests.push((account_id.request(request.id), request.held().credits()))
                    }
                    _ => {}
                }
            }
        });
    }
}

/// Signs what its log allows.
pub(super) struct CarefulSigner {
    pub(super) signer: Box<dyn Signer>,
    pub(super) signer_log: SignerLog,
}

impl Signer for CarefulSigner {
    fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.signer_log.sign(message);
        self.signer.sign(message)
    }

    fn derive(&self, label: &str, context: &[u8]) -> [u8; 32] {
        self.signer.derive(label, context)
    }
}
