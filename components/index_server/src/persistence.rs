//! Writes what is held to the file from time to time, in the background: nothing else waits for the disk.

use crate::counters::Counters;
use crate::state::{State, unix_ms};
use crate::update_file::{self, UpdateFile};
use offst_proto::index::BUCKETS;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Restores what the file holds.
pub(crate) fn restore(state: &State, path: &std::path::Path) {
    let mut count = 0;
    let loaded = update_file::load(path, |updates| {
        count += updates.len();
        state.decide(|replica| updates.iter().for_each(|(origin, update)| _ = replica.restore(update, *origin)));
    });
    state.decide(|replica| replica.tick(unix_ms()));
    if count > 0 {
        log::info!("{count} updates of nodes were restored from {}", path.display());
    }
    if let Err(error) = loaded {
        log::warn!(
            "{} is not used, or not to its end: {error}; nodes and other index servers will send everything again",
            path.display()
        );
    }
}

/// Saves again and again until `stop`, then once more.
pub(crate) async fn run(state: Arc<State>, path: PathBuf, stop: CancellationToken, ended: CancellationToken) {
    let mut file = UpdateFile::new(path);
    let mut written = 0;
    loop {
        let is_last = stop.run_until_cancelled(tokio::time::sleep(pause(&state, written))).await.is_none();
        if is_last {
            // What the last connections bring counts, too.
            ended.cancelled().await;
        }
        let state = state.clone();
        let saved = tokio::task::spawn_blocking(move || {
            let written = save(&state, &mut file);
            (file, written)
        });
        let Ok((back, bytes)) = saved.await else { return };
        (file, written) = (back, bytes);
        if is_last {
            return;
        }
    }
}

/// How long to wait when so many bytes were written.
fn pause(state: &State, written: u64) -> Duration {
    let limits = &state.limits;
    let rest_ms = written.saturating_mul(1000) / limits.save_bytes_per_second.max(1);
    Duration::from_millis(rest_ms.max(limits.save_ms).max(1))
}

/// Writes what has changed, or everything. One bucket is read at a time, so that nothing waits for long. Gives
/// the bytes that were written.
fn save(state: &State, file: &mut UpdateFile) -> u64 {
    let buckets = 0..BUCKETS as u16;
    let of_bucket = |bucket, is_all| state.with_replica(|replica| replica.to_save(bucket, is_all, unix_ms()));
    let unsaved: Vec<_> = buckets.clone().flat_map(|bucket| of_bucket(bucket, false)).collect();
    let held = state.with_replica(|replica| replica.store().update_bytes());
    let unsaved_bytes = unsaved.iter().map(|(_, wire)| wire.len()).sum();
    let saved = if file.must_be_replaced(held, unsaved_bytes) {
        drop(unsaved);
        file.replace(buckets.map(|bucket| of_bucket(bucket, true)))
    } else if unsaved.is_empty() {
        Ok(0)
    } else {
        file.append(std::iter::once(unsaved))
    };
    match saved {
        Ok(written) => {
            Counters::add_many(&state.counters.saved_bytes, written);
            written
        }
        Err(error) => {
            log::error!("{} cannot be written: {error}; without it a restart loses everything", file.path().display());
            0
        }
    }
}
