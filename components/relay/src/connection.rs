//! One node's connection, as the relay serves it.

use crate::in_flight::NodeInFlight;
use crate::keep_alive::keep_alive;
use crate::mux::{Mux, MuxConfig, Substream};
use crate::opening::{read_opening, write_opening};
use crate::peer::{Control, Peer};
use crate::pipe::pipe;
use crate::registry::{RelayConnectionId, SubstreamId};
use crate::state::Relay;
use crate::yamux_frames::STREAM_WORK_BYTES;
use futures::AsyncWriteExt;
use offst_crypto::PublicKey;
use offst_proto::relay::{NodeToRelay, RELAY_FRAME_BYTES_MAX, Refusal, RelayToNode, SubstreamMessage};
use offst_secure_channel::{Accepted, FrameReader, FrameWriter, address_group};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::compat::FuturesAsyncReadCompatExt;
use tokio_util::sync::CancellationToken;

/// Connections that are told at the same time why they are refused. Those above are closed without an answer.
const REFUSING_MAX: usize = 64;
/// How long an evicted connection may take to read why.
const EVICTION_TIME: Duration = Duration::from_secs(1);
/// Messages of the control stream that are written together.
const CONTROL_BATCH: usize = 64;

/// Why a connection ended.
enum End {
    /// The node or the network closed it.
    Gone(String),
    /// Nothing came from the node for too long.
    Dead,
    /// A later connection with the same key took over.
    Displaced,
    /// It was closed to make room for another.
    Evicted,
    /// The node broke the protocol or a limit.
    Misbehaved(String),
    /// The relay stops.
    Stopped,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Gone(reason) | End::Misbehaved(reason) => f.write_str(reason),
            End::Dead => f.write_str("nothing came from it for too long"),
            End::Evicted => f.write_str("its address had most of all connections, and the relay is full"),
            End::Displaced => f.write_str("another connection with the same key took over"),
            End::Stopped => f.write_str("the relay stops"),
        }
    }
}

/// Serves a connection from the handshake to the end.
pub(crate) async fn run(relay: Arc<Relay>, accepted: Accepted, stop: CancellationToken) {
    let Accepted { public_key, address, stream } = accepted;
    match relay.connect(address.ip()) {
        Ok((id, evicted)) => {
            let _guard = ConnectionGuard { relay: relay.clone(), id };
            let node = Node { id, key: public_key, address: address.ip(), relay, evicted, stop };
            let end = node.serve(stream).await;
            let counters = &node.relay.counters;
            match end {
                End::Dead => counters.dead.fetch_add(1, Ordering::Relaxed),
                End::Misbehaved(_) => counters.misbehaved.fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
            log::debug!("connection of {public_key} from {address} ended: {end}");
        }
        Err(refusal) => {
            relay.counters.connections_refused.fetch_add(1, Ordering::Relaxed);
            log::info!(peer:% = address_group(address.ip()); "refused {public_key} from {address}: {refusal}");
            stop.run_until_cancelled(refuse(&relay, stream, address.ip(), refusal)).await;
        }
    }
}

/// Removes the connection from the registry, however its task ends.
struct ConnectionGuard {
    relay: Arc<Relay>,
    id: RelayConnectionId,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.relay.remove(self.id);
    }
}

/// Removes the substream from the registry, however its task ends.
struct SubstreamGuard {
    relay: Arc<Relay>,
    id: SubstreamId,
}

impl Drop for SubstreamGuard {
    fn drop(&mut self) {
        self.relay.remove_substream(self.id);
    }
}

/// Closes the connection, however its task ends.
struct CloseOnDrop(Mux);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Waits for the end of the connection.
async fn ended(mux: &Mux) -> End {
    let reason = mux.closed().await;
    if mux.meter().broke_rules() { End::Misbehaved(reason) } else { End::Gone(reason) }
}

fn start_mux<T>(relay: &Relay, stream: T, address: IpAddr, streams_max: usize) -> (Mux, mpsc::Receiver<Substream>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = MuxConfig {
        mode: yamux::Mode::Server,
        streams_max,
        throttle: relay.throttle(address, streams_max),
        node: NodeInFlight::new(relay.in_flight.clone()),
    };
    Mux::start(stream, config)
}

/// Tells a node why it cannot stay.
async fn refuse<T>(relay: &Relay, stream: T, address: IpAddr, refusal: Refusal)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    struct Refusing<'a>(&'a Relay);
    impl Drop for Refusing<'_> {
        fn drop(&mut self) {
            self.0.refusing.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let before = relay.refusing.fetch_add(1, Ordering::Relaxed);
    let _refusing = Refusing(relay);
    if before >= REFUSING_MAX {
        return;
    }
    let (mux, mut inbound) = start_mux(relay, stream, address, 1);
    let _close = CloseOnDrop(mux.clone());
    let tell = async {
        if let Some(control) = inbound.recv().await {
            let mut writer = FrameWriter::new(control.compat(), RELAY_FRAME_BYTES_MAX);
            let told = writer.send(&RelayToNode::Refused(refusal).to_frame()).await;
            if told.is_ok() {
                mux.close();
                mux.closed().await;
            }
        }
    };
    // A node that does not even read is disconnected without an answer.
    let _ = timeout(Duration::from_millis(relay.limits.handshake.handshake_timeout_ms), tell).await;
}

#[derive(Clone)]
struct Node {
    id: RelayConnectionId,
    key: PublicKey,
    address: IpAddr,
    relay: Arc<Relay>,
    /// Cancelled when the connection has to make room for another.
    evicted: CancellationToken,
    stop: CancellationToken,
}

impl Node {
    fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.relay.limits.handshake.handshake_timeout_ms)
    }

    async fn serve<T>(&self, stream: T) -> End
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The control stream is one more.
        let streams_max = self.relay.limits.substreams_per_node_max + 1;
        let (mux, mut inbound) = start_mux(&self.relay, stream, self.address, streams_max);
        let _close = CloseOnDrop(mux.clone());
        let control = tokio::select! {
            control = timeout(self.handshake_timeout(), inbound.recv()) => control,
            () = self.evicted.cancelled() => return End::Evicted,
            () = self.stop.cancelled() => return End::Stopped,
        };
        let control = match control {
            Ok(Some(control)) => control,
            Ok(None) => return ended(&mux).await,
            Err(_) => return End::Misbehaved("it did not open a control stream in time".into()),
        };
        let cut = control.incoming().cut().clone();
        let (reader, writer) = tokio::io::split(control.compat());
        // Room for the presence of everybody it watches, twice.
        let (messages, queue) = mpsc::channel(self.relay.limits.watched_per_node_max * 2 + CONTROL_BATCH);
        self.relay.add_peer(self.id, Peer { control: messages.clone(), mux: mux.clone() });
        self.relay.decide(|registry| ((), registry.register(self.id, self.key)));
        log::debug!("{} registered", self.key);
        let end = tokio::select! {
            end = self.read_control(reader) => end,
            end = self.write_control(writer, queue) => end,
            end = self.accept_substreams(inbound, &mux) => end,
            () = keep_alive(self.relay.limits.keepalive, &mux, || {
                messages.try_send(Control::Send(RelayToNode::Keepalive)).is_ok()
            }) => End::Dead,
            end = ended(&mux) => end,
            () = async {
                self.evicted.cancelled().await;
                sleep(EVICTION_TIME).await;
            } => End::Evicted,
            () = cut.cancelled() => End::Misbehaved("it sent too much at once".into()),
            () = self.stop.cancelled() => End::Stopped,
        };
        mux.close();
        match ended(&mux).await {
            // This counts more than what was noticed first.
            misbehaved @ End::Misbehaved(_) => misbehaved,
            _ => end,
        }
    }

    async fn read_control(&self, reader: impl AsyncRead + Unpin) -> End {
        let mut reader = FrameReader::new(reader, RELAY_FRAME_BYTES_MAX);
        loop {
            let frame = match reader.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return End::Gone("the other side closed it".into()),
                Err(error) => return End::Gone(error.to_string()),
            };
            match NodeToRelay::from_frame(&frame) {
                Ok(NodeToRelay::Watch(keys)) => {
                    self.relay.decide(|registry| ((), registry.watch(self.id, &keys)));
                }
                Ok(NodeToRelay::Unwatch(keys)) => {
                    self.relay.decide(|registry| (registry.unwatch(self.id, &keys), vec![]));
                }
                Ok(NodeToRelay::Keepalive) => {}
                Err(error) => return End::Misbehaved(format!("it sent something that is no message: {error}")),
            }
        }
    }

    async fn write_control(&self, writer: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Control>) -> End {
        let mut writer = FrameWriter::new(writer, RELAY_FRAME_BYTES_MAX);
        let mut batch = Vec::new();
        loop {
            queue.recv_many(&mut batch, CONTROL_BATCH).await;
            let mut closes = false;
            for control in batch.drain(..) {
                let written = match control {
                    Control::Send(message) => writer.feed(&message.to_frame()).await,
                    Control::Close => {
                        closes = true;
                        break;
                    }
                };
                if let Err(error) = written {
                    return End::Gone(error.to_string());
                }
            }
            if let Err(error) = writer.flush().await {
                return End::Gone(error.to_string());
            }
            if closes {
                return if self.evicted.is_cancelled() { End::Evicted } else { End::Displaced };
            }
        }
    }

    /// Every substream has a task; yamux bounds their number.
    async fn accept_substreams(&self, mut inbound: mpsc::Receiver<Substream>, mux: &Mux) -> End {
        while let Some(substream) = inbound.recv().await {
            let node = self.clone();
            let mux = mux.clone();
            tokio::spawn(async move {
                let cut = substream.incoming().cut().clone();
                tokio::select! {
                    ended = node.connect(substream) => {
                        if let Err(error) = ended {
                            log::trace!("a substream of {} ended: {error}", node.key);
                        }
                    }
                    () = cut.cancelled() => {}
                    _ = mux.closed() => {}
                    () = node.stop.cancelled() => {}
                }
            });
        }
        ended(mux).await
    }

    /// Connects a substream that this node opened with the node that it asks for.
    async fn connect(&self, mut near: Substream) -> io::Result<()> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let refusal = match timeout(self.handshake_timeout(), read_opening(&mut near)).await.map_err(late)? {
            Ok(SubstreamMessage::Connect(target)) => match self.open(target).await {
                Ok((guard, peer, far)) => return self.join(near, far, guard, peer).await,
                Err(refusal) => refusal,
            },
            Ok(_) => Refusal::Malformed,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Refusal::Malformed,
            Err(error) => return Err(error),
        };
        self.relay.counters.substreams_refused.fetch_add(1, Ordering::Relaxed);
        near.charge(STREAM_WORK_BYTES);
        let refused = async {
            write_opening(&mut near, SubstreamMessage::Refused(refusal)).await?;
            near.close().await
        };
        timeout(self.handshake_timeout(), refused).await.map_err(late)?
    }

    /// Opens a substream to `target`.
    async fn open(&self, target: PublicKey) -> Result<(SubstreamGuard, Peer, Substream), Refusal> {
        let decided = self.relay.decide(|registry| (registry.open(self.id, target, self.relay.now_ms()), vec![]));
        let (id, target_id) = decided?;
        let guard = SubstreamGuard { relay: self.relay.clone(), id };
        let peer = self.relay.peer(target_id).ok_or(Refusal::Absent)?;
        let far = timeout(self.handshake_timeout(), peer.mux.open()).await.map_err(|_| Refusal::Busy)?;
        Ok((guard, peer, far.map_err(|_| Refusal::Absent)?))
    }

    /// Tells both nodes and copies their bytes.
    async fn join(&self, mut near: Substream, mut far: Substream, guard: SubstreamGuard, peer: Peer) -> io::Result<()> {
        self.relay.counters.substreams_opened.fetch_add(1, Ordering::Relaxed);
        near.set_outgoing(far.incoming().clone());
        far.set_outgoing(near.incoming().clone());
        let cut = far.incoming().cut().clone();
        let copying = async {
            let told = async {
                write_opening(&mut far, SubstreamMessage::Incoming(self.key)).await?;
                write_opening(&mut near, SubstreamMessage::Accepted).await
            };
            timeout(self.handshake_timeout(), told).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            pipe(near, far, &self.relay.counters.bytes_forwarded).await
        };
        let ended = tokio::select! {
            ended = copying => ended,
            () = cut.cancelled() => Ok(()),
            _ = peer.mux.closed() => Ok(()),
        };
        drop(guard);
        ended
    }
}
