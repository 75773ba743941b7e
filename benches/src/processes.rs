//! What the nodes' processes have used: CPU, memory and disk from the system, transactions and frames from their metrics.

use crate::testnet::Testnet;
use anyhow::Context;
use std::io::{Read, Write};

/// The system counts CPU time in hundredths of a second on every Linux.
const MS_PER_TICK: f64 = 10.0;

/// Sums over several nodes.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ms: f64,
    /// Each is one fsync.
    pub(crate) commits: u64,
    /// Bytes of frames that were sent to friends.
    pub(crate) wire_bytes: u64,
    /// Bytes that were written to the disk.
    pub(crate) disk_bytes: u64,
}

impl Usage {
    /// What the nodes have used since they started.
    pub(crate) fn of_nodes(testnet: &Testnet, names: &[&str]) -> anyhow::Result<Self> {
        let mut usage = Usage { cpu_ms: Usage::cpu_ms(testnet, names)?, ..Usage::default() };
        for name in names {
            let metrics = metrics(testnet.metrics_port(name))?;
            usage.commits += metric(&metrics, "commits")?;
            usage.wire_bytes += metric(&metrics, "bytes_sent")?;
            usage.disk_bytes += of_process(testnet, name, "io", "write_bytes:")?;
        }
        Ok(usage)
    }

    /// CPU time of these servers, ms.
    pub(crate) fn cpu_ms(testnet: &Testnet, names: &[&str]) -> anyhow::Result<f64> {
        let mut ticks = 0.0;
        for name in names {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", testnet.process_id(name)))?;
            // The program's name, in brackets, may hold spaces.
            let rest = status.rsplit_once(')').context("the system describes a process")?.1;
            let fields: Vec<&str> = rest.split_whitespace().collect();
            ticks += fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        }
        Ok(ticks * MS_PER_TICK)
    }
}

/// Memory of a server that is in RAM now, MiB.
pub(crate) fn resident_mib(testnet: &Testnet, name: &str) -> anyhow::Result<f64> {
    Ok(of_process(testnet, name, "status", "VmRSS:")? as f64 / 1024.0)
}

fn of_process(testnet: &Testnet, name: &str, file: &str, field: &str) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", testnet.process_id(name)))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let value = line.and_then(|line| line.split_whitespace().next());
    Ok(value.with_context(|| format!("the system tells {field} of a process"))?.parse()?)
}

fn metrics(port: u16) -> anyhow::Result<String> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn metric(metrics: &str, name: &str) -> anyhow::Result<u64> {
    let line = metrics.lines().find(|line| !line.starts_with('#') && line.contains(name));
    let value = line.and_then(|line| line.split_whitespace().last()).context("the node publishes its counters")?;
    Ok(value.parse()?)
}
