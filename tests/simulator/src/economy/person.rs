//! One node of the economy: a real funder with real rules for publishing and asking.

use crate::keys::{Dice, FakeSigner, FakeVerifier};
use offst_crypto::{PublicKey, Signer};
use offst_funder::{
    Cycle, Environment, Forward, ForwardedPayment, Funder, InboundPart, Input, Moment, Output, Payment, Progress,
    RequestRef, Timing,
};
use offst_index_client::{self as client, Config, Publication, Publisher, RouteCache};
use offst_proto::fee_bound::FeeBounds;
use offst_rows::{Commit, ReadChange, Row, RowChange, Rows};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// How long a node uses an answer of the index server again: the default of a node, ms.
const ROUTE_REUSE_MS: u64 = 1_000;
/// Nobody loses a disk here, so nobody keeps backups for others, ms.
const NEVER_MS: u64 = 1 << 50;

/// A friend, seen from one person.
#[derive(Debug, Clone, Copy)]
pub(super) struct Friend {
    /// Its place among all people.
    pub(super) place: usize,
    /// How long a frame takes.
    pub(super) delay_ms: u64,
    /// What we send it, in the flow of all credit lines.
    pub(super) direction: u32,
}

/// What a node has written that is of interest later. Nobody dies here, so nothing is read again.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Requests that are carried on or end here.
    pub(super) underway: BTreeSet<RequestRef>,
    /// Credits that were taken for carrying requests on.
    pub(super) earned: u128,
    /// Credits that rebalancing has cost.
    pub(super) rebalancing_fees: u128,
    /// Debt cycles that this node has cleared, and by how many credits the debts of all in them became smaller.
    pub(super) cleared: (u64, u128),
}

impl Commit for Notes {
    type Error = Infallible;

    fn commit(&mut self, changes: &[RowChange]) -> Result<(), Infallible> {
        for change in changes {
            if let Some((key, forward)) = of::<Forward>(change) {
                self.record_underway(key, forward.is_some());
            }
            if let Some((key, inbound_part)) = of::<InboundPart>(change) {
                self.record_underway(key, inbound_part.is_some());
            }
            if let Some((_, Some(ForwardedPayment { report, .. }))) = of(change) {
                self.earned += report.fee.credits();
            }
            if let Some((_, Some(payment))) = of::<Payment>(change)
                && payment.progress == Progress::Paid
            {
                self.record_paid(&payment);
            }
        }
        Ok(())
    }
}

/// A change of a row of this type.
fn of<T: Row>(change: &RowChange) -> Option<ReadChange<T>> {
    change.read().expect("a row that was written can be read")
}

impl Notes {
    fn record_underway(&mut self, key: RequestRef, is_underway: bool) {
        if is_underway {
            self.underway.insert(key);
        } else {
            self.underway.remove(&key);
        }
    }

    fn record_paid(&mut self, payment: &Payment) {
        match payment.cycle {
            Some(Cycle::Clearing) => {
                let friends: usize = payment.parts.values().map(|part| part.path.len()).sum();
                self.cleared.0 += 1;
                self.cleared.1 += payment.total.credits() * friends as u128;
            }
            Some(Cycle::Rebalance(_)) => self.rebalancing_fees += payment.fees(),
            None => {}
        }
    }
}

/// One person's node.
pub(super) struct Person {
    pub(super) key: PublicKey,
    /// None only while it works.
    funder: Option<Funder>,
    environment: Environment,
    pub(super) notes: Notes,
    pub(super) publisher: Publisher,
    pub(super) routes: RouteCache,
    pub(super) friends: BTreeMap<PublicKey, Friend>,
    /// How long a frame takes to the index server.
    pub(super) index_delay_ms: u64,
    /// When its next timer is planned.
    pub(super) tick_ms: Option<u64>,
    /// When it is planned to publish.
    pub(super) publish_ms: Option<u64>,
    /// It moves credit around a cycle just now.
    pub(super) is_rebalancing: bool,
}

impl Person {
    pub(super) fn new(place: usize, dice: &mut Dice, clear_ms: u64, index_delay_ms: u64) -> Self {
        let signer = FakeSigner::numbered(place);
        let key = signer.public_key();
        let timing = Timing { clear_ms, backup_ms: NEVER_MS, backup_delay_ms: NEVER_MS, ..Timing::default() };
        Person {
            key,
            funder: Some(Funder::restore(key, Rows::default()).expect("a node without rows")),
            environment: Environment {
                signer: Box::new(signer),
                verifier: Box::new(FakeVerifier),
                random: Box::new(Dice::new(dice.throw())),
                timing,
                fee_bounds: FeeBounds::default(),
            },
            notes: Notes::default(),
            publisher: Publisher::new(key, Config::default()),
            routes: RouteCache::new(ROUTE_REUSE_MS),
            friends: BTreeMap::new(),
            index_delay_ms,
            tick_ms: None,
            publish_ms: None,
            is_rebalancing: false,
        }
    }

    /// Handles one input and gives what follows.
    pub(super) fn handle(&mut self, input: Input, now: Moment) -> Vec<Output> {
        let funder = self.funder.take().expect("it is there between two inputs");
        let mut batch = funder.batch(&mut self.environment, now);
        batch.handle(input);
        let Ok((funder, outputs)) = batch.finish().commit(&mut self.notes);
        self.funder = Some(funder);
        outputs
    }

    pub(super) fn funder(&self) -> &Funder {
        self.funder.as_ref().expect("it is there between two inputs")
    }

    /// What the index server is told now.
    pub(super) fn publish(&mut self, now: client::Timestamps) -> Vec<Publication> {
        self.publisher.poll(now, &*self.environment.signer)
    }

    /// What all friends owe, credits.
    pub(super) fn wealth(&self) -> i128 {
        self.funder().accounts().filter_map(|(_, account)| account.epoch()).map(|epoch| epoch.balance()).sum()
    }
}
