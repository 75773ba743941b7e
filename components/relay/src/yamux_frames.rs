//! The frames of yamux in a sequence of bytes: their headers, and how many bytes of which stream follow.

use std::io;

/// Bytes of a yamux header: version, kind, flags (2), stream (4), length (4).
pub(crate) const HEADER_BYTES: usize = 12;
pub(crate) const KIND_DATA: u8 = 0;
const KIND_WINDOW_UPDATE: u8 = 1;
pub(crate) const KIND_GO_AWAY: u8 = 3;
pub(crate) const FLAG_SYN: u16 = 1;
const FLAG_RST: u16 = 8;
/// Largest body of a frame: the window of a stream. yamux itself would allocate four times as much because a header says so.
pub(crate) const BODY_BYTES_MAX: u32 = yamux::DEFAULT_CREDIT;

/// What a frame costs, in bytes, when the rate of a connection is measured: tiny frames are work, too.
const FRAME_WORK_BYTES: u64 = 64;
/// What a new stream costs in the same way: a task, entries in several maps, and an answer.
pub(crate) const STREAM_WORK_BYTES: u64 = 16 * 1024;

/// What a yamux header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    pub(crate) stream: u32,
    pub(crate) length: u32,
}

impl Header {
    fn is_of_stream(self) -> bool {
        matches!(self.kind, KIND_DATA | KIND_WINDOW_UPDATE)
    }

    pub(crate) fn opens(self) -> bool {
        self.is_of_stream() && self.flags & FLAG_SYN != 0
    }

    pub(crate) fn resets(self) -> bool {
        self.is_of_stream() && self.flags & FLAG_RST != 0
    }

    /// What it costs besides its bytes.
    pub(crate) fn work(self) -> u64 {
        FRAME_WORK_BYTES + if self.opens() { STREAM_WORK_BYTES } else { 0 }
    }
}

/// A part of the bytes that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Header(Header),
    /// So many bytes of a stream.
    Body(u32, usize),
}

/// Follows the frames in a sequence of bytes.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    stream: u32,
    body_left: usize,
}

impl Frames {
    /// Whether `bytes`, which come next, begin with the header of a frame of this kind.
    pub(crate) fn next_is(&self, kind: u8, bytes: &[u8]) -> bool {
        self.body_left == 0 && self.header_filled == 0 && bytes.get(1) == Some(&kind)
    }

    pub(crate) fn follow(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Piece) -> io::Result<()>) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let count = self.body_left.min(bytes.len());
                self.body_left -= count;
                bytes = &bytes[count..];
                tell(Piece::Body(self.stream, count))?;
                continue;
            }
            let count = (HEADER_BYTES - self.header_filled).min(bytes.len());
            self.header[self.header_filled..self.header_filled + count].copy_from_slice(&bytes[..count]);
            self.header_filled += count;
            bytes = &bytes[count..];
            if self.header_filled == HEADER_BYTES {
                self.header_filled = 0;
                let [_, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = self.header;
                let stream = u32::from_be_bytes([s0, s1, s2, s3]);
                let length = u32::from_be_bytes([l0, l1, l2, l3]);
                if kind == KIND_DATA {
                    self.stream = stream;
                    self.body_left = length as usize;
                }
                tell(Piece::Header(Header { kind, flags: u16::from_be_bytes([f0, f1]), stream, length }))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, kind];
        bytes.extend_from_slice(&flags.to_be_bytes());
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// However the bytes are split, the same frames are seen.
    #[test]
    fn frames_are_followed_across_any_split() {
        let mut bytes = frame(KIND_DATA, FLAG_SYN, 1, b"hello");
        bytes.extend(frame(2, 0, 0, b""));
        bytes.extend(frame(KIND_DATA, 0, 3, b""));
        bytes.extend(frame(KIND_DATA, 4, 1, &[7; 100]));
        for size in 1..bytes.len() {
            let (mut headers, mut of_one) = (vec![], 0);
            let mut frames = Frames::default();
            for part in bytes.chunks(size) {
                let seen = frames.follow(part, |piece| {
                    match piece {
                        Piece::Header(header) => headers.push((header.kind, header.stream)),
                        Piece::Body(stream, count) => {
                            assert_eq!(stream, 1);
                            of_one += count;
                        }
                    }
                    Ok(())
                });
                seen.unwrap();
            }
            assert_eq!(headers, [(0, 1), (2, 0), (0, 3), (0, 1)]);
            assert_eq!(of_one, 105);
        }
    }
}
