//! Searches of the history for friends, beside everything else. A long history takes time to read: a friend that asks faster
//! than it can be read is not answered, and friends take turns, so that these searches never occupy more than one thread.

use crate::core_queue::{CoreQueue, Source};
use crate::fair_mutex::FairMutex;
use crate::messages::CoreEvent;
use offst_crypto::PublicKey;
use offst_funder::{ConnectionId, Found, Input, Inquiry};
use offst_store::History;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Inquiries of one friend that wait for their answers. It asks again what is not answered.
const WAITING_MAX: usize = 16;

/// The searches in progress.
pub(crate) struct HistoryQueries {
    archive: Arc<FairMutex<History>>,
    waiting: BTreeMap<PublicKey, usize>,
}

impl HistoryQueries {
    pub(crate) fn new(archive: History) -> Self {
        HistoryQueries { archive: Arc::new(FairMutex::new(archive)), waiting: BTreeMap::new() }
    }

    /// Searches for `friend`, or for this node itself, which is named like a friend. What is found arrives in the queue of the core thread,
    /// which then calls [`HistoryQueries::finished`].
    pub(crate) fn start(
        &mut self,
        friend: PublicKey,
        connection: ConnectionId,
        inquiry: Inquiry,
        runtime: &Handle,
        core: CoreQueue,
    ) {
        // This node's own inquiries are few, and nobody would repeat them.
        let is_own = matches!(inquiry, Inquiry::Own { .. });
        let waiting = self.waiting.entry(friend).or_default();
        if *waiting >= WAITING_MAX && !is_own {
            return;
        }
        *waiting += 1;
        let archive = self.archive.clone();
        runtime.spawn(async move {
            let archive = archive.lock(friend).await;
            let read = tokio::task::spawn_blocking(move || {
                inquiry.look_up(friend, &*archive).unwrap_or_else(|error| {
                    log::error!("the history cannot be read for a friend: {error}");
                    Found::Nothing
                })
            });
            let found = read.await.unwrap_or(Found::Nothing);
            // A node that is stopping answers nobody.
            let event = CoreEvent::Input(Input::Found(friend, connection, found));
            let _ = core.send(Source::Friend(friend), event, 0).await;
        });
    }

    /// A search for `friend` has ended.
    pub(crate) fn finished(&mut self, friend: PublicKey) {
        if let Some(waiting) = self.waiting.get_mut(&friend) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(&friend);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::RequestId;
    use offst_proto::resolve::End;
    use offst_store::Store;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn inquiries_that_come_too_fast_are_not_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.db");
        let key = |seed| Identity::from_seed([seed; 32]).public_key();
        Store::create(&path, key(1)).unwrap();
        let mut queries = HistoryQueries::new(History::open(&path).unwrap());
        let (core, mut receiver) = crate::core_queue::core_queue();
        // Nothing is read while this lock is held.
        let reading = queries.archive.lock(key(9)).await;
        let ids = [1, 2].map(|byte| RequestId::from_bytes([byte; 16]));
        let ends = Inquiry::Ends {
            ids: ids.to_vec(),
            pending: BTreeSet::new(),
            unheard: BTreeMap::new(),
            otherwise: End::Unknown,
        };
        let own = Inquiry::Own { ids: BTreeSet::from(ids) };
        let ask = |queries: &mut HistoryQueries, seed, inquiry: &Inquiry| {
            queries.start(key(seed), 1, inquiry.clone(), &Handle::current(), core.clone());
        };
        for _ in 0..WAITING_MAX + 5 {
            ask(&mut queries, 2, &ends);
            ask(&mut queries, 1, &own);
        }
        ask(&mut queries, 3, &ends);
        assert_eq!(queries.waiting, BTreeMap::from([(key(1), WAITING_MAX + 5), (key(2), WAITING_MAX), (key(3), 1)]));
        assert!(receiver.try_next().is_none());
        drop(reading);
        for _ in 0..2 * WAITING_MAX + 6 {
            let CoreEvent::Input(Input::Found(friend, 1, _)) = receiver.next().await else { panic!("something else") };
            queries.finished(friend);
        }
        assert!(queries.waiting.is_empty());
        ask(&mut queries, 2, &ends);
        let CoreEvent::Input(Input::Found(_, _, found)) = receiver.next().await else { panic!("something else") };
        assert_eq!(found, Found::Ends(ids.map(|id| (id, End::Unknown)).to_vec()));
    }
}
