//! Metrics of a server: a tiny HTTP endpoint that answers every request with text in the format of Prometheus.

use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Most scrapers at one time; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 8;
/// A request is read up to its first empty line, and no further than this.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Longest time for one request and its answer.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Names and values of counters at one moment.
pub type Samples = Vec<(&'static str, u64)>;

/// Prometheus' text format: a line a counter, its name behind `prefix`.
pub fn to_text(prefix: &str, samples: &[(&'static str, u64)]) -> String {
    samples.iter().map(|(name, value)| format!("{prefix}_{name} {value}\n")).collect()
}

/// Answers until `stop`.
pub async fn serve(
    listener: TcpListener,
    prefix: &'static str,
    samples: impl Fn() -> Samples + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let samples = Arc::new(samples);
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (samples, stop) = (samples.clone(), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        // A scraper that is slow or goes away harms nobody: it asks again.
                        _ = tokio::time::timeout(REQUEST_TIME, answer(stream, prefix, &*samples)) => {}
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                log::warn!("the metrics endpoint cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, prefix: &str, samples: &(impl Fn() -> Samples + Sync)) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = (&mut stream).take((REQUEST_BYTES_MAX - request.len()) as u64).read_buf(&mut request).await?;
        if read == 0 {
            return Ok(());
        }
    }
    let (status, body) = if request.starts_with(b"GET ") {
        ("200 OK", to_text(prefix, &samples()))
    } else {
        ("405 Method Not Allowed", String::new())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(address: std::net::SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        // An endless request is cut off while it is still being written.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn a_request_is_answered_with_the_numbers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let samples = || vec![("things", 3), ("others", 0)];
        let server = tokio::spawn(serve(listener, "offst_test", samples, stop.clone()));
        let answer = ask(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("Content-Length: 40\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\noffst_test_things 3\noffst_test_others 0\n"));
        assert!(ask(address, b"POST / HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 405"));
        assert_eq!(ask(address, &[b'x'; REQUEST_BYTES_MAX]).await, "");
        stop.cancel();
        server.await.unwrap();
    }
}
