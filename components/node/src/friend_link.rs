//! One connection to a friend: TLS inside whatever carries it, hellos, then frames both ways.

use crate::allowance::Allowance;
use crate::core::Job;
use crate::counters::Counters;
use crate::jobs::{Jobs, Party};
use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_funder::{ConnectionId, Input};
use offst_proto::friend::{Direct, FriendMessage};
use offst_proto::limits::FRIEND_FRAME_BYTES_MAX;
use offst_proto::signed::BadSignature;
use offst_secure_channel::{FrameReader, FrameWriter, Keepalive, KeepaliveConfig, KeepaliveStep};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Frames that wait for a friend who does not read. One more, and the connection is closed.
pub(crate) const FRAMES_MAX: usize = 1024;
/// Frames that are written together.
const WRITE_BATCH: usize = 128;

/// Whatever carries a connection to a friend: a relay's substream or a connection of its own, with TLS in it.
pub(crate) type FriendStream = Box<dyn ByteStream>;

/// Bytes both ways.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection whose hellos are exchanged.
pub(crate) struct FriendLink<S> {
    pub(crate) reader: FrameReader<ReadHalf<S>>,
    pub(crate) writer: FrameWriter<WriteHalf<S>>,
    /// Random for each run of the friend's node.
    pub(crate) incarnation: u64,
    /// Where the friend is called without a relay.
    pub(crate) direct: Direct,
}

impl<S: AsyncRead + AsyncWrite> FriendLink<S> {
    /// Says hello, which is a frame, and waits for the friend's.
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

/// What a connection needs to run.
#[derive(Clone)]
pub(crate) struct LinkContext {
    pub(crate) friend: PublicKey,
    pub(crate) connection: ConnectionId,
    pub(crate) jobs: Jobs,
    /// What the friend may send, over all its connections.
    pub(crate) allowance: Allowance,
    pub(crate) counters: Arc<Counters>,
    pub(crate) keepalive: KeepaliveConfig,
    pub(crate) close: CancellationToken,
}

/// Carries frames until either side ends the connection, and says why it ended.
pub(crate) async fn run<S: AsyncRead + AsyncWrite>(
    link: FriendLink<S>,
    context: &LinkContext,
    frames: mpsc::Receiver<Vec<u8>>,
) -> String {
    let FriendLink { reader, writer, .. } = link;
    let (heard, listen) = tokio::sync::watch::channel(Instant::now());
    tokio::select! {
        () = context.close.cancelled() => "it was closed here".to_owned(),
        reason = read(reader, context, heard) => reason,
        reason = write(writer, context, frames, listen) => reason,
    }
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    context: &LinkContext,
    heard: tokio::sync::watch::Sender<Instant>,
) -> String {
    loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the friend closed it".to_owned(),
            Err(error) => return error.to_string(),
        };
        heard.send_replace(Instant::now());
        Counters::add(&context.counters.frames_received, 1);
        Counters::add(&context.counters.bytes_received, frame.len() as u64);
        let message = match FriendMessage::from_frame(&frame) {
            Ok(message) => message,
            Err(error) => return faulty(context, &error.to_string()),
        };
        // Before its signatures are checked. Waiting here slows this friend down, and nobody else.
        let pause = context.allowance.spend(&message, frame.len());
        if !pause.is_zero() {
            Counters::add(&context.counters.friends_slowed, 1);
            tokio::time::sleep(pause).await;
        }
        let input = match message {
            FriendMessage::Keepalive => continue,
            FriendMessage::Resume(resume) => Input::Resume(context.friend, context.connection, resume),
            FriendMessage::Statement(statement) => match statement.verify(&Ed25519Verifier) {
                Ok(statement) => Input::Statement(context.friend, context.connection, Box::new(statement)),
                Err(error) => return faulty(context, &error.to_string()),
            },
            FriendMessage::Evidence(evidence) => Input::Evidence(context.friend, context.connection, evidence),
            FriendMessage::EvidenceStatements(statements) => {
                let verified = statements.into_iter().map(|statement| statement.verify(&Ed25519Verifier));
                match verified.collect() {
                    Ok(statements) => Input::EvidenceStatements(context.friend, context.connection, statements),
                    Err(error) => {
                        let error: BadSignature = error;
                        return faulty(context, &error.to_string());
                    }
                }
            }
            FriendMessage::Hello { .. } => return faulty(context, "a second hello"),
            message => Input::Message(context.friend, context.connection, Box::new(message)),
        };
        // Here, too.
        if context.jobs.bring(Party::Friend(context.friend), Job::Input(input), frame.len()).await.is_err() {
            return "the node is stopping".to_owned();
        }
    }
}

fn faulty(context: &LinkContext, what: &str) -> String {
    Counters::add(&context.counters.faulty_frames, 1);
    format!("the friend sent a faulty frame: {what}")
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: FrameWriter<W>,
    context: &LinkContext,
    mut frames: mpsc::Receiver<Vec<u8>>,
    heard: tokio::sync::watch::Receiver<Instant>,
) -> String {
    let started = Instant::now();
    let at = |instant: Instant| u64::try_from((instant - started).as_millis()).unwrap_or(u64::MAX);
    let mut keepalive = Keepalive::new(context.keepalive, 0);
    let mut batch = Vec::new();
    loop {
        keepalive.received(at(*heard.borrow()));
        let wait = match keepalive.step(at(Instant::now())) {
            KeepaliveStep::Dead => return "the friend fell silent".to_owned(),
            KeepaliveStep::Send => {
                if let Err(error) = writer.send(&FriendMessage::keepalive_frame()).await {
                    return error.to_string();
                }
                continue;
            }
            KeepaliveStep::Wait(milliseconds) => Duration::from_millis(milliseconds),
        };
        let Ok(count) = tokio::time::timeout(wait, frames.recv_many(&mut batch, WRITE_BATCH)).await else {
            continue;
        };
        if count == 0 {
            return "it was closed here".to_owned();
        }
        Counters::add(&context.counters.frames_sent, count as u64);
        Counters::add(&context.counters.bytes_sent, batch.iter().map(|frame| frame.len() as u64).sum());
        if let Err(error) = writer.send_all(batch.drain(..)).await {
            return error.to_string();
        }
        keepalive.sent(at(Instant::now()));
    }
}

#[cfg(test)]
mod tests;
