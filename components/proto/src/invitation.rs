//! Invitations: two lines of text by which two people become friends (docs/protocol.md, section 7).
//!
//! The inviter's line carries its ticket and the terms of an account. Anybody who accepts adds the inviter, with the
//! opposite balance, and gives back an answer: its own ticket, and the terms once more with the inviter's mark. The
//! mark shows the inviter that it has offered just these terms, so that it need not remember them. Neither line is
//! signed or secret: as with a ticket, it is as trustworthy as the way it came.

use crate::Currency;
use crate::amount::{Amount, decode_balance};
use crate::checked_text::{CheckedTextError, from_checked_text, starts_with_prefix, to_checked_text};
use crate::encoding::{Canonical, DecodeError, Decoder, Encoder};
use crate::limits::{ADDRESS_BYTES_MAX, RELAYS_MAX};
use crate::ticket::FriendTicket;
use offst_crypto::{PublicKey, Signer, byte_string};

/// How the line of an invitation starts.
pub const INVITATION_TEXT_PREFIX: &str = "offstinvite1";
/// How the line of an answer starts.
pub const ANSWER_TEXT_PREFIX: &str = "offstanswer1";

/// Most bytes behind either line: a ticket with all its relays, another key, terms and mark.
const CONTENT_BYTES_MAX: usize = (RELAYS_MAX + 1) * (PublicKey::LEN + 4 + ADDRESS_BYTES_MAX) + 256;

/// What the mark is derived for.
const MARK_LABEL: &str = "offst/invitation/1";

byte_string! {
    /// Shows its maker that it has offered these terms. Others can only pass it on.
    Mark, 16
}

/// The terms of an account, as the inviter sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationTerms {
    /// The inviter's node.
    pub inviter: PublicKey,
    /// The currency.
    pub currency: Currency,
    /// What the other side owes the inviter, credits; negative when the inviter owes.
    pub balance: i128,
    /// What the inviter lets the other side owe, credits.
    pub max_debt: Amount,
}

/// What the inviter gives to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// How the inviter's node is reached.
    pub ticket: FriendTicket,
    /// The currency.
    pub currency: Currency,
    /// What the other side owes the inviter, credits; negative when the inviter owes.
    pub balance: i128,
    /// What the inviter lets the other side owe, credits.
    pub max_debt: Amount,
    /// For the answer.
    pub mark: Mark,
}

/// What the one who has accepted gives back to the inviter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationAnswer {
    /// How the node is reached that has accepted.
    pub ticket: FriendTicket,
    /// What it has accepted.
    pub terms: InvitationTerms,
    /// From the invitation.
    pub mark: Mark,
    /// What it lets the inviter owe, credits.
    pub max_debt: Amount,
}

/// One of the two lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvitationText {
    /// To be accepted by somebody else.
    Invitation(Invitation),
    /// To be accepted by the inviter.
    Answer(InvitationAnswer),
}

/// Why a text is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// The line of text is damaged, or another one.
    #[error("this is neither an invitation nor the answer to one: {0}")]
    Text(#[from] CheckedTextError),
    /// The bytes behind the line of text have no meaning.
    #[error("this is not an invitation that this version understands: {0}")]
    Bytes(#[from] DecodeError),
}

impl InvitationTerms {
    /// The mark of the one who offers these terms. The same terms have the same mark.
    pub fn mark(&self, signer: &dyn Signer) -> Mark {
        let secret = signer.derive(MARK_LABEL, &self.to_canonical_bytes());
        Mark::from_slice(&secret[..Mark::LEN]).expect("the secret is longer")
    }
}

impl Invitation {
    /// Offers terms: `signer` will know them again.
    pub fn new(ticket: FriendTicket, currency: Currency, balance: i128, max_debt: Amount, signer: &dyn Signer) -> Self {
        let terms = InvitationTerms { inviter: ticket.public_key, currency, balance, max_debt };
        let mark = terms.mark(signer);
        Invitation { ticket, currency: terms.currency, balance, max_debt, mark }
    }

    /// What is offered.
    pub fn terms(&self) -> InvitationTerms {
        let Invitation { ticket, currency, balance, max_debt, .. } = self;
        InvitationTerms {
            inviter: ticket.public_key,
            currency: currency.clone(),
            balance: *balance,
            max_debt: *max_debt,
        }
    }

    /// The answer of the node with this ticket, which lets the inviter owe `max_debt` credits.
    pub fn answer(&self, ticket: FriendTicket, max_debt: Amount) -> InvitationAnswer {
        InvitationAnswer { ticket, terms: self.terms(), mark: self.mark, max_debt }
    }
}

impl InvitationAnswer {
    /// Whether `signer` has offered these terms.
    pub fn is_to(&self, signer: &dyn Signer) -> bool {
        self.terms.mark(signer) == self.mark
    }
}

impl InvitationText {
    /// The line of text, without blanks.
    pub fn to_text(&self) -> String {
        match self {
            InvitationText::Invitation(invitation) => {
                to_checked_text(INVITATION_TEXT_PREFIX, &invitation.to_canonical_bytes())
            }
            InvitationText::Answer(answer) => to_checked_text(ANSWER_TEXT_PREFIX, &answer.to_canonical_bytes()),
        }
    }

    /// Reads the line of text, in either case and with blanks around it.
    ///
    /// # Errors
    /// See [`InvitationError`].
    pub fn from_text(text: &str) -> Result<Self, InvitationError> {
        if starts_with_prefix(ANSWER_TEXT_PREFIX, text) {
            let content = from_checked_text(ANSWER_TEXT_PREFIX, text, CONTENT_BYTES_MAX)?;
            return Ok(InvitationText::Answer(InvitationAnswer::from_canonical_bytes(&content)?));
        }
        let content = from_checked_text(INVITATION_TEXT_PREFIX, text, CONTENT_BYTES_MAX)?;
        Ok(InvitationText::Invitation(Invitation::from_canonical_bytes(&content)?))
    }
}

impl Canonical for InvitationTerms {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.inviter);
        encoder.value(&self.currency);
        encoder.i128(self.balance);
        encoder.value(&self.max_debt);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(InvitationTerms {
            inviter: decoder.value()?,
            currency: decoder.value()?,
            balance: decode_balance(decoder)?,
            max_debt: decoder.value()?,
        })
    }
}

impl Canonical for Invitation {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.ticket);
        encoder.value(&self.currency);
        encoder.i128(self.balance);
        encoder.value(&self.max_debt);
        encoder.fixed(self.mark.as_bytes());
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Invitation {
            ticket: decoder.value()?,
            currency: decoder.value()?,
            balance: decode_balance(decoder)?,
            max_debt: decoder.value()?,
            mark: Mark::from_bytes(decoder.fixed()?),
        })
    }
}

impl Canonical for InvitationAnswer {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.value(&self.ticket);
        encoder.value(&self.terms);
        encoder.fixed(self.mark.as_bytes());
        encoder.value(&self.max_debt);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(InvitationAnswer {
            ticket: decoder.value()?,
            terms: decoder.value()?,
            mark: Mark::from_bytes(decoder.fixed()?),
            max_debt: decoder.value()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{hex, identity, key};
    use crate::ticket::{Address, ServerTicket};
    use proptest::prelude::*;

    fn ticket(seed: u8, relays: u8) -> FriendTicket {
        let server = |seed| ServerTicket { public_key: key(seed), address: "relay.example.net:7000".parse().unwrap() };
        FriendTicket {
            public_key: key(seed),
            relays: (0..relays).map(|relay| server(100 + relay)).collect(),
            address: None,
        }
    }

    fn invitation() -> Invitation {
        Invitation::new(ticket(1, 1), "hours".parse().unwrap(), -5, 100.into(), &identity(9))
    }

    #[test]
    fn lines_keep_their_letters() {
        let invitation = invitation();
        insta::assert_snapshot!(hex(&invitation.to_canonical_bytes()), @"8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c000000012bc2800b3316e009209ffd757dab19ccf0ae84bc7ae90654e1e81712d270f6530000001672656c61792e6578616d706c652e6e65743a373030300000000000000005686f757273fffffffffffffffffffffffffffffffb000000000000000000000000000000646fa332a5ff0649f18d63f7f0a049c934");
        let text = InvitationText::Invitation(invitation.clone());
        insta::assert_snapshot!(text.to_text(), @"offstinvite1rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oaaaaaaev4faalgmloacjat76xk7nldhgpbluexr5osbsu4huboewsod3fgaaaaalhezlmmf4s4zlymfwxa3dffzxgk5b2g4ydamaaaaaaaaaaaacwq33vojz7777777777777777777777777waaaaaaaaaaaaaaaaaaaaaaaazdpumzkl7ygjhyy2y7x6cqetsjudo6onaq");
        assert_eq!(InvitationText::from_text(&format!(" {}\n", text.to_text().to_uppercase())), Ok(text));
        let answer = invitation.answer(ticket(2, 0), 7.into());
        insta::assert_snapshot!(hex(&answer.to_canonical_bytes()), @"8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39400000000000000008a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c00000005686f757273fffffffffffffffffffffffffffffffb000000000000000000000000000000646fa332a5ff0649f18d63f7f0a049c93400000000000000000000000000000007");
        let text = InvitationText::Answer(answer);
        assert_eq!(InvitationText::from_text(&text.to_text()), Ok(text));
    }

    #[test]
    fn only_the_inviters_own_terms_bear_its_mark() {
        let answer = invitation().answer(ticket(2, 0), 7.into());
        assert!(answer.is_to(&identity(9)));
        assert!(!answer.is_to(&identity(1)) && !answer.is_to(&identity(2)));
        let terms = &answer.terms;
        for terms in [
            InvitationTerms { balance: 5, ..terms.clone() },
            InvitationTerms { max_debt: 101.into(), ..terms.clone() },
            InvitationTerms { currency: Currency::default(), ..terms.clone() },
            InvitationTerms { inviter: key(2), ..terms.clone() },
        ] {
            assert!(!InvitationAnswer { terms, ..answer.clone() }.is_to(&identity(9)));
        }
        // Who accepts is for the inviter to look at.
        assert!(InvitationAnswer { ticket: ticket(3, 1), ..answer }.is_to(&identity(9)));
    }

    #[test]
    fn wrong_lines_are_refused_in_a_sentence() {
        let text = InvitationText::Invitation(invitation()).to_text();
        for (wrong, error) in [
            ("offst1abc".to_owned(), "the text does not start with \"offstinvite1\""),
            (text.replace("offstinvite1", "offstanswer1"), "its checksum does not fit"),
            (text[..text.len() - 1].to_owned(), "its checksum does not fit"),
            (to_checked_text(INVITATION_TEXT_PREFIX, b"hello"), "the bytes end too early"),
            (to_checked_text(ANSWER_TEXT_PREFIX, &invitation().to_canonical_bytes()), "this version understands"),
            (format!("{INVITATION_TEXT_PREFIX}{}", "a".repeat(1 << 20)), "the text is too long"),
        ] {
            let refused = InvitationText::from_text(&wrong).unwrap_err().to_string();
            assert!(refused.starts_with("this is n") && refused.contains(error), "{refused}");
        }
        for balance in [(1 << 96) + 1, -(1 << 96) - 1, i128::MIN] {
            let text = InvitationText::Invitation(Invitation { balance, ..invitation() }).to_text();
            assert!(InvitationText::from_text(&text).is_err());
        }
        let many = InvitationText::Invitation(Invitation { ticket: ticket(1, 9), ..invitation() });
        assert!(InvitationText::from_text(&many.to_text()).is_err());
    }

    #[test]
    fn the_largest_one_fits() {
        let address: Address = format!("{}:65535", "a".repeat(ADDRESS_BYTES_MAX - 6)).parse().unwrap();
        let mut ticket = ticket(1, 8);
        ticket.relays.iter_mut().for_each(|relay| relay.address = address.clone());
        ticket.address = Some(address);
        let currency: Currency = "a-currency-of-16".parse().unwrap();
        let invitation = Invitation::new(ticket.clone(), currency, -(1 << 96), Amount::MAX, &identity(9));
        let answer = InvitationText::Answer(invitation.answer(ticket, Amount::MAX));
        assert_eq!(InvitationText::from_text(&answer.to_text()), Ok(answer));
        let invitation = InvitationText::Invitation(invitation);
        assert_eq!(InvitationText::from_text(&invitation.to_text()), Ok(invitation));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Invitation::from_canonical_bytes(&bytes);
            let _ = InvitationAnswer::from_canonical_bytes(&bytes);
            let _ = InvitationText::from_text(&to_checked_text(INVITATION_TEXT_PREFIX, &bytes));
        }

        #[test]
        fn changed_bytes_are_read_back_or_refused(at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = invitation().answer(ticket(2, 2), 7.into()).to_canonical_bytes();
            let place = at.index(bytes.len());
            bytes[place] = to;
            if let Ok(answer) = InvitationAnswer::from_canonical_bytes(&bytes) {
                prop_assert_eq!(&answer.to_canonical_bytes(), &bytes);
            }
            prop_assert!(InvitationAnswer::from_canonical_bytes(&bytes[..place]).is_err());
        }
    }
}
