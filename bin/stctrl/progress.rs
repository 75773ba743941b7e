//! What a person sees while something takes long.

use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Waits for a future; on a terminal, a line on stderr says what is waited for and since when.
pub(super) async fn with_progress<T>(what: &str, future: impl Future<Output = T>) -> T {
    with_stages(what, async || None, future).await
}

/// The same; `stage` says each second how far it is.
pub(super) async fn with_stages<T>(
    what: &str,
    stage: impl AsyncFn() -> Option<String>,
    future: impl Future<Output = T>,
) -> T {
    if !std::io::stderr().is_terminal() {
        return future.await;
    }
    let mut future = std::pin::pin!(future);
    let mut seconds = 0u64;
    let result = loop {
        let second = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            stage().await
        };
        tokio::select! {
            result = &mut future => break result,
            stage = second => {
                seconds += 1;
                let stage = stage.map(|stage| format!(", {stage}")).unwrap_or_default();
                show(&format!("\r\u{1b}[K{what} ... {seconds} s{stage}"));
            }
        }
    };
    if seconds > 0 {
        show("\r\u{1b}[K");
    }
    result
}

fn show(text: &str) {
    let mut stderr = std::io::stderr();
    // Progress that cannot be shown harms nobody.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
