//! When to send a keepalive, and when to take the peer for dead. Decisions only; each kind of connection has a frame of its own
//! for it.

/// How long a link may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveConfig {
    /// We send something at least this often, in milliseconds.
    pub keepalive_ms: u64,
    /// A peer from which nothing came for this long is dead, in milliseconds. At least twice the peer's `keepalive_ms`.
    pub idle_timeout_ms: u64,
}

impl Default for KeepaliveConfig {
    /// 20 s and 60 s: below the minutes after which NATs forget a connection.
    fn default() -> Self {
        KeepaliveConfig { keepalive_ms: 20_000, idle_timeout_ms: 60_000 }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepaliveStep {
    /// Send a keepalive frame now; it was counted as sent.
    Send,
    /// The peer is dead: close the connection.
    Dead,
    /// Nothing to do for so many milliseconds, unless something is sent or received.
    Wait(u64),
}

/// The keepalive of one connection.
#[derive(Debug, Clone)]
pub struct Keepalive {
    config: KeepaliveConfig,
    sent_at_ms: u64,
    received_at_ms: u64,
}

impl Keepalive {
    /// For a connection that begins at `now_ms`, by any clock that does not go backwards.
    pub fn new(config: KeepaliveConfig, now_ms: u64) -> Self {
        Keepalive { config, sent_at_ms: now_ms, received_at_ms: now_ms }
    }

    /// Something was sent.
    pub fn sent(&mut self, now_ms: u64) {
        self.sent_at_ms = now_ms;
    }

    /// Something was received.
    pub fn received(&mut self, now_ms: u64) {
        self.received_at_ms = now_ms;
    }

    /// What to do at `now_ms`.
    /// (R3.5.)
    pub fn step(&mut self, now_ms: u64) -> KeepaliveStep {
        let dead_at_ms = self.received_at_ms.saturating_add(self.config.idle_timeout_ms);
        if now_ms >= dead_at_ms {
            return KeepaliveStep::Dead;
        }
        let send_at_ms = self.sent_at_ms.saturating_add(self.config.keepalive_ms);
        if now_ms >= send_at_ms {
            self.sent_at_ms = now_ms;
            return KeepaliveStep::Send;
        }
        KeepaliveStep::Wait(dead_at_ms.min(send_at_ms) - now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: KeepaliveConfig = KeepaliveConfig { keepalive_ms: 20, idle_timeout_ms: 60 };

    // R3.5.
    #[test]
    fn a_silent_peer_is_dead_after_the_idle_timeout() {
        let mut keepalive = Keepalive::new(CONFIG, 1000);
        assert_eq!(keepalive.step(1000), KeepaliveStep::Wait(20));
        assert_eq!(keepalive.step(1020), KeepaliveStep::Send);
        assert_eq!(keepalive.step(1020), KeepaliveStep::Wait(20));
        assert_eq!(keepalive.step(1045), KeepaliveStep::Send);
        assert_eq!(keepalive.step(1045), KeepaliveStep::Wait(15));
        assert_eq!(keepalive.step(1060), KeepaliveStep::Dead);
    }

    #[test]
    fn traffic_puts_both_off() {
        let mut keepalive = Keepalive::new(CONFIG, 0);
        keepalive.received(50);
        keepalive.sent(55);
        assert_eq!(keepalive.step(74), KeepaliveStep::Wait(1));
        assert_eq!(keepalive.step(109), KeepaliveStep::Send);
        assert_eq!(keepalive.step(110), KeepaliveStep::Dead);
    }

    #[test]
    fn two_honest_sides_stay_connected() {
        let (mut here, mut there) = (Keepalive::new(CONFIG, 0), Keepalive::new(CONFIG, 7));
        for now_ms in 0..10_000 {
            for (sender, receiver) in [(0, 1), (1, 0)] {
                let sides = [&mut here, &mut there];
                let step = sides[sender].step(now_ms.max(7));
                assert_ne!(step, KeepaliveStep::Dead);
                if step == KeepaliveStep::Send {
                    sides[receiver].received(now_ms.max(7));
                }
            }
        }
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        let config = KeepaliveConfig { keepalive_ms: u64::MAX, idle_timeout_ms: u64::MAX };
        assert_eq!(Keepalive::new(config, 5).step(5), KeepaliveStep::Wait(u64::MAX - 5));
    }
}
