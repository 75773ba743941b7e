//! What a friend shows to a node that has lost its disk, and what a node shows to others.

use crate::rows::account_key;
use offst_crypto::{PublicKey, Signature, Verifier};
use offst_ledger::{Account, acknowledged};
use offst_proto::encoding::{DecodeError, Decoder, Encoder};
use offst_proto::friend::FriendMessage;
use offst_proto::friend_statement::FriendStatement;
use offst_simulator::keys::FakeSigner;

const FRAME_BYTES_MAX: usize = 64 * 1024;
const FRAMES_MAX: usize = 64;
/// When it is shown, unix ms.
const NOW_MS: u64 = 1_700_000_000_000;

/// Believes everything: what was signed is tried elsewhere.
pub(crate) struct Credulous;

impl Verifier for Credulous {
    fn verify(&self, _: &PublicKey, _: &[u8], _: &Signature) -> bool {
        true
    }
}

/// Frames of a friend, one behind the other, for an account of which nothing is left but its name. Says whether what
/// they show was adopted.
pub(crate) fn evidence(bytes: &[u8]) -> bool {
    let Ok(frames) = read_frames(bytes) else { return false };
    let (signer, mut account) = (FakeSigner::new(1), Account::lost(account_key(), 1_000.into(), true, 0));
    let mut is_adopted = false;
    for frame in frames {
        match FriendMessage::from_frame(&frame) {
            Ok(FriendMessage::Resume(resume)) => {
                account.handle_resume(*resume, &signer, &Credulous);
            }
            Ok(FriendMessage::Evidence(evidence)) => {
                is_adopted |= account.take_evidence(*evidence, NOW_MS, &signer, &Credulous).recovered;
            }
            Ok(FriendMessage::EvidenceStatements(statements)) => {
                let verified = statements.into_iter().map(|statement| statement.verify(&Credulous));
                let verified = verified.collect::<Result<Vec<_>, _>>().expect("everything is believed");
                is_adopted |= account.take_evidence_statements(verified, NOW_MS, &signer).recovered;
            }
            _ => return is_adopted,
        }
        if let Some(epoch) = account.epoch() {
            epoch.assert_sound();
        }
        account.status();
        account.resume_frame();
    }
    is_adopted
}

/// The file of a friend statement. Says whether it proves anything to one that believes every signature.
pub(crate) fn friend_statement(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(shown) = FriendStatement::from_toml(text) else { return false };
    assert_eq!(FriendStatement::from_toml(&shown.to_toml()).as_ref(), Ok(&shown));
    let proven = shown.accounts.into_iter().map(|account| acknowledged(shown.node, shown.friend, account, &Credulous));
    let proven: Result<Vec<_>, _> = proven.collect();
    for account in proven.iter().flatten() {
        assert!(account.collected <= account.committed && account.committed <= account.friend_pending, "{account:?}");
    }
    proven.is_ok()
}

/// Frames as an input of [`evidence`].
pub(crate) fn write_frames(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.count(frames.len());
    frames.iter().for_each(|frame| encoder.bytes(frame));
    encoder.finish()
}

fn read_frames(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let count = decoder.count(FRAMES_MAX, "frames")?;
    let frames = (0..count).map(|_| Ok(decoder.bytes(FRAME_BYTES_MAX, "a frame")?.to_vec())).collect();
    decoder.finish()?;
    frames
}
