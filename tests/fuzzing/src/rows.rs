//! What lies in a database: a row that is damaged is refused, it ends no process.

use offst_crypto::Identity;
use offst_funder::{
    AccountId, Forward, ForwardedPayment, FriendRecord, InboundPart, InvoiceRecord, Payment, ReceivedPayment,
    RecoveryRecord, Replacement, Settings, Spending, Tombstone, WriteOff,
};
use offst_ledger::{ACCOUNT_KINDS, Account, AccountImage, AccountKey, Pending};
use offst_proto::Currency;
use offst_proto::encoding::{Canonical, DecodeError, Decoder, Encoder};
use offst_rows::{Row, RowChange, RowKey, Rows, UnknownFields};
use offst_simulator::keys::FakeVerifier;

/// The first byte of a row that is a request on an account; other rows begin with the number of their kind.
pub(crate) const PENDING: u8 = 0xff;

/// The first byte says which kind of row the rest is: the key behind its length, then the value.
pub(crate) fn row(bytes: &[u8]) -> bool {
    let Some((kind, bytes)) = bytes.split_first() else { return false };
    if *kind == PENDING {
        let Ok(pending) = Pending::from_canonical_bytes(bytes) else { return false };
        assert_eq!(pending.to_canonical_bytes(), bytes);
        return true;
    }
    let rows = [
        again::<FriendRecord>,
        again::<Forward>,
        again::<InboundPart>,
        again::<InvoiceRecord>,
        again::<Payment>,
        again::<RecoveryRecord>,
        again::<Tombstone>,
        again::<Replacement>,
        again::<Settings>,
        again::<WriteOff>,
        again::<Spending>,
        again::<ForwardedPayment>,
        again::<ReceivedPayment>,
    ];
    rows.iter().any(|again| again(u16::from(*kind), bytes))
}

/// A row as an input of [`row`].
pub(crate) fn write_row(change: &RowChange) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.u8(u8::try_from(change.kind.number).expect("there are few kinds"));
    encoder.bytes(&change.key);
    encoder.fixed(change.value.as_deref().unwrap_or_default());
    encoder.finish()
}

/// What can be read is written again as it was, unknown fields included.
fn again<T: Row>(kind: u16, bytes: &[u8]) -> bool {
    if kind != T::KIND.number {
        return false;
    }
    let mut decoder = Decoder::new(bytes);
    let read = |decoder: &mut Decoder<'_>| Ok::<_, DecodeError>(decoder.bytes(ROW_BYTES_MAX, "a key")?.to_vec());
    let Ok(key) = read(&mut decoder) else { return false };
    let Ok(value) = decoder.rest(ROW_BYTES_MAX, "a value") else { return false };
    let Ok(key) = T::Key::from_bytes(&key) else { return false };
    let Ok((row, unknown)) = T::from_bytes(&key, value) else { return false };
    assert_eq!(row.to_bytes(&unknown), value, "a row has one encoding");
    row.to_bytes(&UnknownFields::none());
    true
}

/// The account of [`account`].
pub(crate) fn account_key() -> AccountKey {
    let key = |seed| Identity::from_seed([seed; 32]).public_key();
    AccountKey { local: key(1), remote: key(2), currency: Currency::default() }
}

/// The rows of one account.
pub(crate) fn account(bytes: &[u8]) -> bool {
    let Ok(rows) = read_account(bytes) else { return false };
    let Ok(image) = AccountImage::of(&account_key().id(), &rows) else { return false };
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

/// The rows of the account of [`account_key`] as an input of [`account`]: kind, what stands in the key behind the
/// account, value.
pub(crate) fn write_account(rows: &Rows) -> Vec<u8> {
    let prefix = account_key().id().to_bytes();
    let of_account = |kind| rows.with_prefix(kind, &prefix).map(move |row| (kind, row));
    let rows: Vec<_> = ACCOUNT_KINDS.into_iter().flat_map(of_account).collect();
    let mut encoder = Encoder::new();
    encoder.count(rows.len());
    for (kind, (key, value)) in rows {
        encoder.u8(u8::try_from(kind.number).expect("there are few kinds"));
        encoder.bytes(&key[prefix.len()..]);
        encoder.bytes(value);
    }
    encoder.finish()
}

fn read_account(bytes: &[u8]) -> Result<Rows, DecodeError> {
    let prefix = AccountId::to_bytes(&account_key().id());
    let mut decoder = Decoder::new(bytes);
    let mut rows = Rows::default();
    for _ in 0..decoder.count(ROWS_MAX, "rows")? {
        let kind = decoder.u8()?;
        let key = [&prefix, decoder.bytes(ROW_BYTES_MAX, "a key")?].concat();
        rows.insert(kind.into(), key, decoder.bytes(ROW_BYTES_MAX, "a value")?.to_vec());
    }
    decoder.finish()?;
    Ok(rows)
}
