//! Distance between friends: a proxy in front of the relay that holds every byte back for a while, both ways.

use crate::testnet::Testnet;
use offst_proto::ticket::{ServerTicket, Ticket};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Pieces of a stream that are in flight.
const PIECES_MAX: usize = 4096;
/// The name of the ticket that leads through the proxy.
pub(crate) const FAR: &str = "far";

/// Puts a proxy in front of the testnet's relay, so that what one friend sends arrives `one_way` later at the other: half of it
/// from the sender to the relay, half of it from there. Nodes that are given the ticket [`FAR`] are far away.
///
/// Plain threads, because they wake up far more exactly than the timers of an asynchronous runtime.
pub(crate) fn move_away(testnet: &Testnet, one_way: Duration) -> anyhow::Result<()> {
    let ticket = std::fs::read_to_string(testnet.file("relay0/relay0.ticket"))?;
    let relay = Ticket::from_toml(&ticket)?.into_relay()?;
    let target = relay.address.to_string();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let far = ServerTicket { address: listener.local_addr()?.to_string().parse()?, ..relay };
    std::fs::create_dir_all(testnet.file(FAR))?;
    std::fs::write(testnet.file(&format!("{FAR}/{FAR}.ticket")), Ticket::Relay(far).to_toml())?;
    std::thread::spawn(move || {
        for near in listener.incoming() {
            if let Err(error) = near.and_then(|near| carry(near, &target, one_way / 2)) {
                eprintln!("a connection through the delay broke: {error}");
            }
        }
    });
    Ok(())
}

fn carry(near: TcpStream, target: &str, delay: Duration) -> std::io::Result<()> {
    let far = TcpStream::connect(target)?;
    // Without it the system would wait for more bytes.
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    hold_back(near.try_clone()?, far.try_clone()?, delay);
    hold_back(far, near, delay);
    Ok(())
}

fn hold_back(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (pieces, waiting) = mpsc::sync_channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    std::thread::spawn(move || {
        let mut piece = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            if pieces.send((Instant::now() + delay, piece[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    std::thread::spawn(move || {
        for (due, piece) in waiting {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&piece).is_err() {
                break;
            }
        }
        // The other side is told; that it has gone already is no matter.
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
