//! What a run came to, for people and for programs.

use crate::floor::Floor;
use crate::load::{Load, Stream, Until};
use crate::processes::Usage;
use crate::testnet::Testnet;

/// One run, with the cost of a payment.
pub(crate) struct Report {
    pub(crate) payments: usize,
    pub(crate) failed: usize,
    pub(crate) seconds: f64,
    /// Median, 95th and 99th percentile.
    pub(crate) latency_ms: [f64; 3],
    /// CPU of all nodes, for a payment.
    pub(crate) cpu_ms: f64,
    /// CPU of the relay and the index server, for a payment.
    pub(crate) servers_cpu_ms: f64,
    pub(crate) fsyncs: f64,
    /// Bytes of frames between friends, for a payment, over all friendships.
    pub(crate) wire_bytes: f64,
    /// Bytes written to disks, for a payment, over all nodes.
    pub(crate) disk_bytes: f64,
}

/// Pays and measures what it cost the `nodes` of the testnet and its relay and index server.
pub(crate) fn measure(testnet: &Testnet, nodes: &[&str], streams: &[Stream], until: Until) -> anyhow::Result<Report> {
    measure_while(testnet, nodes, || crate::load::pay(testnet, streams, until))
}

/// The same for other payments than those of streams.
pub(crate) fn measure_while(
    testnet: &Testnet,
    nodes: &[&str],
    pay: impl FnOnce() -> anyhow::Result<Load>,
) -> anyhow::Result<Report> {
    let servers = ["relay0", "index0"];
    let before = (Usage::of_nodes(testnet, nodes)?, Usage::cpu_ms(testnet, &servers)?);
    let load = pay()?;
    let after = (Usage::of_nodes(testnet, nodes)?, Usage::cpu_ms(testnet, &servers)?);
    Report::new(&load, &before.0, &after.0, after.1 - before.1)
}

impl Report {
    fn new(load: &Load, before: &Usage, after: &Usage, servers_cpu_ms: f64) -> anyhow::Result<Self> {
        let count = load.latencies_ms.len();
        anyhow::ensure!(count > 0, "no payment was made: {}", load.first_failure.as_deref().unwrap_or_default());
        if let Some(reason) = &load.first_failure {
            eprintln!("{} payments failed, the first because: {reason}", load.failed);
        }
        let percentile = |share: f64| load.latencies_ms[((count - 1) as f64 * share) as usize];
        let each = |before: f64, after: f64| (after - before) / count as f64;
        Ok(Report {
            payments: count,
            failed: load.failed,
            seconds: load.seconds,
            latency_ms: [percentile(0.50), percentile(0.95), percentile(0.99)],
            cpu_ms: each(before.cpu_ms, after.cpu_ms),
            servers_cpu_ms: servers_cpu_ms / count as f64,
            fsyncs: each(before.commits as f64, after.commits as f64),
            wire_bytes: each(before.wire_bytes as f64, after.wire_bytes as f64),
            disk_bytes: each(before.disk_bytes as f64, after.disk_bytes as f64),
        })
    }

    pub(crate) fn payments_per_second(&self) -> f64 {
        self.payments as f64 / self.seconds
    }

    /// The fields that scripts read, beside the floor.
    pub(crate) fn json(&self, floor: &Floor) -> serde_json::Value {
        let [p50, p95, p99] = self.latency_ms;
        serde_json::json!({
            "payments": self.payments,
            "failed": self.failed,
            "payments_per_second": self.payments_per_second(),
            "latency_ms": { "p50": p50, "p95": p95, "p99": p99 },
            "cpu_ms_per_payment": self.cpu_ms,
            "servers_cpu_ms_per_payment": self.servers_cpu_ms,
            "fsyncs_per_payment": self.fsyncs,
            "wire_bytes_per_payment": self.wire_bytes,
            "disk_bytes_per_payment": self.disk_bytes,
            "floor_payments_per_second": floor.payments_per_second,
            "floor_cpu_ms_per_payment": floor.cpu_ms_per_payment,
        })
    }

    /// Prints it, one figure a line.
    pub(crate) fn print(&self, floor: &Floor) {
        let [p50, p95, p99] = self.latency_ms;
        let all_cpu = self.cpu_ms + self.servers_cpu_ms;
        println!("{} payments in {:.1} s, {} failed", self.payments, self.seconds, self.failed);
        println!(
            "payments per second   {:>10.0}   (floor {:.0}, ratio {:.2})",
            self.payments_per_second(),
            floor.payments_per_second,
            self.payments_per_second() / floor.payments_per_second
        );
        println!("latency ms            {p50:>10.1}   (p95 {p95:.1}, p99 {p99:.1})");
        println!(
            "cpu ms per payment    {:>10.3}   (all nodes; with relay and index server {all_cpu:.3}; floor {:.3}, ratio {:.2})",
            self.cpu_ms,
            floor.cpu_ms_per_payment,
            all_cpu / floor.cpu_ms_per_payment
        );
        println!("fsyncs per payment    {:>10.3}   (all nodes)", self.fsyncs);
        println!("wire bytes            {:>10.0}   (a payment, over all friendships)", self.wire_bytes);
        println!("disk bytes            {:>10.0}   (a payment, over all nodes)", self.disk_bytes);
        println!("{floor}");
    }
}
