//! The floor: what a payment costs at the least on this machine.
//!
//! Batches make signatures of statements and fsyncs arbitrarily cheap for each payment, and large ones write a request that begins
//! and ends in the same batch once. What remains for a payment over `hops` accounts:
//!
//! * one Ed25519 signature of the seller and one check by the buyer: its promise;
//! * one row on each of the two disks that keep each account.
//!
//! The rates of signing, checking and writing rows in large transactions are measured here, on one core.

use offst_crypto::{Ed25519Verifier, Identity, Signer, Verifier};
use std::time::{Duration, Instant};

/// How long each rate is measured.
const TIME: Duration = Duration::from_millis(500);
/// Rows of one transaction.
const BATCH: u32 = 256;

/// Rates of this machine on one core, and what follows for a payment.
pub(crate) struct Floor {
    signatures_per_second: f64,
    checks_per_second: f64,
    rows_per_second: f64,
    pub(crate) cpu_ms_per_payment: f64,
    /// With both cores of the machine at work and nothing else to do.
    pub(crate) payments_per_second: f64,
}

impl std::fmt::Display for Floor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "one core here: {:.0} signatures, {:.0} checks, {:.0} durable rows a second",
            self.signatures_per_second, self.checks_per_second, self.rows_per_second
        )
    }
}

fn rate(mut step: impl FnMut() -> anyhow::Result<u32>) -> anyhow::Result<f64> {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < TIME {
        count += step()?;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// Measures the rates.
pub(crate) fn measure(hops: u32) -> anyhow::Result<Floor> {
    let identity = Identity::from_seed([7; 32]);
    let message = [1; 300];
    let signatures_per_second = rate(|| {
        std::hint::black_box(identity.sign(&message));
        Ok(1)
    })?;
    let (key, signature) = (identity.public_key(), identity.sign(&message));
    let checks_per_second = rate(|| {
        anyhow::ensure!(Ed25519Verifier.verify(&key, &message, &signature), "a good signature is refused");
        Ok(1)
    })?;
    let rows_per_second = durable_rows()?;
    let rows = f64::from(hops * 2);
    let seconds = 1.0 / signatures_per_second + 1.0 / checks_per_second + rows / rows_per_second;
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    Ok(Floor {
        signatures_per_second,
        checks_per_second,
        rows_per_second,
        cpu_ms_per_payment: seconds * 1000.0,
        payments_per_second: cores / seconds,
    })
}

/// Rows of 100 bytes with a random key, in durable transactions.
fn durable_rows() -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut connection = rusqlite::Connection::open(folder.path().join("floor.db"))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("CREATE TABLE row (key BLOB PRIMARY KEY, value BLOB) STRICT, WITHOUT ROWID")?;
    let mut number = 0u64;
    rate(|| {
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO row (key, value) VALUES (?1, ?2)")?;
            for _ in 0..BATCH {
                number += 1;
                let key = offst_crypto::sha256(&number.to_be_bytes());
                insert.execute(rusqlite::params![&key.as_bytes()[..16], [0u8; 100]])?;
            }
        }
        transaction.commit()?;
        Ok(BATCH)
    })
}
