//! What the parts of a payment cost, each beside its floor measured in the same run:
//! `cargo bench -p offst-bench --bench parts`.
//!
//! | part | floor |
//! |---|---|
//! | signing and checking a statement | ring's Ed25519 on the same bytes |
//! | encoding and decoding a statement | copying the same bytes |
//! | two funders make 1, 16, 256 payments | one signature and one check a payment, for the seller's promise |
//! | the store writes what they changed | as many rows in as many bare SQLite transactions |
//! | a frame through TLS over a socket | the same bytes through the socket |

mod pair;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use offst_crypto::{Ed25519Verifier, Signer, Verifier};
use offst_proto::statement::Statement;
use offst_proto::{Unverified, Verified};
use offst_rows::{Commit, RowChange};
use offst_secure_channel::{Authenticator, FrameReader, FrameWriter};
use offst_store::Store;
use pair::{Nowhere, Pair, Recorder, identity};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PAYMENTS: [usize; 3] = [1, 16, 256];
const FRAME_BYTES: [usize; 2] = [300, 16 * 1024];
const SIGNATURE_BYTES: usize = 64;

/// The largest statement of 16 payments.
fn statement() -> Arc<[u8]> {
    let mut pair = Pair::new([Nowhere, Nowhere]);
    pair.statements = Some(Vec::new());
    pair.pay(16);
    pair.statements.into_iter().flatten().max_by_key(|wire| wire.len()).expect("they have spoken")
}

fn statements(criterion: &mut Criterion) {
    let wire = statement();
    let read = || Unverified::<Statement>::from_wire(&wire).expect("it was sent");
    let value: Statement = read().verify(&Ed25519Verifier).expect("it was signed").into_value();
    let signer = identity(usize::from(value.author != identity(0).public_key()));
    let (message, signature) = wire.split_at(wire.len() - SIGNATURE_BYTES);
    let signature = offst_crypto::Signature::from_slice(signature).expect("64 bytes");
    let mut group = criterion.benchmark_group("statement");
    group.throughput(Throughput::Bytes(wire.len() as u64));
    group.bench_function("sign", |b| {
        b.iter_batched(|| value.clone(), |v| Verified::sign(v, &signer), BatchSize::SmallInput)
    });
    group.bench_function("sign/floor", |b| b.iter(|| signer.sign(black_box(message))));
    group.bench_function("verify", |b| {
        b.iter_batched(read, |s| s.verify(&Ed25519Verifier).is_ok(), BatchSize::SmallInput)
    });
    let key = signer.public_key();
    group.bench_function("verify/floor", |b| b.iter(|| Ed25519Verifier.verify(&key, black_box(message), &signature)));
    group.bench_function("encode", |b| b.iter(|| offst_proto::friend::statement_frame(black_box(&wire))));
    group.bench_function("decode", |b| b.iter(|| Unverified::<Statement>::from_wire(black_box(&wire)).is_ok()));
    group.bench_function("copy/floor", |b| b.iter(|| black_box(&wire).to_vec()));
    group.finish();
}

fn funder(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("funder");
    let signer = identity(0);
    let (key, message) = (signer.public_key(), [1; 300]);
    for count in PAYMENTS {
        group.throughput(Throughput::Elements(count as u64));
        let mut pair = Pair::new([Nowhere, Nowhere]);
        group.bench_function(BenchmarkId::new("payments", count), |b| b.iter(|| pair.pay(count)));
        group.bench_function(BenchmarkId::new("payments/floor", count), |b| {
            b.iter(|| {
                for _ in 0..count {
                    let signature = signer.sign(black_box(&message));
                    assert!(Ed25519Verifier.verify(&key, &message, &signature));
                }
            });
        });
    }
    group.finish();
}

/// What the seller's disk is asked to write for so many payments, transaction by transaction; first what comes before them.
fn recorded(count: usize) -> (Vec<Vec<RowChange>>, Vec<Vec<RowChange>>) {
    let mut pair = Pair::new([Recorder::default(), Recorder::default()]);
    let before = std::mem::take(&mut pair.disks[1].0);
    pair.pay(count);
    (before, std::mem::take(&mut pair.disks[1].0))
}

fn bare_database(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).expect("a new file");
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).expect("the same settings");
    connection.pragma_update(None, "synchronous", "FULL").expect("the same settings");
    let table = "CREATE TABLE row (key INTEGER PRIMARY KEY, value BLOB) STRICT";
    connection.execute_batch(table).expect("a table");
    connection
}

fn write_bare(connection: &mut rusqlite::Connection, rows: usize) {
    let transaction = connection.transaction().expect("nobody else writes");
    {
        let mut insert = transaction.prepare_cached("INSERT INTO row (value) VALUES (?1)").expect("the table is there");
        for _ in 0..rows {
            insert.execute([[0u8; 100]]).expect("the disk works");
        }
    }
    transaction.commit().expect("the disk works");
}

fn store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let node = identity(1).public_key();
    for count in PAYMENTS {
        group.throughput(Throughput::Elements(count as u64));
        let mut number = 0;
        group.bench_function(BenchmarkId::new("payments", count), |b| {
            b.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    number += 1;
                    let file = folder.path().join(format!("{count}-{number}.db"));
                    Store::create(&file, node).expect("a new file");
                    let mut store = Store::open(&file, node).expect("it was just made");
                    let (before, changes) = recorded(count);
                    before.iter().for_each(|changes| store.commit(changes).expect("the disk works"));
                    let start = Instant::now();
                    changes.iter().for_each(|changes| store.commit(changes).expect("the disk works"));
                    spent += start.elapsed();
                }
                spent
            });
        });
        let (_, changes) = recorded(count);
        let sizes: Vec<usize> = changes.iter().map(Vec::len).collect();
        let mut bare = bare_database(&folder.path().join(format!("bare-{count}.db")));
        group.bench_function(BenchmarkId::new("payments/floor", count), |b| {
            b.iter(|| sizes.iter().for_each(|rows| write_bare(&mut bare, *rows)));
        });
    }
    group.finish();
}

async fn sockets() -> (tokio::net::TcpStream, tokio::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let (near, far) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
    let (near, far) = (near.expect("it listens"), far.expect("somebody called").0);
    near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).expect("a socket");
    (near, far)
}

fn frames(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("frame");
    for size in FRAME_BYTES {
        group.throughput(Throughput::Bytes(size as u64));
        let (mut writer, mut reader) = runtime.block_on(async {
            let (near, far) = sockets().await;
            let (caller, called) = (Authenticator::new(&identity(0)), Authenticator::new(&identity(1)));
            let patience = Duration::from_secs(10);
            let (near, far) = tokio::join!(
                caller.connect_over(near, called.public_key(), patience),
                called.accept_over(far, patience)
            );
            let (near, (_, far)) = (near.expect("a handshake"), far.expect("a handshake"));
            (FrameWriter::new(near, size), FrameReader::new(far, size))
        });
        let frame = vec![7; size];
        group.bench_function(BenchmarkId::new("tls", size), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let (sent, got) = tokio::join!(writer.send(&frame), reader.next());
                    sent.and(got).expect("the connection stands")
                })
            });
        });
        let (mut near, mut far) = runtime.block_on(sockets());
        let mut buffer = vec![0; size];
        group.bench_function(BenchmarkId::new("tls/floor", size), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let (sent, got) = tokio::join!(near.write_all(&frame), far.read_exact(&mut buffer));
                    sent.and(got.map(drop)).expect("the connection stands");
                });
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = parts;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
    targets = statements, funder, store, frames
}
criterion_main!(parts);
