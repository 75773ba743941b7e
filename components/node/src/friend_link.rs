//! One connection to a friend after the hellos: frames in both directions, until one side ends it.

use crate::core_queue::{CoreQueue, Source};
use crate::counters::Counters;
use crate::greeting::FriendLink;
use crate::messages::CoreEvent;
use crate::rate_limit::FriendRateLimit;
use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_funder::{ConnectionId, Input};
use offst_proto::friend::FriendMessage;
use offst_proto::signed::BadSignature;
use offst_secure_channel::{FrameReader, FrameWriter, Keepalive, KeepaliveConfig, KeepaliveStep};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Frames that wait for a friend that does not read them. One more, and the connection is closed.
pub(crate) const FRAMES_MAX: usize = 1024;
/// Frames that are written together.
const WRITE_BATCH: usize = 128;

/// What a connection needs to run.
#[derive(Clone)]
pub(crate) struct LinkContext {
    pub(crate) friend: PublicKey,
    pub(crate) connection: ConnectionId,
    pub(crate) core: CoreQueue,
    /// What the friend may send, over all its connections.
    pub(crate) rate_limit: FriendRateLimit,
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
    let (received, last_received) = watch::channel(Instant::now());
    tokio::select! {
        () = context.close.cancelled() => "it was closed here".to_owned(),
        reason = read(reader, context, received) => reason,
        reason = write(writer, context, frames, last_received) => reason,
    }
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    context: &LinkContext,
    received: watch::Sender<Instant>,
) -> String {
    loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the friend closed it".to_owned(),
            Err(error) => return error.to_string(),
        };
        received.send_replace(Instant::now());
        Counters::add(&context.counters.frames_received, 1);
        Counters::add(&context.counters.bytes_received, frame.len() as u64);
        let message = match FriendMessage::from_frame(&frame) {
            Ok(message) => message,
            Err(error) => return invalid(context, &error.to_string()),
        };
        // Before its signatures are checked. Waiting here slows this friend down, and nobody else.
        let pause = context.rate_limit.spend(&message, frame.len());
        if !pause.is_zero() {
            Counters::add(&context.counters.friends_slowed, 1);
            tokio::time::sleep(pause).await;
        }
        let input = match message {
            FriendMessage::Keepalive => continue,
            FriendMessage::Resume(resume) => Input::Resume(context.friend, context.connection, resume),
            FriendMessage::Statement(statement) => match statement.verify(&Ed25519Verifier) {
                Ok(statement) => Input::Statement(context.friend, context.connection, Box::new(statement)),
                Err(error) => return invalid(context, &error.to_string()),
            },
            FriendMessage::Evidence(evidence) => Input::Evidence(context.friend, context.connection, evidence),
            FriendMessage::EvidenceStatements(statements) => {
                let verified = statements.into_iter().map(|statement| statement.verify(&Ed25519Verifier));
                match verified.collect() {
                    Ok(statements) => Input::EvidenceStatements(context.friend, context.connection, statements),
                    Err(error) => {
                        let error: BadSignature = error;
                        return invalid(context, &error.to_string());
                    }
                }
            }
            FriendMessage::Hello { .. } => return invalid(context, "a second hello"),
            message => Input::Message(context.friend, context.connection, Box::new(message)),
        };
        // Waiting here slows this friend down, too.
        if context.core.send(Source::Friend(context.friend), CoreEvent::Input(input), frame.len()).await.is_err() {
            return "the node is stopping".to_owned();
        }
    }
}

fn invalid(context: &LinkContext, what: &str) -> String {
    Counters::add(&context.counters.faulty_frames, 1);
    format!("the friend sent an invalid frame: {what}")
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: FrameWriter<W>,
    context: &LinkContext,
    mut frames: mpsc::Receiver<Vec<u8>>,
    last_received: watch::Receiver<Instant>,
) -> String {
    let started = Instant::now();
    let at = |instant: Instant| u64::try_from((instant - started).as_millis()).unwrap_or(u64::MAX);
    let mut keepalive = Keepalive::new(context.keepalive, 0);
    let mut batch = Vec::new();
    loop {
        keepalive.received(at(*last_received.borrow()));
        let wait = match keepalive.step(at(Instant::now())) {
            KeepaliveStep::Dead => return "nothing came from the friend for too long".to_owned(),
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
