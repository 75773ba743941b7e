//! What a node costs that has nothing to do, while all its friends are online.

use crate::processes::{Usage, resident_mib};
use crate::shapes;
use std::time::Duration;

/// Connects a hub with `friends`, each a process of its own, watches the hub for a while and prints what it took.
pub(crate) fn run(friends: u8, watched: Duration, json: bool) -> anyhow::Result<()> {
    let shape = shapes::star(friends, 0)?;
    let hub = shape.nodes[0].as_str();
    let cpu_ms = || Usage::cpu_ms(&shape.testnet, &[hub]);
    let before = cpu_ms()?;
    std::thread::sleep(watched);
    let cpu_percent = (cpu_ms()? - before) / watched.as_secs_f64() / 10.0;
    let resident_mib = resident_mib(&shape.testnet, hub)?;
    if json {
        let document = serde_json::json!({
            "friends_online": friends,
            "idle_cpu_percent": cpu_percent,
            "resident_mib": resident_mib,
        });
        println!("{document}");
    } else {
        println!("{friends} friends online: {cpu_percent:.2} % of one core, {resident_mib:.1} MiB resident");
    }
    Ok(())
}
