//! The log that SQLite keeps beside a database in use (`-wal`). SQLite reads it up to the first frame whose checksum is wrong and
//! drops the rest without a word, as it must after a crash: so a flipped bit in it would take away what was committed. This
//! reads the file itself: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use crate::files::with_ending;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const PAGE_BYTES_MAX: usize = 65_536;
/// The last bit says in which order the checksums take their bytes.
const MAGIC: u32 = 0x377f_0682;

/// In which condition a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Every transaction in it is what was written, or there is no log.
    Whole,
    /// All but the newest are. That is how a log looks when the node or the machine died while it was written, and then nothing
    /// that was sent rests on the newest. If a disk has changed it since, that cannot be told apart.
    Torn,
    /// A transaction cannot be read that others follow: it was on the disk before they were begun, and is lost with them.
    Damaged,
}

/// Where SQLite keeps the log of the database at `path`: beside the file itself, not beside a link to it.
fn place(path: &Path) -> std::io::Result<PathBuf> {
    Ok(with_ending(&path.canonicalize()?, "-wal"))
}

/// Whether everything is in the database at `path` itself, which nobody may be writing.
///
/// # Errors
/// It is not known.
pub(crate) fn is_empty(path: &Path) -> std::io::Result<bool> {
    match place(path)?.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        metadata => Ok(metadata?.len() == 0),
    }
}

/// The condition of the log of the database at `path`, which nobody may be writing.
///
/// # Errors
/// It cannot be read.
pub(crate) fn condition(path: &Path) -> std::io::Result<Condition> {
    match File::open(place(path)?) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Condition::Whole),
        file => read(&mut BufReader::new(file?)),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

/// The checksum of the format, which goes on from frame to frame.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sum {
    is_big_endian: bool,
    words: [u32; 2],
}

impl Sum {
    fn over(mut self, bytes: &[u8]) -> Sum {
        for pair in bytes.chunks_exact(8) {
            for (index, other) in [(0, 1), (1, 0)] {
                let word: [u8; 4] = pair[4 * index..4 * index + 4].try_into().expect("4 bytes");
                let word = if self.is_big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) };
                self.words[index] = self.words[index].wrapping_add(word).wrapping_add(self.words[other]);
            }
        }
        self
    }

    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        self.words == [word(bytes, at), word(bytes, at + 4)]
    }
}

/// As many bytes as there are, up to the buffer's end.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn read(reader: &mut impl Read) -> std::io::Result<Condition> {
    let mut header = [0; HEADER_BYTES];
    match fill(reader, &mut header)? {
        0 => return Ok(Condition::Whole),
        HEADER_BYTES => {}
        _ => return Ok(Condition::Torn),
    }
    let magic = word(&header, 0);
    let page_bytes = word(&header, 8) as usize;
    let start = Sum { is_big_endian: magic & 1 == 1, words: [0, 0] };
    let mut sum = start.over(&header[..24]);
    let is_ours = magic & !1 == MAGIC && page_bytes.is_power_of_two() && (512..=PAGE_BYTES_MAX).contains(&page_bytes);
    if !is_ours || !sum.is_at(&header, 24) {
        return Ok(Condition::Damaged);
    }
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    let mut is_readable = true;
    // Whether the last frame that can be read ends a transaction.
    let mut has_ended = true;
    // Whether there are frames of this log behind those, and whether the last of them ends a transaction.
    let (mut is_torn, mut has_lost_an_end) = (false, false);
    loop {
        let filled = fill(reader, &mut frame)?;
        // Behind the newest frames there may be some of an older log: SQLite writes over them without cutting the file.
        let mut is_of_this_log = filled >= 16 && &frame[8..16] == salts;
        if filled < frame.len() {
            let is_whole = has_ended && !is_torn && !is_of_this_log;
            return Ok(if is_whole { Condition::Whole } else { Condition::Torn });
        }
        let is_end = word(&frame, 4) != 0;
        if is_readable {
            let next = sum.over(&frame[..8]).over(&frame[FRAME_HEADER_BYTES..]);
            let has_sum = next.is_at(&frame, 16);
            if has_sum && is_of_this_log {
                (sum, has_ended) = (next, is_end);
                continue;
            }
            is_readable = false;
            // The sums of an older log began with another number.
            is_of_this_log |= has_sum;
        }
        if is_of_this_log {
            // A machine that dies may have written the frames of one transaction in any order, but not those of the next.
            if has_lost_an_end {
                return Ok(Condition::Damaged);
            }
            (is_torn, has_lost_an_end) = (true, is_end);
        }
    }
}
