//! The seal: a small file beside a database that says what the whole file was when the node last stopped. Checksums and
//! signatures cover what rows say, and nothing covers the rest of the file: the space between rows, and what is left of rows
//! that are gone. The seal covers every byte, for as long as nobody writes.
//!
//! A node that stops makes it when everything is in the one file, and the next start removes it for good *before* anything is
//! written, so a seal that is there was true when it was made. A node that was killed has left none, and nothing is wrong with
//! that. It says nothing of how old the file is or whether it is true, and guards against accidents only: an attacker
//! can make it anew.

use crate::error::StoreError;
use crate::files::{sync_folder, with_ending};
use crate::log_file;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What stands behind the database's name.
const ENDING: &str = ".seal";
/// A seal has under 200 bytes.
const BYTES_MAX: u64 = 4096;
/// How much of the database is read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// What a database that nobody has open is, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    path: PathBuf,
    bytes: u64,
    checksum: u32,
}

impl Seal {
    /// The seal of the database at `database`, which everybody has closed. None while its log holds anything: then the file is
    /// not all of it. Reads the whole file.
    ///
    /// # Errors
    /// The file is missing or cannot be read.
    pub fn of(database: &Path) -> std::io::Result<Option<Seal>> {
        if !log_file::is_empty(database)? {
            return Ok(None);
        }
        let path = place(database)?;
        let mut file = File::open(database)?;
        let (mut block, mut sum, mut bytes) = (vec![0; BLOCK_BYTES], crc32fast::Hasher::new(), 0);
        loop {
            match file.read(&mut block) {
                Ok(0) => return Ok(Some(Seal { path, bytes, checksum: sum.finalize() })),
                Ok(count) => {
                    sum.update(&block[..count]);
                    bytes += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it belongs: beside the database itself, also when that was named by a link to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds: TOML, the length and the CRC-32 of the database.
    pub fn text(&self) -> String {
        format!(
            "# What the whole database was when the node stopped. `stnode check` compares it; the next start removes it.\n\
             bytes = {}\ncrc32 = \"{:08x}\"\n",
            self.bytes, self.checksum
        )
    }
}

/// What a seal says about the database beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// There is none.
    Absent,
    /// Every byte is what the node left.
    Same,
    /// Something is not, in a sentence.
    Different(String),
    /// Somebody has written to the database since, and the log is not empty.
    Open,
}

/// Compares the database at `path`, which nobody may be writing, with its seal.
pub(crate) fn compare(path: &Path) -> Comparison {
    let Ok(place) = place(path) else { return Comparison::Absent };
    let said = match read(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Comparison::Absent,
        said => said,
    };
    let shown = place.display();
    match (said, Seal::of(path)) {
        (Err(error), _) => Comparison::Different(format!("the seal {shown} cannot be read: {error}")),
        (_, Err(error)) => Comparison::Different(format!("the database cannot be compared with its seal: {error}")),
        (_, Ok(None)) => Comparison::Open,
        (Ok(said), Ok(Some(found))) if values(&said) == values(&found.text()) => Comparison::Same,
        _ => Comparison::Different(format!(
            "the file is not what the node left when it stopped ({shown} says so): a byte has changed, or the file was \
             replaced by hand; if you have put it there yourself and it is what you want, remove the seal"
        )),
    }
}

/// Removes the seal beside the file at `database`, if there is one, so that it does not come back when the machine dies.
pub(crate) fn remove(database: &Path) -> Result<(), StoreError> {
    let path = with_ending(database, ENDING);
    let removed = match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        // Also when there is none: the process that removed it may have died before that was durable.
        _ => sync_folder(&path),
    };
    removed.map_err(|error| StoreError::Seal { path: path.display().to_string(), error })
}

fn place(database: &Path) -> std::io::Result<PathBuf> {
    Ok(with_ending(&database.canonicalize()?, ENDING))
}

/// The file, as far as a seal could be long.
fn read(place: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(place)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// All lines but the comments.
fn values(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}
