//! The file from which a server that starts again knows what it knew.
//!
//! A server with neighbours learns everything from them within seconds. One that is alone, or whose neighbours restart at
//! the same time, would have to wait until every node has said everything again: nodes that are connected do this at once,
//! but those that publish elsewhere, or are slow to come back, are missed for minutes. So all signed updates are written
//! from time to time and at the end. A snapshot suffices, because whatever is lost with a crash is said again within half
//! of its time to live anyway; a log of every update would cost a disk write for each, to save what expires in minutes.
//!
//! The file is: a line that names the format, then each update behind its length in four bytes, big endian, then the
//! SHA-256 of all this. It is written under another name and renamed, so that there is always a whole one. Signatures are
//! not checked again, as the file is the server's own like its key beside it.

use crate::Core;
use crate::book::update_from_own_file;
use offst_crypto::sha256;
use offst_proto::index::UPDATE_BYTES_MAX;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

const FORMAT: &[u8] = b"offst-index-updates/1\n";
const HASH_BYTES: usize = 32;

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is larger than the limits allow")]
    TooLarge,
    #[error("it is damaged")]
    Damaged,
}

/// Puts what a file holds into `core`; says how many updates were in it. Without a file none.
///
/// # Errors
/// The file is not whole. Then nothing was taken from it.
pub(crate) fn load(path: &Path, core: &mut Core, bytes_max: usize) -> Result<usize, LoadError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(LoadError::TooLarge);
    }
    let body_len = bytes.len().checked_sub(HASH_BYTES).ok_or(LoadError::Damaged)?;
    let (body, hash) = bytes.split_at(body_len);
    let mut rest = body.strip_prefix(FORMAT).ok_or(LoadError::Damaged)?;
    if sha256(body).as_bytes() != hash {
        return Err(LoadError::Damaged);
    }
    let mut count = 0;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (wire, behind) = behind.split_at_checked(length).ok_or(LoadError::Damaged)?;
        core.remember(&update_from_own_file(wire).map_err(|_| LoadError::Damaged)?);
        rest = behind;
        count += 1;
    }
    Ok(count)
}

/// Most bytes of a file whose updates have so many bytes together.
pub(crate) fn file_bytes_max(update_bytes: usize) -> usize {
    update_bytes + UPDATE_BYTES_MAX
}

/// Writes updates to a file, in place of the one that is there.
///
/// # Errors
/// The disk does not take it; the file that was there stays.
pub(crate) fn save(path: &Path, updates: &[Arc<[u8]>]) -> io::Result<()> {
    let mut bytes = FORMAT.to_vec();
    for update in updates {
        let length = u32::try_from(update.len()).map_err(io::Error::other)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(update);
    }
    let hash = sha256(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use offst_crypto::{Identity, PublicKey};
    use offst_proto::index::{Clearable, Edge, Update};
    use offst_proto::{Currency, Rate, Verified};

    fn key(seed: u8) -> PublicKey {
        Identity::from_seed([seed; 32]).public_key()
    }

    fn core(nodes: u8) -> Core {
        let mut core = Core::new(key(99), Limits::default());
        for seed in 1..=nodes {
            let edge = Edge {
                friend: key(50),
                currency: Currency::default(),
                send_capacity: 1,
                receive_capacity: 1,
                rate: Rate::default(),
                clearable: Clearable::None,
            };
            let update = Update { node: key(seed), sequence: 1, expires_ms: 1000, edges: vec![edge] };
            core.remember(&Verified::sign(update, &Identity::from_seed([seed; 32])));
        }
        core
    }

    #[test]
    fn what_was_saved_is_known_again_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index0.updates");
        let mut known = core(3);
        assert_eq!(load(&path, &mut core(0), 1 << 20).unwrap(), 0, "no file");
        for nodes in [known.book().all(0), core(2).book().all(0), known.book().all(0)] {
            save(&path, &nodes).unwrap();
        }
        let mut again = core(0);
        assert_eq!(load(&path, &mut again, 1 << 20).unwrap(), 3);
        assert_eq!(again.digest(), known.digest());
        assert_eq!(again.take_changes().len(), 3);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        let bytes = std::fs::read(&path).unwrap();
        assert!(matches!(load(&path, &mut core(0), bytes.len() - 1), Err(LoadError::TooLarge)));
        for position in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            for damaged in [&damaged[..], &bytes[..position]] {
                std::fs::write(&path, damaged).unwrap();
                let mut core = core(0);
                assert!(matches!(load(&path, &mut core, 1 << 20), Err(LoadError::Damaged)));
                assert_eq!(core.book().node_count(), 0);
            }
        }
    }
}
