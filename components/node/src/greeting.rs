//! How a connection to a friend begins: each side sends a hello and waits for the other's.

use offst_proto::friend::{Direct, FriendMessage};
use offst_proto::limits::FRIEND_FRAME_BYTES_MAX;
use offst_secure_channel::{FrameReader, FrameWriter};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};

/// The bytes of a connection to a friend, encrypted, over a relay's substream or over a connection of its own.
pub(crate) type FriendStream = Box<dyn ByteStream>;

/// Bytes in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection whose hellos are exchanged.
pub(crate) struct FriendLink<S> {
    pub(crate) reader: FrameReader<ReadHalf<S>>,
    pub(crate) writer: FrameWriter<WriteHalf<S>>,
    /// Random for each run of the friend's node.
    pub(crate) incarnation: u64,
    /// Where the friend can be dialled without a relay.
    pub(crate) direct: Direct,
}

impl<S: AsyncRead + AsyncWrite> FriendLink<S> {
    /// Sends `hello`, which is a frame, and waits for the friend's.
    pub(crate) async fn greet(stream: S, hello: &[u8], timeout: Duration) -> Result<Self, String> {
        let (reader, writer) = tokio::io::split(stream);
        let mut reader = FrameReader::new(reader, FRIEND_FRAME_BYTES_MAX);
        let mut writer = FrameWriter::new(writer, FRIEND_FRAME_BYTES_MAX);
        let greeting = async {
            writer.send(hello).await.map_err(|error| error.to_string())?;
            let frame = reader.next().await.map_err(|error| error.to_string())?;
            let frame = frame.ok_or("the friend closed the connection")?;
            match FriendMessage::from_frame(&frame).map_err(|error| error.to_string())? {
                FriendMessage::Hello { incarnation, direct } => Ok((incarnation, direct)),
                _ => Err("the friend did not say hello".to_owned()),
            }
        };
        let (incarnation, direct) =
            tokio::time::timeout(timeout, greeting).await.map_err(|_| "the friend did not say hello in time")??;
        Ok(FriendLink { reader, writer, incarnation, direct })
    }
}
