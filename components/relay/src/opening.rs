//! The first frames of a substream. Nothing beyond them is read, because the bytes of the two nodes follow at once.

use crate::mux::Substream;
use futures::{AsyncReadExt, AsyncWriteExt};
use offst_proto::relay::SubstreamMessage;
use std::io;

/// Largest first frame of a substream: a key and little around it.
const OPENING_BYTES_MAX: usize = 256;

/// Reads one message.
pub(crate) async fn read_opening(substream: &mut Substream) -> io::Result<SubstreamMessage> {
    let invalid = |error: &str| io::Error::new(io::ErrorKind::InvalidData, error.to_owned());
    let mut header = [0; 4];
    substream.read_exact(&mut header).await?;
    let length = u32::from_be_bytes(header) as usize;
    if length > OPENING_BYTES_MAX {
        return Err(invalid("the first message of a substream is too large"));
    }
    let mut frame = vec![0; length];
    substream.read_exact(&mut frame).await?;
    SubstreamMessage::from_frame(&frame).map_err(|error| invalid(&error.to_string()))
}

/// Writes one message.
pub(crate) async fn write_opening(substream: &mut Substream, message: SubstreamMessage) -> io::Result<()> {
    let frame = message.to_frame();
    let mut bytes = Vec::with_capacity(frame.len() + 4);
    bytes.extend_from_slice(&(frame.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&frame);
    substream.write_all(&bytes).await?;
    substream.flush().await
}
