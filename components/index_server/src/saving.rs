//! Writes what is known to the file from time to time, beside everything else: nobody waits for the disk.

use crate::Counters;
use crate::saved::{self, SavedFile};
use crate::state::{State, unix_ms};
use offst_proto::index::BUCKETS;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Puts what the file holds into the core.
pub(crate) fn remember(state: &State, path: &std::path::Path) {
    let mut count = 0;
    let loaded = saved::load(path, |updates| {
        count += updates.len();
        state.decide(|core| updates.iter().for_each(|(origin, update)| _ = core.remember(update, *origin)));
    });
    state.decide(|core| core.tick(unix_ms()));
    if count > 0 {
        log::info!("{count} updates of nodes are remembered from {}", path.display());
    }
    if let Err(error) = loaded {
        log::warn!(
            "{} is not used, or not to its end: {error}; nodes and other index servers will say everything again",
            path.display()
        );
    }
}

/// Saves again and again until `stop`, then once more.
pub(crate) async fn run(state: Arc<State>, path: PathBuf, stop: CancellationToken, ended: CancellationToken) {
    let mut file = SavedFile::new(path);
    let mut written = 0;
    loop {
        let is_last = stop.run_until_cancelled(tokio::time::sleep(pause(&state, written))).await.is_none();
        if is_last {
            // What the last connections say counts, too.
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

/// Writes what has changed, or everything. The core is asked for one bucket at a time, so that nobody waits for long. Gives
/// the bytes that were written.
fn save(state: &State, file: &mut SavedFile) -> u64 {
    let buckets = 0..BUCKETS as u16;
    let of_bucket = |bucket, is_all| state.with_core(|core| core.to_save(bucket, is_all, unix_ms()));
    let unsaved: Vec<_> = buckets.clone().flat_map(|bucket| of_bucket(bucket, false)).collect();
    let held = state.with_core(|core| core.book().update_bytes());
    let unsaved_bytes = unsaved.iter().map(|(_, wire)| wire.len()).sum();
    let saved = if file.is_due_anew(held, unsaved_bytes) {
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
            log::error!("{} cannot be written: {error}; without it a restart forgets", file.path().display());
            0
        }
    }
}
