//! Frames, and the messages of every link.

use capnp::message::{Builder, ReaderOptions};
use capnp::serialize::write_message_to_words;
use capnp::traits::{FromPointerBuilder, FromPointerReader, OwnedStruct};
use offst_proto::Unverified;
use offst_proto::app::{APP_MESSAGE_BYTES_MAX, APP_NESTING_MAX, Message};
use offst_proto::encoding::DecodeError;
use offst_proto::friend::{FriendMessage, evidence_statement_frames, resume_frame, statement_frame};
use offst_proto::index::{IndexToNode, NodeToIndex, ServerToServer};
use offst_proto::order::{NewFriend, NewInvoice, Order};
use offst_proto::relay::{NodeToRelay, RelayToNode, SubstreamMessage};
use offst_proto::report::{
    ContactReport, Event, ForwardReport, FriendReport, InvoiceReport, PaymentReport, ServerReport, WriteOffReport,
};
use offst_proto::resolve::{backup_frame, recall_frame, recalled_frame, resolve_frame, resolved_frame};
use offst_proto::statement::Statement;
use offst_secure_channel::{FrameReader, FrameWriter};

/// Largest frame of the link that [`frames`] reads.
const FRAME_BYTES_MAX: usize = 4096;

/// A stream of frames; the ones before an error come out again.
pub(crate) fn frames(bytes: &[u8]) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without threads");
    runtime.block_on(async {
        let mut reader = FrameReader::new(bytes, FRAME_BYTES_MAX);
        let mut frames = Vec::new();
        let ended_well = loop {
            match reader.next().await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let mut written = Vec::new();
        FrameWriter::new(&mut written, FRAME_BYTES_MAX).send_all(&frames).await.expect("memory takes everything");
        assert!(bytes.starts_with(&written));
        assert!(!ended_well || bytes == written);
        ended_well
    })
}

/// What was read is written and read again as the same message.
fn again<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: fn(&[u8]) -> Result<T, DecodeError>,
    write: impl Fn(&T) -> Vec<u8>,
) -> bool {
    let Ok(message) = read(bytes) else { return false };
    let written = write(&message);
    assert_eq!(read(&written).as_ref(), Ok(&message));
    true
}

/// A frame between friends.
pub(crate) fn friend(bytes: &[u8]) -> bool {
    if let Ok(FriendMessage::EvidenceStatements(statements)) = FriendMessage::from_frame(bytes) {
        return evidence_statements(&statements);
    }
    again(bytes, FriendMessage::from_frame, |message| match message {
        FriendMessage::Hello { incarnation, direct } => FriendMessage::hello_frame(*incarnation, direct),
        FriendMessage::Keepalive => FriendMessage::keepalive_frame(),
        FriendMessage::Statement(statement) => statement_frame(statement.wire()),
        FriendMessage::Evidence(evidence) => evidence.frame(),
        FriendMessage::EvidenceStatements(_) => unreachable!("handled above"),
        FriendMessage::Resume(resume) => {
            let opening = resume.opening.as_ref().map(|opening| opening.wire());
            resume_frame(&resume.currency, opening, resume.epoch.as_ref(), resume.recovering)
        }
        FriendMessage::Backup(sealed) => backup_frame(sealed),
        FriendMessage::Recall => recall_frame(),
        FriendMessage::Recalled(sealed) => recalled_frame(sealed),
        FriendMessage::Resolve(ids) => resolve_frame(ids),
        FriendMessage::Resolved(ends) => resolved_frame(ends),
    })
}

/// They may need several frames.
fn evidence_statements(statements: &[Unverified<Statement>]) -> bool {
    let wires: Vec<_> = statements.iter().map(|statement| statement.wire().clone()).collect();
    let read = |frame: Vec<u8>| match FriendMessage::from_frame(&frame) {
        Ok(FriendMessage::EvidenceStatements(statements)) => statements,
        other => panic!("{other:?}"),
    };
    let again: Vec<_> = evidence_statement_frames(&wires).into_iter().flat_map(read).collect();
    assert_eq!(again, statements);
    true
}

/// A frame between a node and a relay, in either direction, or the first of a substream.
pub(crate) fn relay(bytes: &[u8]) -> bool {
    again(bytes, NodeToRelay::from_frame, NodeToRelay::to_frame)
        | again(bytes, RelayToNode::from_frame, RelayToNode::to_frame)
        | again(bytes, SubstreamMessage::from_frame, SubstreamMessage::to_frame)
}

/// A frame between a node and an index server, in either direction.
pub(crate) fn index(bytes: &[u8]) -> bool {
    again(bytes, NodeToIndex::from_frame, NodeToIndex::to_frame)
        | again(bytes, IndexToNode::from_frame, IndexToNode::to_frame)
}

/// A frame between two index servers.
pub(crate) fn federation(bytes: &[u8]) -> bool {
    again(bytes, ServerToServer::from_frame, ServerToServer::to_frame)
}

/// A value of the application interface.
pub(crate) fn app(bytes: &[u8]) -> bool {
    app_value::<FriendReport>(bytes)
        | app_value::<ServerReport>(bytes)
        | app_value::<ContactReport>(bytes)
        | app_value::<PaymentReport>(bytes)
        | app_value::<InvoiceReport>(bytes)
        | app_value::<ForwardReport>(bytes)
        | app_value::<WriteOffReport>(bytes)
        | app_value::<Event>(bytes)
        | app_value::<Order>(bytes)
        | app_value::<NewFriend>(bytes)
        | app_value::<NewInvoice>(bytes)
}

fn app_value<T: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> bool
where
    for<'a> <T::Wire as OwnedStruct>::Builder<'a>: FromPointerBuilder<'a>,
    for<'a> <T::Wire as OwnedStruct>::Reader<'a>: FromPointerReader<'a>,
{
    let read = |bytes: &[u8]| T::read(app_message(bytes)?.get_root::<<T::Wire as OwnedStruct>::Reader<'_>>()?);
    let Ok(value) = read(bytes) else { return false };
    assert_eq!(read(&app_bytes(&value)).as_ref(), Ok(&value));
    true
}

type AppReader<'a> = capnp::message::Reader<capnp::serialize::NoAllocSliceSegments<'a>>;

/// With the bounds that the two ends set.
fn app_message(mut bytes: &[u8]) -> Result<AppReader<'_>, DecodeError> {
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(Some(APP_MESSAGE_BYTES_MAX / 8));
    options.nesting_limit(APP_NESTING_MAX);
    Ok(capnp::serialize::read_message_from_flat_slice_no_alloc(&mut bytes, options)?)
}

/// The message of a value.
pub(crate) fn app_bytes<T: Message>(value: &T) -> Vec<u8>
where
    for<'a> <T::Wire as OwnedStruct>::Builder<'a>: FromPointerBuilder<'a>,
{
    let mut message = Builder::new_default();
    value.write(message.init_root::<<T::Wire as OwnedStruct>::Builder<'_>>());
    write_message_to_words(&message)
}
