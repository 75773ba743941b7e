//! What friends have the database searched for, beside everything else. A long history takes its time: whoever asks faster than
//! it can be read is not answered, and the friends take turns, so that searches never occupy more than one thread.

use crate::core::Job;
use crate::jobs::{Jobs, Party};
use crate::turns::Turns;
use offst_crypto::PublicKey;
use offst_funder::{ConnectionId, Found, Input, Inquiry};
use offst_store::History;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Questions of one friend that wait for their answers. It asks again what is not answered.
const WAITING_MAX: usize = 16;

/// The searches that are under way.
pub(crate) struct LookUps {
    archive: Arc<Turns<History>>,
    waiting: BTreeMap<PublicKey, usize>,
}

impl LookUps {
    pub(crate) fn new(archive: History) -> Self {
        LookUps { archive: Arc::new(Turns::new(archive)), waiting: BTreeMap::new() }
    }

    /// Searches for `friend`, or for this node itself, which is named like a friend. What is found comes back as a job, with which
    /// the caller calls [`LookUps::ended`].
    pub(crate) fn begin(
        &mut self,
        friend: PublicKey,
        connection: ConnectionId,
        inquiry: Inquiry,
        runtime: &Handle,
        jobs: Jobs,
    ) {
        // This node's own questions are few, and nobody would ask them again.
        let is_own = matches!(inquiry, Inquiry::Own { .. });
        let waiting = self.waiting.entry(friend).or_default();
        if *waiting >= WAITING_MAX && !is_own {
            return;
        }
        *waiting += 1;
        let archive = self.archive.clone();
        runtime.spawn(async move {
            let archive = archive.next(friend).await;
            let read = tokio::task::spawn_blocking(move || {
                inquiry.look_up(friend, &*archive).unwrap_or_else(|error| {
                    log::error!("the history cannot be read for a friend: {error}");
                    Found::Nothing
                })
            });
            let found = read.await.unwrap_or(Found::Nothing);
            // A node that is stopping answers nobody.
            let job = Job::Input(Input::Found(friend, connection, found));
            let _ = jobs.bring(Party::Friend(friend), job, 0).await;
        });
    }

    /// A search for `friend` has come to its end.
    pub(crate) fn ended(&mut self, friend: PublicKey) {
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
    async fn questions_that_come_too_fast_are_not_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.db");
        let key = |seed| Identity::from_seed([seed; 32]).public_key();
        Store::create(&path, key(1)).unwrap();
        let mut look_ups = LookUps::new(History::open(&path).unwrap());
        let (jobs, mut heard) = crate::jobs::queue();
        // Nothing is read while somebody else reads.
        let reading = look_ups.archive.next(key(9)).await;
        let ids = [1, 2].map(|byte| RequestId::from_bytes([byte; 16]));
        let ends = Inquiry::Ends {
            ids: ids.to_vec(),
            pending: BTreeSet::new(),
            unheard: BTreeMap::new(),
            otherwise: End::Unknown,
        };
        let own = Inquiry::Own { ids: BTreeSet::from(ids) };
        let ask = |look_ups: &mut LookUps, seed, inquiry: &Inquiry| {
            look_ups.begin(key(seed), 1, inquiry.clone(), &Handle::current(), jobs.clone());
        };
        for _ in 0..WAITING_MAX + 5 {
            ask(&mut look_ups, 2, &ends);
            ask(&mut look_ups, 1, &own);
        }
        ask(&mut look_ups, 3, &ends);
        assert_eq!(look_ups.waiting, BTreeMap::from([(key(1), WAITING_MAX + 5), (key(2), WAITING_MAX), (key(3), 1)]));
        assert!(heard.take().is_none());
        drop(reading);
        for _ in 0..2 * WAITING_MAX + 6 {
            let Job::Input(Input::Found(friend, 1, _)) = heard.next().await else { panic!("something else") };
            look_ups.ended(friend);
        }
        assert!(look_ups.waiting.is_empty());
        ask(&mut look_ups, 2, &ends);
        let Job::Input(Input::Found(_, _, found)) = heard.next().await else { panic!("something else") };
        assert_eq!(found, Found::Ends(ids.map(|id| (id, End::Unknown)).to_vec()));
    }
}
