//! What lies in a database: a row that is damaged is refused, it ends no process.

use offst_crypto::Identity;
use offst_funder::{Arrival, Forward, FriendRecord, InvoiceRecord, Payment, RecoveryRecord};
use offst_ledger::{Account, AccountImage, AccountKey, Pending, QueuedOperation};
use offst_proto::Currency;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_simulator::keys::FakeVerifier;

/// The first byte says which kind of row the rest is.
pub(crate) fn row(bytes: &[u8]) -> bool {
    let Some((kind, bytes)) = bytes.split_first() else { return false };
    match kind % 8 {
        0 => again::<FriendRecord>(bytes),
        1 => again::<Forward>(bytes),
        2 => again::<Arrival>(bytes),
        3 => again::<InvoiceRecord>(bytes),
        4 => again::<Payment>(bytes),
        5 => again::<Pending>(bytes),
        6 => again::<QueuedOperation>(bytes),
        _ => again::<RecoveryRecord>(bytes),
    }
}

fn again<T: Canonical + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> bool {
    let Ok(value) = T::from_canonical_bytes(bytes) else { return false };
    assert_eq!(T::from_canonical_bytes(&value.to_canonical_bytes()), Ok(value));
    true
}

/// The owner of every account here, and its friend: two nodes of the simulator's worlds.
pub(crate) fn account_key() -> AccountKey {
    let key = |seed| Identity::from_seed([seed; 32]).public_key();
    AccountKey { local: key(1), remote: key(2), currency: Currency::default() }
}

/// All rows of an account behind each other.
pub(crate) fn account(bytes: &[u8]) -> bool {
    let Ok(image) = read_image(bytes) else { return false };
    let is_sound = offst_ledger::audit(&account_key(), &image, &FakeVerifier).is_ok();
    let Ok(mut account) = Account::restore(account_key(), image) else {
        assert!(!is_sound, "a sound account can be loaded");
        return false;
    };
    if let Some(epoch) = account.epoch() {
        epoch.assert_sound();
    }
    account.status();
    account.resume_frame();
    assert!(account.take_changes().is_empty(), "what was just loaded has not changed");
    true
}

const ROW_BYTES_MAX: usize = 64 * 1024;
const ROWS_MAX: usize = 4096;

/// An account's rows as an input of [`account`].
pub(crate) fn write_image(image: &AccountImage) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.bytes(&image.head);
    encoder.bytes(&image.negotiation);
    encoder.bytes(&image.openings);
    encoder.bytes(&image.checkpoint);
    encoder.count(image.pendings.len());
    for (direction, id, pending) in &image.pendings {
        encoder.u8(*direction as u8);
        encoder.value(id);
        encoder.value(pending);
    }
    encoder.count(image.queue.len());
    for (counter, operation) in &image.queue {
        encoder.u64(*counter);
        encoder.value(operation);
    }
    encoder.count(image.statements.len());
    for wire in &image.statements {
        encoder.bytes(wire);
    }
    encoder.finish()
}

fn read_image(bytes: &[u8]) -> Result<AccountImage, DecodeError> {
    use offst_ledger::Direction::{Incoming, Outgoing};
    let mut decoder = Decoder::new(bytes);
    let mut image = AccountImage {
        head: decoder.bytes(ROW_BYTES_MAX, "a row")?.to_vec(),
        negotiation: decoder.bytes(ROW_BYTES_MAX, "a row")?.to_vec(),
        openings: decoder.bytes(ROW_BYTES_MAX, "a row")?.to_vec(),
        checkpoint: decoder.bytes(ROW_BYTES_MAX, "a row")?.to_vec(),
        ..AccountImage::default()
    };
    for _ in 0..decoder.count(ROWS_MAX, "rows")? {
        let direction = if decoder.bool()? { Incoming } else { Outgoing };
        image.pendings.push((direction, decoder.value()?, decoder.value()?));
    }
    for _ in 0..decoder.count(ROWS_MAX, "rows")? {
        image.queue.push((decoder.u64()? >> 1, decoder.value()?));
    }
    for _ in 0..decoder.count(ROWS_MAX, "rows")? {
        image.statements.push(decoder.bytes(ROW_BYTES_MAX, "a row")?.into());
    }
    decoder.finish()?;
    Ok(image)
}
