//! Ports for programs that are told where to listen. A port that the system has just given and taken back can be given
//! again, to another program or as the near end of a connection, before the program that it was meant for is there. So
//! these come from below the ports that systems give, and each process claims some for as long as it lives.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Well-known services are below; the ports that Linux, macOS and Windows give to programs that ask for any are above.
const FIRST: u16 = 10_000;
const BLOCKS: u16 = 680;
/// Ports in a block. The process that holds the first one hands out the others.
const BLOCK: u16 = 32;

/// What this process has claimed.
struct Ports {
    held: Vec<TcpListener>,
    left: Range<u16>,
}

static PORTS: Mutex<Ports> = Mutex::new(Ports { held: Vec::new(), left: 0..0 });

/// A port of loopback that nobody uses, given to nobody else while this process lives.
pub(crate) fn free_port() -> u16 {
    let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match ports.left.next() {
            Some(port) if TcpListener::bind(("127.0.0.1", port)).is_ok() => return port,
            // A program that has nothing to do with these tests is there.
            Some(_) => {}
            None => {
                let (first, held) = claim();
                ports.held.push(held);
                ports.left = first + 1..first + BLOCK;
            }
        }
    }
}

/// The first port of a block that nobody holds, held. Processes begin to look at different ones.
fn claim() -> (u16, TcpListener) {
    let begin = std::process::id() % u32::from(BLOCKS);
    let firsts = (begin..).take(BLOCKS.into()).map(|block| FIRST + (block % u32::from(BLOCKS)) as u16 * BLOCK);
    let mut free = firsts.filter_map(|first| Some((first, TcpListener::bind(("127.0.0.1", first)).ok()?)));
    free.next().expect("not all ports are taken")
}
