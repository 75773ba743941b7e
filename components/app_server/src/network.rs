//! One connection as the RPC library sees it, with bounds: messages are framed here and counted in both directions, and
//! nothing is read while the [`Load`] is at its limits.

use crate::limits::Limits;
use crate::load::{Disposition, Finish, Load};
use capnp::capability::Promise;
use capnp::message::{Builder, HeapAllocator, Reader, ReaderOptions};
use capnp::serialize::{OwnedSegments, SEGMENTS_COUNT_LIMIT, SegmentLengthsBuilder};
use capnp_rpc::rpc_capnp::message;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{IncomingMessage, OutgoingMessage};
use offst_proto::app::APP_NESTING_MAX;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter, ReadHalf};
use tokio::sync::{Notify, mpsc};

/// First segment of a message whose size nobody has estimated, in words of 8 bytes.
const FIRST_SEGMENT_WORDS: u32 = 64;

/// A connection's [`Load`], and those who wait for it to fall.
#[derive(Debug)]
pub(crate) struct SharedLoad {
    load: RefCell<Load>,
    fell: Notify,
}

impl SharedLoad {
    fn change<T>(&self, change: impl FnOnce(&mut Load) -> T) -> T {
        let result = change(&mut self.load.borrow_mut());
        self.fell.notify_waiters();
        result
    }

    async fn wait(&self, is_low: impl Fn(&Load) -> bool) {
        loop {
            // Registered before the check, so that no change between the two is missed.
            let fell = self.fell.notified();
            if is_low(&self.load.borrow()) {
                return;
            }
            fell.await;
        }
    }

    /// Waits until a long answer may be made.
    pub(crate) async fn room_for_an_answer(&self) {
        self.wait(Load::may_answer).await;
    }
}

/// A message that was read.
type Message = Reader<OwnedSegments>;

/// What the writer does next.
enum Outgoing {
    /// Writes a message.
    Message { bytes: Vec<u8>, cost: usize },
    /// Ends. Calls that are still at work may hold senders, so the queue's end does not say it.
    Shutdown,
}

/// Splits a stream into what the RPC library reads and a future that writes what it sends. The future ends when the library
/// has shut the connection down and everything is written, or when the peer takes nothing any more.
pub(crate) fn network<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    stream: S,
    limits: Limits,
) -> (Network<S>, Rc<SharedLoad>, impl Future<Output = io::Result<()>>) {
    let (reader, writer) = tokio::io::split(stream);
    let load = Rc::new(SharedLoad { load: RefCell::new(Load::new(limits)), fell: Notify::new() });
    let (sender, queue) = mpsc::unbounded_channel();
    let connection = Connection {
        reader: Rc::new(RefCell::new(Some(Incoming { reader: BufReader::new(reader), held: None }))),
        sender,
        load: load.clone(),
        message_bytes_max: limits.message_bytes_max,
    };
    let patience = Duration::from_millis(limits.write_timeout_ms);
    let writing = write_messages(BufWriter::new(writer), queue, load.clone(), patience);
    (Network { connection: Some(connection) }, load, writing)
}

async fn write_messages(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
    load: Rc<SharedLoad>,
    patience: Duration,
) -> io::Result<()> {
    let too_slow = || io::Error::new(io::ErrorKind::TimedOut, "the app does not take its answers");
    while let Some(Outgoing::Message { bytes, cost }) = queue.recv().await {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            // Every step must make progress; how long the whole takes does not matter.
            let written = tokio::time::timeout(patience, writer.write(rest)).await.map_err(|_| too_slow())??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = &rest[written..];
        }
        if queue.is_empty() {
            tokio::time::timeout(patience, writer.flush()).await.map_err(|_| too_slow())??;
        }
        load.change(|load| load.written(cost));
    }
    tokio::time::timeout(patience, writer.shutdown()).await.map_err(|_| too_slow())?
}

/// The two parties of a connection; we are the server.
pub(crate) struct Network<S: AsyncRead + AsyncWrite> {
    connection: Option<Connection<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> capnp_rpc::VatNetwork<Side> for Network<S> {
    fn connect(&mut self, _: Side) -> Option<Box<dyn capnp_rpc::Connection<Side>>> {
        // Asked for only by a side that calls its peer; a node does not.
        None
    }

    fn accept(&mut self) -> Promise<Box<dyn capnp_rpc::Connection<Side>>, capnp::Error> {
        match self.connection.take() {
            Some(connection) => Promise::ok(Box::new(connection)),
            None => Promise::from_future(std::future::pending()),
        }
    }

    fn drive_until_shutdown(&mut self) -> Promise<(), capnp::Error> {
        // The writing future does the work; the task that runs it ends the RPC system with it.
        Promise::from_future(std::future::pending())
    }
}

/// The side that reads.
struct Incoming<S> {
    reader: BufReader<ReadHalf<S>>,
    /// Was read while a `Finish` became due, which goes first.
    held: Option<Message>,
}

struct Connection<S: AsyncRead + AsyncWrite> {
    /// Taken while a message is read.
    reader: Rc<RefCell<Option<Incoming<S>>>>,
    sender: mpsc::UnboundedSender<Outgoing>,
    load: Rc<SharedLoad>,
    message_bytes_max: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> capnp_rpc::Connection<Side> for Connection<S> {
    fn get_peer_vat_id(&self) -> Side {
        Side::Client
    }

    fn new_outgoing_message(&mut self, first_segment_word_size: u32) -> Box<dyn OutgoingMessage> {
        let words = if first_segment_word_size == 0 { FIRST_SEGMENT_WORDS } else { first_segment_word_size };
        Box::new(OutgoingRpc {
            message: Builder::new(HeapAllocator::new().first_segment_words(words)),
            sender: self.sender.clone(),
            load: self.load.clone(),
        })
    }

    fn receive_incoming_message(&mut self) -> Promise<Option<Box<dyn IncomingMessage>>, capnp::Error> {
        let Some(mut incoming) = self.reader.borrow_mut().take() else {
            return Promise::err(capnp::Error::failed("a message is being read already".into()));
        };
        let (back, load, bytes_max) = (self.reader.clone(), self.load.clone(), self.message_bytes_max);
        Promise::from_future(async move {
            let message = incoming.next(&load, bytes_max).await?;
            *back.borrow_mut() = Some(incoming);
            Ok(message)
        })
    }

    fn shutdown(&mut self, _: capnp::Result<()>) -> Promise<(), capnp::Error> {
        // Nobody listens when the writer has ended before.
        let _ = self.sender.send(Outgoing::Shutdown);
        Promise::ok(())
    }
}

impl<S: AsyncRead> Incoming<S> {
    /// The next message for the library.
    async fn next(&mut self, load: &SharedLoad, bytes_max: usize) -> capnp::Result<Option<Box<dyn IncomingMessage>>> {
        loop {
            if let Some(finish) = load.change(Load::late_finish) {
                return Ok(Some(Box::new(late_finish(finish)?)));
            }
            if let Some(message) = self.held.take() {
                return Ok(Some(Box::new(IncomingRpc(message))));
            }
            load.wait(Load::may_read).await;
            let Some((message, bytes)) = read_message(&mut self.reader, bytes_max).await? else { return Ok(None) };
            let root = message.get_root::<message::Reader<'_>>()?;
            let received = load.change(|load| load.received(root, bytes));
            match received.map_err(|violation| capnp::Error::failed(violation.to_string()))? {
                Disposition::Deliver => self.held = Some(message),
                Disposition::Withhold => {}
            }
        }
    }
}

fn late_finish(finish: Finish) -> capnp::Result<IncomingRpc> {
    let mut message = Builder::new_default();
    let mut builder = message.init_root::<message::Builder<'_>>().init_finish();
    builder.set_question_id(finish.id);
    builder.set_release_result_caps(finish.release_result_caps);
    let bytes = capnp::serialize::write_message_to_words(&message);
    Ok(IncomingRpc(capnp::serialize::read_message(&bytes[..], ReaderOptions::new())?))
}

/// Reads one message of at most `bytes_max` bytes, and how many it has. None at the end of the stream.
async fn read_message(
    reader: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> capnp::Result<Option<(Message, usize)>> {
    let mut count = [0; 4];
    if reader.read(&mut count[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut count[1..]).await?;
    let too_large = || capnp::Error::failed(format!("a message has at most {bytes_max} bytes"));
    // The number on the wire is one less than the number of segments.
    let segments = u32::from_le_bytes(count) as usize;
    if segments >= SEGMENTS_COUNT_LIMIT {
        return Err(too_large());
    }
    let segments = segments + 1;
    // Sizes of four bytes each; after an even number of segments four more bytes fill the last word.
    let mut sizes = vec![0; segments / 2 * 8 + 4];
    reader.read_exact(&mut sizes).await?;
    let sizes =
        sizes.chunks_exact(4).take(segments).map(|size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
    let mut builder = SegmentLengthsBuilder::with_capacity(segments);
    let mut bytes = 0usize;
    for words in sizes {
        bytes = bytes.saturating_add((words as usize).saturating_mul(8));
        if bytes > bytes_max {
            return Err(too_large());
        }
        builder.try_push_segment(words as usize)?;
    }
    let mut content = builder.into_owned_segments();
    reader.read_exact(&mut content[..]).await?;
    let mut options = ReaderOptions::new();
    // Pointers that make one byte be read many times are refused.
    options.traversal_limit_in_words(Some(bytes / 8 * 4 + 64));
    options.nesting_limit(APP_NESTING_MAX);
    Ok(Some((Reader::new(content, options), bytes)))
}

struct IncomingRpc(Message);

impl IncomingMessage for IncomingRpc {
    fn get_body(&self) -> capnp::Result<capnp::any_pointer::Reader<'_>> {
        self.0.get_root()
    }
}

struct OutgoingRpc {
    message: Builder<HeapAllocator>,
    sender: mpsc::UnboundedSender<Outgoing>,
    load: Rc<SharedLoad>,
}

impl OutgoingMessage for OutgoingRpc {
    fn get_body(&mut self) -> capnp::Result<capnp::any_pointer::Builder<'_>> {
        self.message.get_root()
    }

    fn get_body_as_reader(&self) -> capnp::Result<capnp::any_pointer::Reader<'_>> {
        self.message.get_root_as_reader()
    }

    fn send(self: Box<Self>) -> (Promise<(), capnp::Error>, Rc<Builder<HeapAllocator>>) {
        let OutgoingRpc { message, sender, load } = *self;
        let bytes = capnp::serialize::write_message_to_words(&message);
        let sent = message.get_root_as_reader::<message::Reader<'_>>().and_then(|root| {
            let cost = load.change(|load| load.queued(root, bytes.len()));
            sender
                .send(Outgoing::Message { bytes, cost })
                .map_err(|_| capnp::Error::disconnected("the connection is closed".into()))
        });
        // The library does not wait for what it sends; the load tells how much waits.
        (Promise::from_future(std::future::ready(sent)), Rc::new(message))
    }

    fn take(self: Box<Self>) -> Builder<HeapAllocator> {
        self.message
    }

    fn size_in_words(&self) -> usize {
        self.message.size_in_words()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8], bytes_max: usize) -> capnp::Result<Option<usize>> {
        Ok(read_message(&mut &bytes[..], bytes_max).await?.map(|(_, bytes)| bytes))
    }

    #[tokio::test]
    async fn messages_are_read_within_their_bounds() {
        for segments in 1..6 {
            // Small segments, so that there are several.
            let allocator = HeapAllocator::new()
                .first_segment_words(8)
                .allocation_strategy(capnp::message::AllocationStrategy::FixedSize);
            let mut message = Builder::new(allocator);
            let mut list =
                message.init_root::<message::Builder<'_>>().init_call().init_params().init_cap_table(segments);
            for position in 0..segments {
                list.reborrow().get(position).init_third_party_hosted().set_vine_id(position);
            }
            let bytes = capnp::serialize::write_message_to_words(&message);
            let length = read(&bytes, 1000).await.unwrap().unwrap();
            assert!(length < bytes.len() && read(&bytes, length).await.is_ok());
            assert!(read(&bytes, length - 1).await.is_err());
            for cut in 1..bytes.len() {
                assert!(read(&bytes[..cut], 1000).await.is_err(), "{cut} of {}", bytes.len());
            }
        }
        assert_eq!(read(&[], 1000).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_size_is_checked_before_anything_is_allocated() {
        assert!(read(&[0xff; 4], usize::MAX).await.is_err());
        assert!(read(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 1000).await.is_err());
        let mut many = vec![0xff; 4 + 512 * 4];
        many[..4].copy_from_slice(&511u32.to_le_bytes());
        assert!(read(&many, 1000).await.is_err());
    }
}
