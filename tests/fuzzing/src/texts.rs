//! What people copy, paste and keep in files.

use offst_crypto::{Ed25519Verifier, PublicKey};
use offst_proto::encoding::Canonical;
use offst_proto::invitation::{Invitation, InvitationAnswer, InvitationText};
use offst_proto::invoice::Invoice;
use offst_proto::receipt::Receipt;
use offst_proto::ticket::{Address, Ticket};
use offst_proto::{Currency, InvoiceId, PaymentId, RequestId};

/// An invoice, as a file or a line of text.
pub(crate) fn invoice(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(invoice) = Invoice::parse_file_or_text(text, &Ed25519Verifier) else { return false };
    for written in [invoice.to_text(), invoice.to_toml()] {
        assert_eq!(Invoice::parse_file_or_text(&written, &Ed25519Verifier).as_ref(), Ok(&invoice));
    }
    true
}

/// An invitation or the answer to one, as a line of text or the bytes behind it.
pub(crate) fn invitation(bytes: &[u8]) -> bool {
    let mut is_valid = false;
    if let Ok(Ok(text)) = std::str::from_utf8(bytes).map(InvitationText::from_text) {
        assert_eq!(InvitationText::from_text(&text.to_text()).as_ref(), Ok(&text));
        is_valid = true;
    }
    if let Ok(invitation) = Invitation::from_canonical_bytes(bytes) {
        assert_eq!(invitation.to_canonical_bytes(), bytes);
        is_valid = true;
    }
    if let Ok(answer) = InvitationAnswer::from_canonical_bytes(bytes) {
        assert_eq!(answer.to_canonical_bytes(), bytes);
        is_valid = true;
    }
    is_valid
}

/// A ticket's file.
pub(crate) fn ticket(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(ticket) = Ticket::from_toml(text) else { return false };
    assert_eq!(Ticket::from_toml(&ticket.to_toml()).as_ref(), Ok(&ticket));
    true
}

/// A receipt's file.
pub(crate) fn receipt(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(receipt) = Receipt::from_toml(text) else { return false };
    assert_eq!(Receipt::from_toml(&receipt.to_toml()).as_ref(), Ok(&receipt));
    // Whatever it says is judged without a panic.
    drop(receipt.verify(&Ed25519Verifier, None));
    true
}

/// Names, numbers and keys, as people type them.
pub(crate) fn words(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut is_valid = false;
    macro_rules! word {
        ($($kind:ty),*) => {$(
            if let Ok(value) = text.parse::<$kind>() {
                assert_eq!(value.to_string().parse::<$kind>().as_ref(), Ok(&value));
                is_valid = true;
            }
        )*};
    }
    word!(PublicKey, Currency, Address, PaymentId, InvoiceId, RequestId);
    if let Ok(amount) = text.parse::<offst_proto::Amount>() {
        assert_eq!(amount.to_string().parse(), Ok(amount));
        is_valid = true;
    }
    is_valid
}
