//! The log that SQLite keeps beside a database in use (`-wal`). SQLite reads it up to the first frame whose checksum is wrong and
//! drops the rest without a word, as it must after a crash: so a flipped bit in it would take away what was committed. This
//! reads the file itself: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const PAGE_BYTES_MAX: usize = 65_536;
/// The last bit says in which order the checksums take their bytes.
const MAGIC: u32 = 0x377f_0682;

const DAMAGED: &str =
    "the log beside the database (its name ends in -wal) is damaged: what it holds last would be lost";
const INCOMPLETE: &str = "the newest transaction in the log beside the database (its name ends in -wal) is incomplete or \
    damaged: if the node or the machine died while it was written, nothing that was sent rests on it, and the next start \
    leaves it out";

/// What is wrong with the log of the database at `path`.
pub(crate) fn faults(path: &Path) -> Vec<String> {
    let mut name = OsString::from(path);
    name.push("-wal");
    let found = match File::open(&name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        file => file.and_then(|file| read(&mut BufReader::new(file))),
    };
    match found {
        Ok(None) => Vec::new(),
        Ok(Some(fault)) => vec![fault.to_owned()],
        Err(error) => vec![format!("the log beside the database cannot be read: {error}")],
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

fn read(reader: &mut impl Read) -> std::io::Result<Option<&'static str>> {
    let mut header = [0; HEADER_BYTES];
    match fill(reader, &mut header)? {
        0 => return Ok(None),
        HEADER_BYTES => {}
        _ => return Ok(Some(INCOMPLETE)),
    }
    let magic = word(&header, 0);
    let page_bytes = word(&header, 8) as usize;
    let start = Sum { is_big_endian: magic & 1 == 1, words: [0, 0] };
    let mut sum = start.over(&header[..24]);
    let is_ours = magic & !1 == MAGIC && page_bytes.is_power_of_two() && (512..=PAGE_BYTES_MAX).contains(&page_bytes);
    if !is_ours || !sum.is_at(&header, 24) {
        return Ok(Some(DAMAGED));
    }
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    let mut is_broken = false;
    loop {
        let filled = fill(reader, &mut frame)?;
        let is_whole = filled == frame.len();
        let is_of_this_log = filled >= 16 && &frame[8..16] == salts;
        if !is_whole {
            // The log had come to its end here, or still has older frames behind it.
            return Ok((is_of_this_log || is_broken).then_some(INCOMPLETE));
        }
        let next = sum.over(&frame[..8]).over(&frame[FRAME_HEADER_BYTES..]);
        let has_sum = next.is_at(&frame, 16);
        match (is_broken, is_of_this_log, has_sum) {
            (false, true, true) => sum = next,
            (false, false, true) => return Ok(Some(DAMAGED)),
            (false, true, false) => is_broken = true,
            // The first frame of an older log: SQLite writes over it without cutting the file.
            (false, false, false) => {
                let rest_is_older = rest_is_older(reader, &mut frame, salts)?;
                return Ok((!rest_is_older).then_some(DAMAGED));
            }
            (true, _, _) => {
                // Frames of this log behind one that cannot be read. One transaction may have been under way.
                let rest_is_older = !is_of_this_log && rest_is_older(reader, &mut frame, salts)?;
                return Ok(Some(if rest_is_older { INCOMPLETE } else { DAMAGED }));
            }
        }
    }
}

fn rest_is_older(reader: &mut impl Read, frame: &mut [u8], salts: &[u8]) -> std::io::Result<bool> {
    while fill(reader, frame)? == frame.len() {
        if &frame[8..16] == salts {
            return Ok(false);
        }
    }
    Ok(true)
}
