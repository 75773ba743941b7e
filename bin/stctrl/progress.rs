//! What a person sees while something takes long.

use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::time::{Instant, interval_at};

/// Waits for a future; on a terminal, a line on stderr says what is waited for and since when.
pub(super) async fn with_progress<T>(what: &str, future: impl Future<Output = T>) -> T {
    if !std::io::stderr().is_terminal() {
        return future.await;
    }
    let mut future = std::pin::pin!(future);
    let second = Duration::from_secs(1);
    let mut ticks = interval_at(Instant::now() + second, second);
    let mut seconds = 0u64;
    loop {
        tokio::select! {
            result = &mut future => {
                if seconds > 0 {
                    show("\r\u{1b}[K");
                }
                return result;
            }
            _ = ticks.tick() => {
                seconds += 1;
                show(&format!("\r{what} ... {seconds} s"));
            }
        }
    }
}

fn show(text: &str) {
    let mut stderr = std::io::stderr();
    // Progress that cannot be shown harms nobody.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
