//! Frames: a length of four bytes, big endian, and as many bytes.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Bytes of the length before a frame.
const HEADER_BYTES: usize = 4;
/// Small frames are read several at a time; larger ones go straight to their place.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// What is allocated because of a length alone. More only when as many bytes have arrived.
const FIRST_ALLOCATION_BYTES: usize = 16 * 1024;
/// Collected frames are written when they are as large together.
const WRITE_BATCH_BYTES: usize = 64 * 1024;

/// Why a frame cannot be read or written. The connection is of no use afterwards.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The frame is above the maximum of this link.
    #[error("a frame of {length} bytes is above the {max} bytes that this link allows")]
    TooLarge {
        /// Bytes of the frame.
        length: usize,
        /// Most bytes of a frame on this link.
        max: usize,
    },
    /// The connection ended inside a frame.
    #[error("the connection ended in the middle of a frame")]
    Truncated,
    /// The connection ended without a TLS close: the peer's process or the network has failed.
    #[error("the other side vanished")]
    Vanished,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => FrameError::Vanished,
            _ => FrameError::Io(error),
        }
    }
}

/// Reads frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    reader: BufReader<R>,
    frame_bytes_max: usize,
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    body: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `frame_bytes_max` bytes.
    pub fn new(reader: R, frame_bytes_max: usize) -> Self {
        FrameReader {
            reader: BufReader::with_capacity(READ_BUFFER_BYTES, reader),
            frame_bytes_max,
            header: [0; HEADER_BYTES],
            header_filled: 0,
            body: Vec::new(),
        }
    }

    /// The next frame, or `None` when the peer has ended the stream between two frames.
    ///
    /// Cancel safe: when the future is dropped, what was read is kept for the next call.
    ///
    /// # Errors
    /// See [`FrameError`]. The length is checked before anything is allocated.
    /// (R3.4.)
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        while self.header_filled < HEADER_BYTES {
            match self.reader.read(&mut self.header[self.header_filled..]).await? {
                0 if self.header_filled == 0 => return Ok(None),
                0 => return Err(FrameError::Truncated),
                count => self.header_filled += count,
            }
        }
        let length = u32::from_be_bytes(self.header) as usize;
        if length > self.frame_bytes_max {
            return Err(FrameError::TooLarge { length, max: self.frame_bytes_max });
        }
        while self.body.len() < length {
            let missing = length - self.body.len();
            if self.body.len() == self.body.capacity() {
                self.body.reserve_exact(missing.min(self.body.len().max(FIRST_ALLOCATION_BYTES)));
            }
            if (&mut self.reader).take(missing as u64).read_buf(&mut self.body).await? == 0 {
                return Err(FrameError::Truncated);
            }
        }
        self.header_filled = 0;
        Ok(Some(std::mem::take(&mut self.body)))
    }

    /// The stream underneath, for what follows the frames. Bytes that were read ahead come first.
    pub fn into_inner(self) -> BufReader<R> {
        self.reader
    }
}

/// Writes frames.
#[derive(Debug)]
pub struct FrameWriter<W> {
    writer: W,
    frame_bytes_max: usize,
    batch: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes frames of at most `frame_bytes_max` bytes.
    pub fn new(writer: W, frame_bytes_max: usize) -> Self {
        FrameWriter { writer, frame_bytes_max, batch: Vec::new() }
    }

    /// Adds a frame to the batch, which is written when it has grown large, or by [`FrameWriter::flush`].
    ///
    /// # Errors
    /// See [`FrameError`]. A future that was dropped leaves the stream in the middle of a frame.
    pub async fn feed(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        let too_large = FrameError::TooLarge { length: frame.len(), max: self.frame_bytes_max };
        let header = match u32::try_from(frame.len()) {
            Ok(length) if frame.len() <= self.frame_bytes_max => length.to_be_bytes(),
            _ => return Err(too_large),
        };
        self.batch.extend_from_slice(&header);
        self.batch.extend_from_slice(frame);
        if self.batch.len() >= WRITE_BATCH_BYTES {
            self.write_batch().await?;
        }
        Ok(())
    }

    /// Writes what was collected and hands it to the network.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        self.write_batch().await?;
        self.writer.flush().await?;
        // An idle connection keeps no buffer.
        self.batch = Vec::new();
        Ok(())
    }

    /// Writes one frame and hands it to the network.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub async fn send(&mut self, frame: &[u8]) -> Result<(), FrameError> {
        self.feed(frame).await?;
        self.flush().await
    }

    /// Writes many frames and hands them to the network together.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub async fn send_all<F: AsRef<[u8]>>(&mut self, frames: impl IntoIterator<Item = F>) -> Result<(), FrameError> {
        for frame in frames {
            self.feed(frame.as_ref()).await?;
        }
        self.flush().await
    }

    /// Writes what was collected and tells the peer that nothing follows.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn shutdown(&mut self) -> Result<(), FrameError> {
        self.write_batch().await?;
        self.writer.shutdown().await?;
        Ok(())
    }

    /// The stream underneath. Frames that were not flushed are lost.
    pub fn into_inner(self) -> W {
        self.writer
    }

    async fn write_batch(&mut self) -> Result<(), FrameError> {
        self.writer.write_all(&self.batch).await?;
        self.batch.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::pin::pin;
    use std::task::Poll;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn round_trip(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5000), 0..20)) {
            block_on(async {
                let mut writer = FrameWriter::new(Vec::new(), 5000);
                writer.send_all(&frames).await.unwrap();
                let bytes = writer.into_inner();
                let mut reader = FrameReader::new(&bytes[..], 5000);
                for frame in &frames {
                    assert_eq!(reader.next().await.unwrap().as_ref(), Some(frame));
                }
                assert!(reader.next().await.unwrap().is_none());
            });
        }
    }

    #[tokio::test]
    async fn bytes_on_the_wire() {
        let mut writer = FrameWriter::new(Vec::new(), 10);
        writer.send(b"abc").await.unwrap();
        writer.send(b"").await.unwrap();
        assert_eq!(writer.into_inner(), b"\0\0\0\x03abc\0\0\0\0");
    }

    // R3.4.
    #[tokio::test]
    async fn a_frame_above_the_maximum_is_refused_before_it_is_allocated() {
        let bytes = u32::MAX.to_be_bytes();
        let mut reader = FrameReader::new(&bytes[..], 1 << 20);
        for _ in 0..2 {
            let error = reader.next().await.unwrap_err();
            assert!(matches!(error, FrameError::TooLarge { length: 0xffff_ffff, max: 0x10_0000 }), "{error}");
            assert_eq!(reader.body.capacity(), 0);
        }
        let mut writer = FrameWriter::new(Vec::new(), 3);
        assert!(matches!(writer.send(b"abcd").await, Err(FrameError::TooLarge { length: 4, max: 3 })));
        assert!(writer.into_inner().is_empty());
    }

    #[tokio::test]
    async fn memory_follows_the_bytes_that_arrive() {
        let (mut near, far) = tokio::io::duplex(1 << 20);
        let mut reader = FrameReader::new(far, 1 << 30);
        near.write_all(&(1u32 << 30).to_be_bytes()).await.unwrap();
        near.write_all(&[7; 100_000]).await.unwrap();
        let taken = std::future::poll_fn(|cx| Poll::Ready(pin!(reader.next()).poll(cx).is_ready())).await;
        assert!(!taken);
        assert_eq!(reader.body.len(), 100_000);
        assert!(reader.body.capacity() <= 200_000, "{}", reader.body.capacity());
    }

    #[tokio::test]
    async fn truncated_frames() {
        let bytes = b"\0\0\0\x03abc";
        for length in 1..bytes.len() {
            let mut reader = FrameReader::new(&bytes[..length], 10);
            assert!(matches!(reader.next().await, Err(FrameError::Truncated)), "{length}");
        }
    }

    #[tokio::test]
    async fn a_dropped_read_loses_nothing() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(far, 10);
        for byte in b"\0\0\0\x03ab" {
            near.write_all(&[*byte]).await.unwrap();
            let ready = std::future::poll_fn(|cx| Poll::Ready(pin!(reader.next()).poll(cx).is_ready())).await;
            assert!(!ready);
        }
        near.write_all(b"c").await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), b"abc");
    }
}
