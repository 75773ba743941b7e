//! A node's file of settings.

use crate::settings::check_keepalive;
use offst_app_server::Limits;
use offst_funder::Timing;
use offst_index_client::Config;
use offst_node::{DirectSettings, FriendLimits, NodeSettings};
use offst_proto::fee_bound::FeeBounds;
use offst_proto::index::TIME_TO_LIVE_MS_MAX;
use offst_proto::limits::PATIENCE_MS_MAX;
use offst_proto::ticket::Address;
use offst_relay::ClientConfig;
use offst_secure_channel::{HandshakeLimits, KeepaliveConfig};
use std::net::SocketAddr;

/// Most substreams at one relay: their windows are counted in bytes, 256 kB each.
const RELAY_SUBSTREAMS_MAX: usize = 1 << 16;

fn defaults() -> NodeSettings {
    NodeSettings::default()
}

crate::settings! {
    /// The file.
    pub(super) struct NodeFile {
        /// Where to listen for applications. By default: the port of the node's address on all interfaces; a loopback address
        /// as it is.
        listen: Option<SocketAddr> = None => "127.0.0.1:9500",
        /// Where to listen for friends, who then connect without a relay. By default: the port of friend_address, in the same
        /// way. Without either, the node does not listen for friends.
        listen_friends: Option<SocketAddr> = None => "0.0.0.0:9600",
        /// Where friends reach the node without a relay. It is put into exported tickets and told to friends that are connected.
        friend_address: Option<Address> = None => "node.example.org:9600",
        /// Where to serve metrics over HTTP, in the format of Prometheus. By default they are not served.
        metrics: Option<SocketAddr> = None => "127.0.0.1:9102",
        /// How long a request may take to reach the destination and come back, besides patience_step_ms for each hop,
        /// milliseconds.
        patience_ms: u64 = defaults().timing.patience_ms,
        /// How much less time each further hop has, milliseconds.
        patience_step_ms: u64 = defaults().timing.patience_step_ms,
        /// A request of others that is not committed after this time is cancelled, milliseconds, at most 3600000.
        patience_max_ms: u64 = defaults().timing.patience_max_ms,
        /// The most that is paid in fees when the command has no --max-fee: this share of the amount or this many credits,
        /// whichever is more. For one currency: "10% or 2:hours".
        max_fee_default: FeeBounds = defaults().fee_bounds,
        /// A committed request that a friend holds for longer than this is overdue, milliseconds.
        overdue_ms: u64 = defaults().timing.overdue_ms,
        /// How long an account is idle before a last statement acknowledges everything, milliseconds.
        account_idle_ms: u64 = defaults().timing.idle_ms,
        /// Protection against jamming: an uncommitted request that is held for longer counts against the two friends between
        /// which it is forwarded, by its share of the credit limit, milliseconds.
        hold_ms: u64 = defaults().timing.hold_ms,
        /// How long it takes until the most that can count is forgotten, milliseconds.
        strike_ms: u64 = defaults().timing.strike_ms,
        /// How long a payment without a route waits before it asks the index servers again, milliseconds.
        route_retry_ms: u64 = defaults().timing.retry_ms,
        /// How long a hop that refused a payment is avoided by the next payments, milliseconds.
        refusal_ms: u64 = defaults().timing.refusal_ms,
        /// How long a hop that gave no answer in time is avoided by the next payments, milliseconds; twice as long after each
        /// further time.
        silence_ms: u64 = defaults().timing.silence_ms,
        /// The longest such time, milliseconds.
        silence_max_ms: u64 = defaults().timing.silence_max_ms,
        /// With set-auto-clear on: how long the node waits between two searches for a debt cycle, milliseconds; up to twice as
        /// long.
        clear_interval_ms: u64 = defaults().timing.clear_ms,
        /// How long a friend may be offline before the uncommitted requests that it holds are cancelled, milliseconds.
        offline_ms: u64 = defaults().timing.offline_ms,
        /// The shortest time between two peer backups, milliseconds.
        peer_backup_ms: u64 = defaults().timing.backup_ms,
        /// Most messages that are written to the disk together.
        batch_max: usize = defaults().batch_max,
        /// Longest wait before a relay or a friend is dialled again, milliseconds.
        reconnect_max_ms: u64 = defaults().reconnect_max_ms,
        /// How long an answer of the index servers is used again for the same question, milliseconds.
        route_reuse_ms: u64 = defaults().route_reuse_ms,
        /// Something is sent to every friend over a relay at least this often, milliseconds.
        friend_keepalive_ms: u64 = defaults().friend_keepalive.keepalive_ms,
        /// A friend that sent nothing for this long is offline, milliseconds; at least twice friend_keepalive_ms.
        friend_idle_timeout_ms: u64 = defaults().friend_keepalive.idle_timeout_ms,
        /// Most bytes a second that are read from one friend, and most at once.
        friend_bytes_per_second: u64 = defaults().friend_limits.bytes_per_second,
        /// Most questions a second from each friend, and as many at once: where accounts stand, backups, ends of payments.
        friend_questions_per_second: u64 = defaults().friend_limits.questions_per_second,
        /// Whether friends are dialled at private and loopback addresses. By default: only when friend_address is one or, if
        /// there is none, when no relay of the node has a public address.
        dial_private: Option<bool> = None => true,
        /// Longest time for connecting to a friend without a relay, milliseconds; then a relay is tried.
        direct_connect_timeout_ms: u64 = defaults().direct.connect_timeout_ms,
        /// Longest wait before a friend that is reachable over a relay is dialled again without one, milliseconds.
        direct_retry_max_ms: u64 = defaults().direct.retry_max_ms,
        /// Something is sent to every friend that is connected without a relay at least this often, milliseconds.
        direct_keepalive_ms: u64 = defaults().direct.keepalive.keepalive_ms,
        /// Such a friend that sent nothing for this long is offline, milliseconds; at least twice direct_keepalive_ms.
        direct_idle_timeout_ms: u64 = defaults().direct.keepalive.idle_timeout_ms,
        /// Most incoming connections at the same time that have not shown yet that they are from friends.
        direct_handshakes_max: usize = defaults().direct.handshakes.handshakes_max,
        /// Most of them from one address.
        direct_handshakes_per_address_max: usize = defaults().direct.handshakes.handshakes_per_address_max,
        /// An incoming connection that takes longer to show its key is closed, milliseconds.
        direct_handshake_timeout_ms: u64 = defaults().direct.handshakes.handshake_timeout_ms,
        /// Longest time for connecting to a relay, milliseconds.
        relay_connect_timeout_ms: u64 = defaults().relay.connect_timeout_ms,
        /// Longest time for opening a substream to a friend at a relay, milliseconds.
        relay_open_timeout_ms: u64 = defaults().relay.open_timeout_ms,
        /// Something is sent to every relay at least this often, milliseconds.
        relay_keepalive_ms: u64 = defaults().relay.keepalive.keepalive_ms,
        /// A relay that sent nothing for this long is disconnected, milliseconds; at least twice relay_keepalive_ms.
        relay_idle_timeout_ms: u64 = defaults().relay.keepalive.idle_timeout_ms,
        /// Most substreams at one relay, at most 65536.
        relay_substreams_max: usize = defaults().relay.substreams_max,
        /// Most messages of one relay that wait to be read.
        relay_events_max: usize = defaults().relay.events_max,
        /// Most bytes from one relay that wait to be read.
        relay_unread_bytes_max: u64 = defaults().relay.unread_bytes_max,
        /// Most bytes a second that are read from one relay. Each frame counts 64 bytes more, a new substream 16384.
        relay_bytes_per_second: u64 = defaults().relay.bytes_per_second,
        /// An index server is told of changes at most once in this time, milliseconds.
        index_publish_interval_ms: u64 = defaults().index.publish_interval_ms,
        /// How long an index server keeps what it was told, milliseconds, at most 3600000; it is told again after half of it.
        index_time_to_live_ms: u64 = defaults().index.time_to_live_ms,
        /// An index server that does not confirm what it was told for so long is disconnected, milliseconds.
        index_update_timeout_ms: u64 = defaults().index.update_timeout_ms,
        /// How long the node waits when an index server refused what it was told, milliseconds.
        index_refused_wait_ms: u64 = defaults().index.refused_wait_ms,
        /// Longest time for a question to an index server, milliseconds.
        index_query_timeout_ms: u64 = defaults().index.query_timeout_ms,
        /// How long a payment that has a route waits for a second index server's answer, milliseconds.
        index_second_answer_ms: u64 = defaults().index.second_answer_ms,
        /// Most questions to index servers at the same time.
        index_queries_max: usize = defaults().index.queries_max,
        /// First wait before an index server is dialled again, doubled after each failure, milliseconds.
        index_reconnect_min_ms: u64 = defaults().index.reconnect_min_ms,
        /// Longest wait before an index server is dialled again, milliseconds.
        index_reconnect_max_ms: u64 = defaults().index.reconnect_max_ms,
        /// Longest time for connecting to an index server, milliseconds.
        index_connect_timeout_ms: u64 = defaults().index.connect_timeout_ms,
        /// Something is sent to every index server at least this often, milliseconds.
        index_keepalive_ms: u64 = defaults().index.keepalive.keepalive_ms,
        /// An index server that sent nothing for this long is disconnected, milliseconds; at least twice index_keepalive_ms.
        index_idle_timeout_ms: u64 = defaults().index.keepalive.idle_timeout_ms,
        /// Most connections of all applications together; one more closes the oldest of the application that has most.
        app_connections_max: usize = defaults().apps.connections_max,
        /// Most connections of one application; one more closes its oldest.
        connections_per_app_max: usize = defaults().apps.connections_per_app_max,
        /// Most connections at the same time that have not shown their key yet.
        app_handshakes_max: usize = defaults().apps.handshakes.handshakes_max,
        /// Most of them from one address.
        app_handshakes_per_address_max: usize = defaults().apps.handshakes.handshakes_per_address_max,
        /// A connection that takes longer to show its key is closed, milliseconds.
        app_handshake_timeout_ms: u64 = defaults().apps.handshakes.handshake_timeout_ms,
        /// Most bytes of one message from an application.
        app_message_bytes_max: usize = defaults().apps.message_bytes_max,
        /// Most unanswered calls of one connection.
        app_calls_max: usize = defaults().apps.calls_max,
        /// Most bytes of the unanswered calls of one connection.
        app_call_bytes_max: usize = defaults().apps.call_bytes_max,
        /// Most bytes of answers that a connection has not taken.
        app_unsent_bytes_max: usize = defaults().apps.unsent_bytes_max,
        /// Most answered calls of a connection that the application has not finished.
        app_unfinished_calls_max: usize = defaults().apps.unfinished_calls_max,
        /// Most calls of a connection that wait for something to happen; fewer than app_calls_max.
        app_waits_max: usize = defaults().apps.waits_max,
        /// How long such a call waits before it is answered that nothing happened, milliseconds.
        app_wait_ms: u64 = defaults().apps.wait_ms,
        /// Most subscriptions of one connection.
        app_subscriptions_max: usize = defaults().apps.subscriptions_max,
        /// A connection that reads none of its answers for this long is closed, milliseconds.
        app_write_timeout_ms: u64 = defaults().apps.write_timeout_ms,
    }
}

impl NodeFile {
    /// What the node is given.
    ///
    /// # Errors
    /// Two settings do not go together, or one is beyond what the protocol allows: a message that names it.
    pub(super) fn node_settings(&self) -> Result<NodeSettings, String> {
        self.check()?;
        let settings = NodeSettings {
            timing: Timing {
                patience_ms: self.patience_ms,
                patience_step_ms: self.patience_step_ms,
                patience_max_ms: self.patience_max_ms,
                overdue_ms: self.overdue_ms,
                idle_ms: self.account_idle_ms,
                hold_ms: self.hold_ms,
                strike_ms: self.strike_ms,
                retry_ms: self.route_retry_ms,
                refusal_ms: self.refusal_ms,
                silence_ms: self.silence_ms,
                silence_max_ms: self.silence_max_ms,
                clear_ms: self.clear_interval_ms,
                offline_ms: self.offline_ms,
                backup_ms: self.peer_backup_ms,
                ..defaults().timing
            },
            fee_bounds: self.max_fee_default.clone(),
            friend_keepalive: KeepaliveConfig {
                keepalive_ms: self.friend_keepalive_ms,
                idle_timeout_ms: self.friend_idle_timeout_ms,
            },
            friend_limits: FriendLimits {
                bytes_per_second: self.friend_bytes_per_second,
                questions_per_second: self.friend_questions_per_second,
            },
            direct: DirectSettings {
                dial_private: self.dial_private,
                connect_timeout_ms: self.direct_connect_timeout_ms,
                retry_max_ms: self.direct_retry_max_ms,
                keepalive: KeepaliveConfig {
                    keepalive_ms: self.direct_keepalive_ms,
                    idle_timeout_ms: self.direct_idle_timeout_ms,
                },
                handshakes: HandshakeLimits {
                    handshakes_max: self.direct_handshakes_max,
                    handshakes_per_address_max: self.direct_handshakes_per_address_max,
                    handshake_timeout_ms: self.direct_handshake_timeout_ms,
                },
            },
            relay: ClientConfig {
                connect_timeout_ms: self.relay_connect_timeout_ms,
                open_timeout_ms: self.relay_open_timeout_ms,
                keepalive: KeepaliveConfig {
                    keepalive_ms: self.relay_keepalive_ms,
                    idle_timeout_ms: self.relay_idle_timeout_ms,
                },
                substreams_max: self.relay_substreams_max,
                events_max: self.relay_events_max,
                unread_bytes_max: self.relay_unread_bytes_max,
                bytes_per_second: self.relay_bytes_per_second,
            },
            index: Config {
                publish_interval_ms: self.index_publish_interval_ms,
                time_to_live_ms: self.index_time_to_live_ms,
                update_timeout_ms: self.index_update_timeout_ms,
                refused_wait_ms: self.index_refused_wait_ms,
                query_timeout_ms: self.index_query_timeout_ms,
                second_answer_ms: self.index_second_answer_ms,
                queries_max: self.index_queries_max,
                reconnect_min_ms: self.index_reconnect_min_ms,
                reconnect_max_ms: self.index_reconnect_max_ms,
                connect_timeout_ms: self.index_connect_timeout_ms,
                keepalive: KeepaliveConfig {
                    keepalive_ms: self.index_keepalive_ms,
                    idle_timeout_ms: self.index_idle_timeout_ms,
                },
            },
            apps: Limits {
                handshakes: HandshakeLimits {
                    handshakes_max: self.app_handshakes_max,
                    handshakes_per_address_max: self.app_handshakes_per_address_max,
                    handshake_timeout_ms: self.app_handshake_timeout_ms,
                },
                connections_max: self.app_connections_max,
                connections_per_app_max: self.connections_per_app_max,
                message_bytes_max: self.app_message_bytes_max,
                calls_max: self.app_calls_max,
                call_bytes_max: self.app_call_bytes_max,
                unsent_bytes_max: self.app_unsent_bytes_max,
                unfinished_calls_max: self.app_unfinished_calls_max,
                waits_max: self.app_waits_max,
                wait_ms: self.app_wait_ms,
                subscriptions_max: self.app_subscriptions_max,
                write_timeout_ms: self.app_write_timeout_ms,
            },
            batch_max: self.batch_max,
            reconnect_max_ms: self.reconnect_max_ms,
            route_reuse_ms: self.route_reuse_ms,
        };
        check_keepalive("friend_", settings.friend_keepalive)?;
        check_keepalive("direct_", settings.direct.keepalive)?;
        check_keepalive("relay_", settings.relay.keepalive)?;
        check_keepalive("index_", settings.index.keepalive)?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), String> {
        for (name, value, most) in [
            ("patience_ms", self.patience_ms, PATIENCE_MS_MAX),
            ("patience_step_ms", self.patience_step_ms, PATIENCE_MS_MAX),
            ("patience_max_ms", self.patience_max_ms, PATIENCE_MS_MAX),
            ("index_time_to_live_ms", self.index_time_to_live_ms, TIME_TO_LIVE_MS_MAX),
            ("relay_substreams_max", self.relay_substreams_max as u64, RELAY_SUBSTREAMS_MAX as u64),
        ] {
            if value > most {
                return Err(format!("{name} is at most {most}"));
            }
        }
        if self.app_waits_max >= self.app_calls_max {
            return Err("app_waits_max is smaller than app_calls_max".into());
        }
        if self.index_reconnect_min_ms > self.index_reconnect_max_ms {
            return Err("index_reconnect_min_ms is at most index_reconnect_max_ms".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_named() {
        NodeFile::default().node_settings().unwrap();
        let refused = |change: fn(&mut NodeFile)| {
            let mut file = NodeFile::default();
            change(&mut file);
            file.node_settings().unwrap_err()
        };
        assert_eq!(refused(|file| file.patience_ms = PATIENCE_MS_MAX + 1), "patience_ms is at most 3600000");
        assert_eq!(
            refused(|file| file.relay_substreams_max = RELAY_SUBSTREAMS_MAX + 1),
            "relay_substreams_max is at most 65536"
        );
        assert_eq!(
            refused(|file| file.friend_keepalive_ms = file.friend_idle_timeout_ms),
            "friend_idle_timeout_ms is at least twice friend_keepalive_ms (180000)"
        );
        assert_eq!(
            refused(|file| file.app_waits_max = file.app_calls_max),
            "app_waits_max is smaller than app_calls_max"
        );
        assert_eq!(
            refused(|file| file.index_reconnect_max_ms = 1),
            "index_reconnect_min_ms is at most index_reconnect_max_ms"
        );
    }
}
