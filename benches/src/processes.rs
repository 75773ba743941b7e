//! What the nodes' processes have used: CPU from the system, transactions from their metrics.

use crate::town::Town;
use anyhow::Context;
use std::io::{Read, Write};

/// The system counts CPU time in hundredths of a second on every Linux.
const MS_PER_TICK: f64 = 10.0;

/// Sums over all nodes.
pub(crate) struct Usage {
    pub(crate) cpu_ms: f64,
    /// Each is one fsync.
    pub(crate) commits: u64,
}

/// Reads it.
pub(crate) fn usage(town: &Town, names: &[&str]) -> anyhow::Result<Usage> {
    let mut usage = Usage { cpu_ms: 0.0, commits: 0 };
    for name in names {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", town.process_id(name)))?;
        // The program's name, in brackets, may hold spaces.
        let fields: Vec<&str> =
            status.rsplit_once(')').context("the system describes a process")?.1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        usage.cpu_ms += ticks * MS_PER_TICK;
        usage.commits += metric(town.metrics_port(name), "commits")?;
    }
    Ok(usage)
}

fn metric(port: u16, name: &str) -> anyhow::Result<u64> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let line = text.lines().find(|line| !line.starts_with('#') && line.contains(name));
    let value = line.and_then(|line| line.split_whitespace().last()).context("the node publishes its counters")?;
    Ok(value.parse()?)
}
