//! What two friends send each other (protocol sections 1 and 3; `capnp/friend.capnp`).

use crate::encoding::DecodeError;
use crate::opening::Opening;
use crate::resolve::{End, read_backup, read_resolve, read_resolved};
use crate::statement::Statement;
use crate::wire::friend_capnp;
use crate::{Currency, RequestId, Unverified, frame};
use capnp::message::Builder;
use offst_crypto::Hash;
use std::sync::Arc;

/// One frame between friends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FriendMessage {
    /// The first frame of each side.
    Hello {
        /// Random for each run of the node.
        incarnation: u64,
    },
    /// Where an account stands.
    Resume(Box<Resume>),
    /// A statement, not yet verified. Sent with [`statement_frame`], from the stored bytes.
    Statement(Box<Unverified<Statement>>),
    /// Nothing to say, still here.
    Keepalive,
    /// A sealed peer backup of the sender's, to be kept in place of the one before.
    Backup(Vec<u8>),
    /// Asks for the peer backup that is kept for the sender.
    Recall,
    /// The answer. Empty: there is none.
    Recalled(Vec<u8>),
    /// Asks how requests ended that the sender made, or may have made.
    Resolve(Vec<RequestId>),
    /// The answer.
    Resolved(Vec<(RequestId, End)>),
}

/// Where an account stands: sent for each account when friends connect and whenever an Opening was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The account's currency.
    pub currency: Currency,
    /// The sender's newest Opening.
    pub opening: Option<Unverified<Opening>>,
    /// The epoch the sender has adopted.
    pub epoch: Option<EpochPosition>,
}

/// Where a side stands in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochPosition {
    /// The hash that the epoch rests on.
    pub agreed: Hash,
    /// The epoch.
    pub number: u64,
    /// The sender's newest statement.
    pub own_seq: u64,
    /// Its hash.
    pub own_hash: Hash,
    /// The receiver's newest statement as the sender knows it.
    pub other_seq: u64,
    /// Its hash.
    pub other_hash: Hash,
}

/// The frame of a statement, given its stored bytes.
pub fn statement_frame(wire: &[u8]) -> Vec<u8> {
    let mut message = Builder::new_default();
    message.init_root::<friend_capnp::friend_message::Builder<'_>>().set_statement(wire);
    frame::write(&message)
}

/// The frame of a [`Resume`], given the stored bytes of the Opening.
pub fn resume_frame(currency: &Currency, opening: Option<&Arc<[u8]>>, epoch: Option<&EpochPosition>) -> Vec<u8> {
    let mut message = Builder::new_default();
    let mut resume = message.init_root::<friend_capnp::friend_message::Builder<'_>>().init_resume();
    resume.set_currency(currency.as_str());
    resume.set_opening(opening.map_or(&[], |o| o));
    if let Some(position) = epoch {
        let mut epoch = resume.init_epoch();
        epoch.set_agreed(position.agreed.as_bytes());
        epoch.set_number(position.number);
        epoch.set_own_seq(position.own_seq);
        epoch.set_own_hash(position.own_hash.as_bytes());
        epoch.set_other_seq(position.other_seq);
        epoch.set_other_hash(position.other_hash.as_bytes());
    }
    frame::write(&message)
}

impl FriendMessage {
    /// The frame of a hello.
    pub fn hello_frame(incarnation: u64) -> Vec<u8> {
        let mut message = Builder::new_default();
        message.init_root::<friend_capnp::friend_message::Builder<'_>>().init_hello().set_incarnation(incarnation);
        frame::write(&message)
    }

    /// The frame of a keepalive.
    pub fn keepalive_frame() -> Vec<u8> {
        let mut message = Builder::new_default();
        message.init_root::<friend_capnp::friend_message::Builder<'_>>().set_keepalive(());
        frame::write(&message)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// The bytes are no message, or hold a value out of its bounds.
    pub fn from_frame(bytes: &[u8]) -> Result<Self, DecodeError> {
        use friend_capnp::friend_message::Which;
        let message = frame::read(bytes)?;
        let root = message.get_root::<friend_capnp::friend_message::Reader<'_>>()?;
        Ok(match root.which()? {
            Which::Hello(hello) => FriendMessage::Hello { incarnation: hello?.get_incarnation() },
            Which::Resume(resume) => FriendMessage::Resume(Box::new(read_resume(resume?)?)),
            Which::Statement(wire) => FriendMessage::Statement(Box::new(Unverified::from_wire(wire?)?)),
            Which::Keepalive(()) => FriendMessage::Keepalive,
            Which::Backup(sealed) => FriendMessage::Backup(read_backup(sealed?)?),
            Which::Recall(()) => FriendMessage::Recall,
            Which::Recalled(sealed) => FriendMessage::Recalled(read_backup(sealed?)?),
            Which::Resolve(ids) => FriendMessage::Resolve(read_resolve(ids?)?),
            Which::Resolved(ends) => FriendMessage::Resolved(read_resolved(ends?)?),
        })
    }
}

fn read_resume(resume: friend_capnp::resume::Reader<'_>) -> Result<Resume, DecodeError> {
    let opening = resume.get_opening()?;
    let position = resume.get_epoch()?;
    let hash = |bytes: &[u8]| Hash::from_slice(bytes).ok_or(DecodeError::invalid("a hash"));
    let epoch = if position.get_agreed()?.is_empty() {
        None
    } else {
        Some(EpochPosition {
            agreed: hash(position.get_agreed()?)?,
            number: position.get_number(),
            own_seq: position.get_own_seq(),
            own_hash: hash(position.get_own_hash()?)?,
            other_seq: position.get_other_seq(),
            other_hash: hash(position.get_other_hash()?)?,
        })
    };
    Ok(Resume {
        currency: resume.get_currency()?.to_str()?.parse().map_err(|_| DecodeError::invalid("a currency"))?,
        opening: if opening.is_empty() { None } else { Some(Unverified::from_wire(opening)?) },
        epoch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verified;
    use crate::statement::{Operation, Totals};
    use offst_crypto::{Identity, sha256};
    use proptest::prelude::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn opening() -> Verified<Opening> {
        let author = Identity::from_seed([1; 32]);
        let opening = Opening {
            author: author.public_key(),
            other: Identity::from_seed([2; 32]).public_key(),
            currency: Currency::default(),
            epoch: 0,
            balance: 5,
            continuing: vec![],
            accepts: None,
        };
        Verified::sign(opening, &author)
    }

    fn statement() -> Verified<Statement> {
        let author = Identity::from_seed([1; 32]);
        let statement = Statement {
            author: author.public_key(),
            other: Identity::from_seed([2; 32]).public_key(),
            currency: Currency::default(),
            epoch: 0,
            seq: 1,
            prev_hash: sha256(b"agreed"),
            ack_seq: 0,
            ack_hash: sha256(b"agreed"),
            operations: vec![Operation::SetOpen(true)],
            totals: Totals::default(),
            pending_hash: None,
        };
        Verified::sign(statement, &author)
    }

    fn position() -> EpochPosition {
        EpochPosition {
            agreed: Hash::from_bytes([1; 32]),
            number: 2,
            own_seq: 3,
            own_hash: Hash::from_bytes([4; 32]),
            other_seq: 5,
            other_hash: Hash::from_bytes([6; 32]),
        }
    }

    fn frames() -> Vec<Vec<u8>> {
        let (opening, currency) = (opening(), Currency::default());
        vec![
            FriendMessage::hello_frame(7),
            FriendMessage::keepalive_frame(),
            resume_frame(&currency, None, None),
            resume_frame(&currency, Some(opening.wire()), None),
            resume_frame(&currency, Some(opening.wire()), Some(&position())),
            statement_frame(statement().wire()),
        ]
    }

    #[test]
    fn frames_keep_their_bytes() {
        let frames = frames();
        insta::assert_snapshot!(hex(&frames[0]), @"00000000040000000000000001000100000000000000000000000000010000000700000000000000");
        insta::assert_snapshot!(hex(&frames[1]), @"0000000003000000000000000100010003000000000000000000000000000000");
        insta::assert_snapshot!(hex(&frames[2]), @"0000000007000000000000000100010001000000000000000000000000000300090000003a000000090000000200000000000000000000006372656469740000");
        insta::assert_snapshot!(hex(&frames[3]), @"000000001f000000000000000100010001000000000000000000000000000300090000003a00000009000000d2050000000000000000000063726564697400000000000f6f666673742f6f70656e696e672f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000066372656469740000000000000000000000000000000000000000000000050000000000b2ed3a4d00dd5acd00452b4dc56730cb356f353813a7a807a9d577eef70868688146f7b63788541bc2cb60bf3a08a0f86279ee5a8e70f8655fb4fd676994f807000000000000");
        insta::assert_snapshot!(hex(&frames[4]), @"0000000031000000000000000100010001000000000000000000000000000300090000003a00000009000000d2050000640000000300030063726564697400000000000f6f666673742f6f70656e696e672f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000066372656469740000000000000000000000000000000000000000000000050000000000b2ed3a4d00dd5acd00452b4dc56730cb356f353813a7a807a9d577eef70868688146f7b63788541bc2cb60bf3a08a0f86279ee5a8e70f8655fb4fd676994f807000000000000020000000000000003000000000000000500000000000000090000000201000015000000020100002100000002010000010101010101010101010101010101010101010101010101010101010101010104040404040404040404040404040404040404040404040404040404040404040606060606060606060606060606060606060606060606060606060606060606");
        insta::assert_snapshot!(hex(&frames[5]), @"0000000029000000000000000100010002000000000000000100000072090000000000116f666673742f73746174656d656e742f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39400000006637265646974000000000000000000000000000000019eace41237dcecc2fd793cf88494b80062add70fac8358316003ac38866257da00000000000000009eace41237dcecc2fd793cf88494b80062add70fac8358316003ac38866257da00000001070100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000787177e77acae57f1805addcea4a7116b939ba734447e2573e2fb6f0c79ea9f6f476f3d2ae7d747aa3188f3b99a24e2508391171948e1998ec5ed9ed094a610f0000");
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let read = |frame: &[u8]| FriendMessage::from_frame(frame).unwrap();
        let frames = frames();
        assert_eq!(read(&frames[0]), FriendMessage::Hello { incarnation: 7 });
        assert_eq!(read(&frames[1]), FriendMessage::Keepalive);
        let opened = Unverified::from_wire(opening().wire()).unwrap();
        let cases = [(None, None), (Some(&opened), None), (Some(&opened), Some(position()))];
        for (frame, (opening, epoch)) in frames[2..5].iter().zip(cases) {
            let expected = Resume { currency: Currency::default(), opening: opening.cloned(), epoch };
            assert_eq!(read(frame), FriendMessage::Resume(Box::new(expected)));
        }
        let stated = Unverified::from_wire(statement().wire()).unwrap();
        assert_eq!(read(&frames[5]), FriendMessage::Statement(Box::new(stated)));
    }

    #[test]
    fn cut_and_flipped_frames_do_not_panic() {
        for frame in frames() {
            for len in 0..frame.len() {
                assert!(FriendMessage::from_frame(&frame[..len]).is_err(), "{len} bytes");
            }
            for bit in 0..frame.len() * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let _ = FriendMessage::from_frame(&flipped);
            }
        }
    }

    #[test]
    fn hashes_of_another_length_are_refused() {
        for len in [1, 31, 33] {
            let mut message = Builder::new_default();
            let mut resume = message.init_root::<friend_capnp::friend_message::Builder<'_>>().init_resume();
            resume.set_currency("credit");
            resume.init_epoch().set_agreed(&vec![1; len]);
            assert_eq!(FriendMessage::from_frame(&frame::write(&message)), Err(DecodeError::invalid("a hash")));
        }
    }

    proptest! {
        #[test]
        fn positions_come_back_as_they_went(numbers in any::<[u64; 3]>(), hashes in any::<[[u8; 32]; 3]>()) {
            let [agreed, own_hash, other_hash] = hashes.map(Hash::from_bytes);
            let [number, own_seq, other_seq] = numbers;
            let position = EpochPosition { agreed, number, own_seq, own_hash, other_seq, other_hash };
            let frame = resume_frame(&Currency::default(), None, Some(&position));
            let FriendMessage::Resume(resume) = FriendMessage::from_frame(&frame).unwrap() else { unreachable!() };
            prop_assert_eq!(resume.epoch, Some(position));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = FriendMessage::from_frame(&bytes);
        }
    }
}
