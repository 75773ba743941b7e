//! Whole copies of a database: backups, and putting one in the place of a database.

use crate::database::{Store, check_owner, create_file, open};
use crate::error::StoreError;
use crate::files::{if_there, sync_folder, with_ending};
use crate::seal;
use crate::structure;
use offst_crypto::PublicKey;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait before a page that somebody holds is asked for again.
const PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// Writes a copy of the database `from` of `node` to the new file `to`, readable by its owner alone. The copy is the
    /// database as of one moment, also while a node writes to it, and one whole file. It is checked before this returns:
    /// page by page and row by row.
    ///
    /// # Errors
    /// `from` is missing, damaged or another node's, `to` exists, or the disk failed. What was begun of `to` is removed.
    pub fn copy(from: &Path, node: PublicKey, to: &Path) -> Result<(), StoreError> {
        let source = open(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        check_owner(&source, node)?;
        create_file(to)?;
        let written = write_copy(&source, to);
        if written.is_err() {
            // The first error counts.
            drop(std::fs::remove_file(to));
        }
        written
    }

    /// Moves the closed database `made` to `place`, in the same folder's file system. One that is there is kept: its file, and
    /// what SQLite keeps beside it, are moved aside first, and its new name is returned. Its seal is removed. A crash in between
    /// leaves `place` without a database, never with half of one, with one that goes on from another's log, or with another's
    /// seal.
    ///
    /// # Errors
    /// The disk or the permissions do not allow it.
    pub fn put_in_place(made: &Path, place: &Path) -> Result<Option<PathBuf>, StoreError> {
        let wrong = |error| StoreError::Create { path: place.display().to_string(), error };
        seal::remove(place)?;
        let aside = move_aside(place).map_err(wrong)?;
        std::fs::rename(made, place).map_err(wrong)?;
        sync_folder(place).map_err(wrong)?;
        Ok(aside)
    }
}

fn write_copy(source: &Connection, to: &Path) -> Result<(), StoreError> {
    let mut copy = Connection::open(to)?;
    Backup::new(source, &mut copy)?.run_to_completion(i32::MAX, PAUSE, None)?;
    // One file that can be read anywhere, also where no other can be made beside it.
    copy.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    let (faults, _) = structure::faults(to, &copy, |_| {});
    if !faults.is_empty() {
        return Err(StoreError::Unsound(faults));
    }
    copy.close().map_err(|(_, error)| StoreError::from(error))?;
    File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::Create { path: to.display().to_string(), error })
}

/// Whenever this ends early, neither name has a database without its log: that would be an older one.
fn move_aside(place: &Path) -> std::io::Result<Option<PathBuf>> {
    let numbers = std::iter::once(".replaced".to_owned()).chain((2..).map(|number| format!(".replaced-{number}")));
    let mut names = numbers.map(|ending| with_ending(place, &ending));
    let aside = names.find(|path| path.symlink_metadata().is_err()).expect("numbers do not end");
    let [log, kept_log] = [place, &aside].map(|path| with_ending(path, "-wal"));
    // Left by an earlier attempt that ended before the database followed.
    if_there(std::fs::remove_file(&kept_log))?;
    let has_two_names = std::fs::hard_link(&log, &kept_log).is_ok();
    sync_folder(place)?;
    let is_moved = if_there(std::fs::rename(place, &aside))?;
    sync_folder(place)?;
    // Where files cannot have two names the log has to follow.
    let outcome = if has_two_names { std::fs::remove_file(&log) } else { std::fs::rename(&log, &kept_log) };
    let has_log = if_there(outcome)?;
    sync_folder(place)?;
    if_there(std::fs::remove_file(with_ending(place, "-shm")))?;
    Ok((is_moved || has_log).then_some(aside))
}
