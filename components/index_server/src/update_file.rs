//! The file from which a server that starts again restores what it held.
//!
//! A server with neighbours gets everything from them within seconds. One that is alone, or whose neighbours restart at the
//! same time, would have to wait until every node has announced everything again: nodes that are connected do this at once,
//! but those that publish elsewhere, or are slow to come back, are missing for minutes. So all signed updates are written
//! from time to time and at the end. That suffices, because whatever is lost in a crash is announced again within half of
//! its time to live anyway; a disk write for each update would cost much, to save what expires in minutes.
//!
//! The file is a line that names the format, then blocks: the length of its records in four bytes, big endian, the
//! records, and their SHA-256. A record is the origin against whose quota the update counts, the length of the update in
//! four bytes, and the update. What has changed is added at the end, so that not everything is written again whenever
//! something has changed; when the file is twice as large as what is held, it is written anew under another name and
//! renamed. A block that is not complete ends it: what came before counts. Signatures are not checked again, because the
//! file is the server's own like its key beside it.

use crate::address_quota::Origin;
use crate::edge_store::update_from_own_file;
use offst_crypto::{PublicKey, sha256};
use offst_proto::Verified;
use offst_proto::index::{UPDATE_BYTES_MAX, Update};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FORMAT: &[u8] = b"offst-index-updates/2\n";
const HASH_BYTES: usize = 32;
/// Records are written as soon as they have so many bytes.
const BLOCK_BYTES_FULL: usize = 1 << 20;
/// The largest record beside its update.
const RECORD_OVERHEAD_BYTES: usize = 64;
const BLOCK_BYTES_MAX: usize = BLOCK_BYTES_FULL + UPDATE_BYTES_MAX + RECORD_OVERHEAD_BYTES;
/// A smaller file is not written anew, bytes.
const SMALL_FILE_BYTES: u64 = 1 << 20;

const NOWHERE: u8 = 0;
const ADDRESS: u8 = 1;
const NEIGHBOUR: u8 = 2;

/// Why the rest of a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("another version of this program has written it")]
    OtherFormat,
    #[error("it is damaged")]
    Damaged,
}

/// An update, and against whose quota it counts.
pub(crate) type SavedUpdate = (Origin, Verified<Update>);

/// Gives the updates of a file to `restore`, block by block. A missing file holds none.
///
/// # Errors
/// The file is not whole. What came before that was given.
pub(crate) fn load(path: &Path, mut restore: impl FnMut(Vec<SavedUpdate>)) -> Result<(), LoadError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut file = BufReader::new(file);
    let mut format = [0; FORMAT.len()];
    if !fill(&mut file, &mut format)? || format != FORMAT {
        return Err(LoadError::OtherFormat);
    }
    let mut length = [0; 4];
    while fill(&mut file, &mut length)? {
        let length = u32::from_be_bytes(length) as usize;
        if length > BLOCK_BYTES_MAX {
            return Err(LoadError::Damaged);
        }
        let (mut block, mut hash) = (vec![0; length], [0; HASH_BYTES]);
        let is_whole = fill(&mut file, &mut block)? && fill(&mut file, &mut hash)?;
        if !is_whole || *sha256(&block).as_bytes() != hash {
            return Err(LoadError::Damaged);
        }
        let mut rest = &block[..];
        let mut updates = Vec::new();
        while !rest.is_empty() {
            updates.push(read_record(&mut rest).ok_or(LoadError::Damaged)?);
        }
        restore(updates);
    }
    Ok(())
}

/// False at the end of the file.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> Result<bool, LoadError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..])? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(LoadError::Damaged),
            count => filled += count,
        }
    }
    Ok(true)
}

fn read_record(rest: &mut &[u8]) -> Option<SavedUpdate> {
    let (tag, behind) = rest.split_first()?;
    let (origin, behind) = match *tag {
        NOWHERE => (Origin::Nowhere, behind),
        ADDRESS => {
            let (bits, behind) = behind.split_first_chunk()?;
            (Origin::Address(IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes(*bits))).to_canonical()), behind)
        }
        NEIGHBOUR => {
            let (key, behind) = behind.split_first_chunk()?;
            (Origin::Neighbour(PublicKey::from_bytes(*key).ok()?), behind)
        }
        _ => return None,
    };
    let (length, behind) = behind.split_first_chunk()?;
    let (wire, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = behind;
    Some((origin, update_from_own_file(wire).ok()?))
}

fn write_record(origin: Origin, wire: &[u8], block: &mut Vec<u8>) -> io::Result<()> {
    match origin {
        Origin::Nowhere => block.push(NOWHERE),
        Origin::Address(address) => {
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            block.push(ADDRESS);
            block.extend_from_slice(&address.to_bits().to_be_bytes());
        }
        Origin::Neighbour(neighbour) => {
            block.push(NEIGHBOUR);
            block.extend_from_slice(neighbour.as_bytes());
        }
    }
    block.extend_from_slice(&u32::try_from(wire.len()).map_err(io::Error::other)?.to_be_bytes());
    block.extend_from_slice(wire);
    Ok(())
}

/// Updates that have to be written.
pub(crate) type Unsaved = Vec<(Origin, Arc<[u8]>)>;

/// A file to which updates are written.
#[derive(Debug)]
pub(crate) struct UpdateFile {
    path: PathBuf,
    /// Bytes of it; none when it is not known what it holds, and it has to be written anew.
    bytes: Option<u64>,
}

impl UpdateFile {
    /// A file that is there will be replaced.
    pub(crate) fn new(path: PathBuf) -> Self {
        UpdateFile { path, bytes: None }
    }

    /// Whether it has to be written anew, when so many bytes are held and so many of them are not in it.
    pub(crate) fn must_be_replaced(&self, held: usize, unsaved: usize) -> bool {
        let bound = (held as u64).saturating_mul(2).max(SMALL_FILE_BYTES);
        self.bytes.is_none_or(|bytes| bytes.saturating_add(unsaved as u64) > bound)
    }

    /// Adds updates at its end. Gives the bytes that were written.
    ///
    /// # Errors
    /// The file cannot be written; then it has to be replaced.
    pub(crate) fn append(&mut self, updates: impl Iterator<Item = Unsaved>) -> io::Result<u64> {
        let before = self.bytes.take().unwrap_or_default();
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        let written = write_blocks(&mut file, updates)?;
        file.sync_all()?;
        self.bytes = Some(before + written);
        Ok(written)
    }

    /// Writes it anew, with these updates. Gives the bytes that were written.
    ///
    /// # Errors
    /// The file cannot be written; the one that was there stays.
    pub(crate) fn replace(&mut self, updates: impl Iterator<Item = Unsaved>) -> io::Result<u64> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let new = Path::new(&name);
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(new)?;
        file.write_all(FORMAT)?;
        let written = FORMAT.len() as u64 + write_blocks(&mut file, updates)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(new, &self.path)?;
        self.bytes = Some(written);
        Ok(written)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn write_blocks(file: &mut File, updates: impl Iterator<Item = Unsaved>) -> io::Result<u64> {
    let mut block = Vec::new();
    let mut written = 0;
    for (origin, wire) in updates.flatten() {
        write_record(origin, &wire, &mut block)?;
        if block.len() >= BLOCK_BYTES_FULL {
            written += write_block(file, &mut block)?;
        }
    }
    if !block.is_empty() {
        written += write_block(file, &mut block)?;
    }
    Ok(written)
}

fn write_block(file: &mut File, block: &mut Vec<u8>) -> io::Result<u64> {
    let length = u32::try_from(block.len()).map_err(io::Error::other)?;
    let hash = sha256(block);
    file.write_all(&length.to_be_bytes())?;
    file.write_all(block)?;
    file.write_all(hash.as_bytes())?;
    let written = (4 + block.len() + HASH_BYTES) as u64;
    block.clear();
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_servers::{edge, key, signed};

    fn update(seed: u8) -> Verified<Update> {
        signed(seed, 1, 1000, vec![edge(50, 1)])
    }

    fn origin(seed: u8) -> Origin {
        match seed % 4 {
            0 => Origin::Nowhere,
            1 => Origin::Address(IpAddr::from([10, 0, 0, seed])),
            2 => Origin::Address("2001:db8::".parse().unwrap()),
            _ => Origin::Neighbour(key(seed)),
        }
    }

    fn unsaved(seeds: impl IntoIterator<Item = u8>) -> impl Iterator<Item = Unsaved> {
        let unsaved = |seed| vec![(origin(seed), update(seed).wire().clone())];
        seeds.into_iter().map(unsaved).collect::<Vec<_>>().into_iter()
    }

    /// The nodes in the file, and how many blocks; and whether all of it was whole.
    fn loaded(path: &Path) -> (Vec<u8>, usize, Result<(), LoadError>) {
        let (mut seeds, mut blocks) = (Vec::new(), 0);
        let result = load(path, |updates| {
            blocks += 1;
            for (of, restored) in updates {
                let seed = (0..100).find(|seed| key(*seed) == restored.node).unwrap();
                assert_eq!((&restored, of), (&update(seed), origin(seed)));
                seeds.push(seed);
            }
        });
        (seeds, blocks, result)
    }

    #[test]
    fn what_was_saved_is_restored_with_its_origin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index0.updates");
        assert!(matches!(loaded(&path), (none, 0, Ok(())) if none.is_empty()), "no file");
        let mut file = UpdateFile::new(path.clone());
        file.replace(unsaved(0..3)).unwrap();
        let first = path.metadata().unwrap().len();
        assert!(matches!(loaded(&path), (seeds, 1, Ok(())) if seeds == [0, 1, 2]));
        assert_eq!(file.append(unsaved([9])).unwrap(), path.metadata().unwrap().len() - first, "only what is added");
        assert!(matches!(loaded(&path), (seeds, 2, Ok(())) if seeds == [0, 1, 2, 9]));
        file.replace(unsaved([7])).unwrap();
        assert!(matches!(loaded(&path), (seeds, 1, Ok(())) if seeds == [7]));
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn damage_is_noticed_and_what_came_before_it_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index0.updates");
        let mut file = UpdateFile::new(path.clone());
        file.replace(unsaved(0..2)).unwrap();
        let first = usize::try_from(path.metadata().unwrap().len()).unwrap();
        file.append(unsaved([5])).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for position in (0..bytes.len()).step_by(7).filter(|position| *position != first) {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1;
            for damaged in [&flipped[..], &bytes[..position]] {
                std::fs::write(&path, damaged).unwrap();
                let (seeds, _, result) = loaded(&path);
                assert!(result.is_err(), "{position}");
                assert_eq!(seeds, if position < first { vec![] } else { vec![0, 1] }, "{position}");
            }
        }
        std::fs::write(&path, b"offst-index-updates/1\n and more").unwrap();
        assert!(matches!(loaded(&path).2, Err(LoadError::OtherFormat)));
    }

    #[test]
    fn the_file_stays_below_twice_of_what_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = UpdateFile::new(folder.path().join("index0.updates"));
        assert!(file.must_be_replaced(10 << 20, 0), "it is not known what is there");
        file.replace(unsaved(0..3)).unwrap();
        assert!(!file.must_be_replaced(10 << 20, 5 << 20));
        assert!(file.must_be_replaced(10 << 20, 20 << 20));
        assert!(!file.must_be_replaced(0, 1000), "a small one may stay");
        std::fs::remove_file(file.path()).unwrap();
        assert!(file.append(unsaved([4])).is_err());
        assert!(file.must_be_replaced(10 << 20, 0), "after a failure");
    }
}
