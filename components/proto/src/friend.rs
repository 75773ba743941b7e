//! What two friends send each other (protocol sections 1 and 3; `capnp/friend.capnp`).

use crate::encoding::DecodeError;
use crate::limits::{CHECKPOINT_BYTES_MAX, EVIDENCE_STATEMENTS_MAX};
use crate::opening::Opening;
use crate::resolve::{End, read_backup, read_resolve, read_resolved};
use crate::statement::Statement;
use crate::ticket::Address;
use crate::wire::friend_capnp;
use crate::{Currency, RequestId, Unverified, frame};
use capnp::message::Builder;
use offst_crypto::Hash;
use std::sync::Arc;

/// How full a frame with several statements gets, bytes. Far below the largest frame, so that other frames do not wait long.
const EVIDENCE_FRAME_BYTES: usize = 256 * 1024;

/// One frame between friends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FriendMessage {
    /// The first frame of each side.
    Hello {
        /// Random for each run of the node.
        incarnation: u64,
        /// Where the sender is called without a relay.
        direct: Direct,
    },
    /// Where an account stands.
    Resume(Box<Resume>),
    /// A statement, not yet verified. Sent with [`statement_frame`], from the stored bytes.
    Statement(Box<Unverified<Statement>>),
    /// What proves where an account stands.
    Evidence(Box<Evidence>),
    /// Statements that belong to the newest [`Evidence`], in the order in which they can be checked, not yet verified.
    EvidenceStatements(Vec<Unverified<Statement>>),
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

/// Where a node is called without a relay, as it says in its hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direct {
    /// It does not say, as nodes of earlier versions: what its ticket says stays.
    Unsaid,
    /// Nowhere: an address that is known from before is void.
    Nowhere,
    /// There.
    At(Address),
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
    /// The sender does not trust its own state of this account: it asks for [`Evidence`].
    pub recovering: bool,
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

/// What one side shows to the other that has lost its own state: the newest epoch, as both have signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The account's currency.
    pub currency: Currency,
    /// The Openings that the epoch rests on, the sender's and the receiver's. None: the sender has no epoch.
    pub openings: Option<[Unverified<Opening>; 2]>,
    /// Where the statements start; none: with the epoch.
    pub checkpoint: Option<EvidenceCheckpoint>,
    /// How many statements follow, at most [`EVIDENCE_STATEMENTS_MAX`].
    pub statements: u32,
    /// No Opening that the sender knows is for a later epoch.
    pub newest_epoch: u64,
    /// The sender does not trust its own state either.
    pub recovering: bool,
}

/// The set of pending requests to which the checkpoint of the first statement commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceCheckpoint {
    /// Whether the evidence's sender signed it; otherwise its receiver.
    pub by_sender: bool,
    /// The bytes whose hash is the checkpoint, at most [`CHECKPOINT_BYTES_MAX`].
    pub set: Vec<u8>,
}

/// The frame of a statement, given its stored bytes.
pub fn statement_frame(wire: &[u8]) -> Vec<u8> {
    let mut message = Builder::new_default();
    message.init_root::<friend_capnp::friend_message::Builder<'_>>().set_statement(wire);
    frame::write(&message)
}

/// The frame of a [`Resume`], given the stored bytes of the Opening.
pub fn resume_frame(
    currency: &Currency,
    opening: Option<&Arc<[u8]>>,
    epoch: Option<&EpochPosition>,
    recovering: bool,
) -> Vec<u8> {
    let mut message = Builder::new_default();
    let mut resume = message.init_root::<friend_capnp::friend_message::Builder<'_>>().init_resume();
    resume.set_currency(currency.as_str());
    resume.set_opening(opening.map_or(&[], |o| o));
    resume.set_recovering(recovering);
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

impl Evidence {
    /// Its frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut evidence = message.init_root::<friend_capnp::friend_message::Builder<'_>>().init_evidence();
        evidence.set_currency(self.currency.as_str());
        if let Some([opening, other]) = &self.openings {
            evidence.set_opening(opening.wire());
            evidence.set_other_opening(other.wire());
        }
        if let Some(checkpoint) = &self.checkpoint {
            evidence.set_checkpoint_by_sender(checkpoint.by_sender);
            evidence.set_set(&checkpoint.set);
        }
        evidence.set_statements(self.statements);
        evidence.set_newest_epoch(self.newest_epoch);
        evidence.set_recovering(self.recovering);
        frame::write(&message)
    }
}

/// The frames of the statements that belong to an [`Evidence`], as few as the size of a frame allows.
pub fn evidence_statement_frames(wires: &[Arc<[u8]>]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let mut rest = wires;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|wire| {
            bytes += wire.len() + 16;
            bytes <= EVIDENCE_FRAME_BYTES
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        let mut message = Builder::new_default();
        let root = message.init_root::<friend_capnp::friend_message::Builder<'_>>();
        let mut list = root.init_evidence_statements(u32::try_from(now.len()).expect("bounded by the frame's size"));
        for (place, wire) in (0..).zip(now) {
            list.set(place, wire);
        }
        frames.push(frame::write(&message));
        rest = later;
    }
    frames
}

impl FriendMessage {
    /// The frame of a hello.
    pub fn hello_frame(incarnation: u64, direct: &Direct) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut hello = message.init_root::<friend_capnp::friend_message::Builder<'_>>().init_hello();
        hello.set_incarnation(incarnation);
        let mut said = hello.init_direct();
        match direct {
            Direct::Unsaid => said.set_unsaid(()),
            Direct::Nowhere => said.set_nowhere(()),
            Direct::At(address) => said.set_at(address.as_str()),
        }
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
            Which::Hello(hello) => read_hello(hello?)?,
            Which::Resume(resume) => FriendMessage::Resume(Box::new(read_resume(resume?)?)),
            Which::Statement(wire) => FriendMessage::Statement(Box::new(Unverified::from_wire(wire?)?)),
            Which::Evidence(evidence) => FriendMessage::Evidence(Box::new(read_evidence(evidence?)?)),
            Which::EvidenceStatements(wires) => FriendMessage::EvidenceStatements(
                wires?.iter().map(|wire| Unverified::from_wire(wire?)).collect::<Result<_, DecodeError>>()?,
            ),
            Which::Keepalive(()) => FriendMessage::Keepalive,
            Which::Backup(sealed) => FriendMessage::Backup(read_backup(sealed?)?),
            Which::Recall(()) => FriendMessage::Recall,
            Which::Recalled(sealed) => FriendMessage::Recalled(read_backup(sealed?)?),
            Which::Resolve(ids) => FriendMessage::Resolve(read_resolve(ids?)?),
            Which::Resolved(ends) => FriendMessage::Resolved(read_resolved(ends?)?),
        })
    }
}

fn read_hello(hello: friend_capnp::hello::Reader<'_>) -> Result<FriendMessage, DecodeError> {
    use friend_capnp::hello::direct::Which;
    let direct = match hello.get_direct().which()? {
        Which::Unsaid(()) => Direct::Unsaid,
        Which::Nowhere(()) => Direct::Nowhere,
        // Its length is bounded by the type.
        Which::At(text) => Direct::At(text?.to_str()?.parse().map_err(|_| DecodeError::invalid("an address"))?),
    };
    Ok(FriendMessage::Hello { incarnation: hello.get_incarnation(), direct })
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
        recovering: resume.get_recovering(),
    })
}

fn read_evidence(evidence: friend_capnp::evidence::Reader<'_>) -> Result<Evidence, DecodeError> {
    let (opening, other) = (evidence.get_opening()?, evidence.get_other_opening()?);
    let openings = if opening.is_empty() && other.is_empty() {
        None
    } else {
        Some([Unverified::from_wire(opening)?, Unverified::from_wire(other)?])
    };
    let set = evidence.get_set()?;
    if set.len() > CHECKPOINT_BYTES_MAX {
        return Err(DecodeError::too_large("a set of pending requests"));
    }
    let checkpoint = if set.is_empty() {
        None
    } else {
        Some(EvidenceCheckpoint { by_sender: evidence.get_checkpoint_by_sender(), set: set.to_vec() })
    };
    let statements = evidence.get_statements();
    if statements > EVIDENCE_STATEMENTS_MAX {
        return Err(DecodeError::too_large("the number of statements"));
    }
    Ok(Evidence {
        currency: evidence.get_currency()?.to_str()?.parse().map_err(|_| DecodeError::invalid("a currency"))?,
        openings,
        checkpoint,
        statements,
        newest_epoch: evidence.get_newest_epoch(),
        recovering: evidence.get_recovering(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verified;
    use crate::limits::FRIEND_FRAME_BYTES_MAX;
    use crate::statement::{Operation, Totals};
    use crate::test_values::hex;
    use offst_crypto::{Identity, sha256};
    use proptest::prelude::*;

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
            FriendMessage::hello_frame(7, &Direct::Unsaid),
            FriendMessage::keepalive_frame(),
            resume_frame(&currency, None, None, false),
            resume_frame(&currency, Some(opening.wire()), None, true),
            resume_frame(&currency, Some(opening.wire()), Some(&position()), false),
            statement_frame(statement().wire()),
            nothing().frame(),
            evidence().frame(),
            evidence_statement_frames(&[statement().wire().clone(), statement().wire().clone()]).remove(0),
            FriendMessage::hello_frame(7, &Direct::Nowhere),
            FriendMessage::hello_frame(7, &Direct::At("node.example.org:9600".parse().unwrap())),
        ]
    }

    fn nothing() -> Evidence {
        Evidence {
            currency: Currency::default(),
            openings: None,
            checkpoint: None,
            statements: 0,
            newest_epoch: 0,
            recovering: true,
        }
    }

    fn evidence() -> Evidence {
        let opened = || Unverified::from_wire(opening().wire()).unwrap();
        let checkpoint = EvidenceCheckpoint { by_sender: true, set: vec![1, 2, 3] };
        Evidence {
            openings: Some([opened(), opened()]),
            checkpoint: Some(checkpoint),
            statements: 2,
            newest_epoch: 5,
            recovering: false,
            ..nothing()
        }
    }

    #[test]
    fn frames_keep_their_bytes() {
        let frames = frames();
        insta::assert_snapshot!(hex(&frames[0]), @"0000000006000000000000000100010000000000000000000000000002000100070000000000000000000000000000000000000000000000");
        insta::assert_snapshot!(hex(&frames[1]), @"0000000003000000000000000100010003000000000000000000000000000000");
        insta::assert_snapshot!(hex(&frames[2]), @"00000000080000000000000001000100010000000000000000000000010003000000000000000000090000003a000000090000000200000000000000000000006372656469740000");
        insta::assert_snapshot!(hex(&frames[3]), @"00000000200000000000000001000100010000000000000000000000010003000100000000000000090000003a00000009000000d2050000000000000000000063726564697400000000000f6f666673742f6f70656e696e672f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000066372656469740000000000000000000000000000000000000000000000050000000000b2ed3a4d00dd5acd00452b4dc56730cb356f353813a7a807a9d577eef70868688146f7b63788541bc2cb60bf3a08a0f86279ee5a8e70f8655fb4fd676994f807000000000000");
        insta::assert_snapshot!(hex(&frames[4]), @"00000000320000000000000001000100010000000000000000000000010003000000000000000000090000003a00000009000000d2050000640000000300030063726564697400000000000f6f666673742f6f70656e696e672f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000066372656469740000000000000000000000000000000000000000000000050000000000b2ed3a4d00dd5acd00452b4dc56730cb356f353813a7a807a9d577eef70868688146f7b63788541bc2cb60bf3a08a0f86279ee5a8e70f8655fb4fd676994f807000000000000020000000000000003000000000000000500000000000000090000000201000015000000020100002100000002010000010101010101010101010101010101010101010101010101010101010101010104040404040404040404040404040404040404040404040404040404040404040606060606060606060606060606060606060606060606060606060606060606");
        insta::assert_snapshot!(hex(&frames[5]), @"0000000029000000000000000100010002000000000000000100000072090000000000116f666673742f73746174656d656e742f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39400000006637265646974000000000000000000000000000000019eace41237dcecc2fd793cf88494b80062add70fac8358316003ac38866257da00000000000000009eace41237dcecc2fd793cf88494b80062add70fac8358316003ac38866257da00000001070100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000787177e77acae57f1805addcea4a7116b939ba734447e2573e2fb6f0c79ea9f6f476f3d2ae7d747aa3188f3b99a24e2508391171948e1998ec5ed9ed094a610f0000");
        insta::assert_snapshot!(hex(&frames[6]), @"000000000a000000000000000100010004000000000000000000000002000400020000000000000000000000000000000d0000003a0000000000000000000000000000000000000000000000000000006372656469740000");
        insta::assert_snapshot!(hex(&frames[7]), @"000000003b000000000000000100010004000000000000000000000002000400010000000200000005000000000000000d0000003a0000000d000000d205000069000000d2050000c50000001a00000063726564697400000000000f6f666673742f6f70656e696e672f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000066372656469740000000000000000000000000000000000000000000000050000000000b2ed3a4d00dd5acd00452b4dc56730cb356f353813a7a807a9d577eef70868688146f7b63788541bc2cb60bf3a08a0f86279ee5a8e70f8655fb4fd676994f8070000000000000000000f6f666673742f6f70656e696e672f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000066372656469740000000000000000000000000000000000000000000000050000000000b2ed3a4d00dd5acd00452b4dc56730cb356f353813a7a807a9d577eef70868688146f7b63788541bc2cb60bf3a08a0f86279ee5a8e70f8655fb4fd676994f8070000000000000102030000000000");
        insta::assert_snapshot!(hex(&frames[8]), @"000000005100000000000000010001000500000000000000010000001600000005000000720900009900000072090000000000116f666673742f73746174656d656e742f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39400000006637265646974000000000000000000000000000000019eace41237dcecc2fd793cf88494b80062add70fac8358316003ac38866257da00000000000000009eace41237dcecc2fd793cf88494b80062add70fac8358316003ac38866257da00000001070100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000787177e77acae57f1805addcea4a7116b939ba734447e2573e2fb6f0c79ea9f6f476f3d2ae7d747aa3188f3b99a24e2508391171948e1998ec5ed9ed094a610f0000000000116f666673742f73746174656d656e742f318a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b39400000006637265646974000000000000000000000000000000019eace41237dcecc2fd793cf88494b80062add70fac8358316003ac38866257da00000000000000009eace41237dcecc2fd793cf88494b80062add70fac8358316003ac38866257da00000001070100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000787177e77acae57f1805addcea4a7116b939ba734447e2573e2fb6f0c79ea9f6f476f3d2ae7d747aa3188f3b99a24e2508391171948e1998ec5ed9ed094a610f0000");
        insta::assert_snapshot!(hex(&frames[9]), @"0000000006000000000000000100010000000000000000000000000002000100070000000000000001000000000000000000000000000000");
        insta::assert_snapshot!(hex(&frames[10]), @"00000000090000000000000001000100000000000000000000000000020001000700000000000000020000000000000001000000b20000006e6f64652e6578616d706c652e6f72673a39363030000000");
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let read = |frame: &[u8]| FriendMessage::from_frame(frame).unwrap();
        let frames = frames();
        assert_eq!(read(&frames[0]), FriendMessage::Hello { incarnation: 7, direct: Direct::Unsaid });
        assert_eq!(read(&frames[1]), FriendMessage::Keepalive);
        let opened = Unverified::from_wire(opening().wire()).unwrap();
        let cases = [(None, None), (Some(&opened), None), (Some(&opened), Some(position()))];
        for (place, (opening, epoch)) in (2..).zip(cases) {
            let (frame, recovering) = (&frames[place], place == 3);
            let expected = Resume { currency: Currency::default(), opening: opening.cloned(), epoch, recovering };
            assert_eq!(read(frame), FriendMessage::Resume(Box::new(expected)));
        }
        let stated = Unverified::from_wire(statement().wire()).unwrap();
        assert_eq!(read(&frames[5]), FriendMessage::Statement(Box::new(stated.clone())));
        assert_eq!(read(&frames[6]), FriendMessage::Evidence(Box::new(nothing())));
        assert_eq!(read(&frames[7]), FriendMessage::Evidence(Box::new(evidence())));
        assert_eq!(read(&frames[8]), FriendMessage::EvidenceStatements(vec![stated.clone(), stated]));
        assert_eq!(read(&frames[9]), FriendMessage::Hello { incarnation: 7, direct: Direct::Nowhere });
        let direct = Direct::At("node.example.org:9600".parse().unwrap());
        assert_eq!(read(&frames[10]), FriendMessage::Hello { incarnation: 7, direct });
    }

    #[test]
    fn a_hello_of_an_earlier_version_says_nothing_of_an_address() {
        let bytes = "00000000040000000000000001000100000000000000000000000000010000000700000000000000";
        let bytes: Vec<u8> =
            (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap()).collect();
        let hello = FriendMessage::from_frame(&bytes).unwrap();
        assert_eq!(hello, FriendMessage::Hello { incarnation: 7, direct: Direct::Unsaid });
    }

    #[test]
    fn a_hello_with_something_else_than_an_address_is_refused() {
        let long = format!("{}:1", "a".repeat(crate::limits::ADDRESS_BYTES_MAX));
        for text in ["", "nowhere", "node.example.org:0", "[::1", "two words:1", "line\n:1", &long] {
            let mut message = Builder::new_default();
            let hello = message.init_root::<friend_capnp::friend_message::Builder<'_>>().init_hello();
            hello.init_direct().set_at(text);
            let read = FriendMessage::from_frame(&frame::write(&message));
            assert_eq!(read, Err(DecodeError::invalid("an address")), "{text}");
        }
    }

    #[test]
    fn evidence_goes_in_as_few_frames_as_its_size_allows() {
        let wire = statement().wire().clone();
        let many = vec![wire.clone(); 2000];
        let frames = evidence_statement_frames(&many);
        assert!((2..10).contains(&frames.len()), "{}", frames.len());
        let mut count = 0;
        for frame in frames {
            assert!(frame.len() <= FRIEND_FRAME_BYTES_MAX);
            let FriendMessage::EvidenceStatements(list) = FriendMessage::from_frame(&frame).unwrap() else { panic!() };
            assert!(list.iter().all(|statement| **statement.wire() == *wire));
            count += list.len();
        }
        assert_eq!(count, 2000);
        assert_eq!(evidence_statement_frames(&[]), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn evidence_out_of_its_bounds_is_refused() {
        let is_refused = |evidence: Evidence| FriendMessage::from_frame(&evidence.frame()).is_err();
        let with_set = |len: usize| Evidence {
            checkpoint: Some(EvidenceCheckpoint { by_sender: false, set: vec![7; len] }),
            ..evidence()
        };
        assert!(!is_refused(with_set(CHECKPOINT_BYTES_MAX)) && is_refused(with_set(CHECKPOINT_BYTES_MAX + 1)));
        assert!(is_refused(Evidence { statements: EVIDENCE_STATEMENTS_MAX + 1, ..evidence() }));
        // Two Openings and a set, as large as they get, fit a frame.
        let openings = 2 * (2 * crate::limits::PENDING_MAX * 97 + 512);
        assert!(openings + CHECKPOINT_BYTES_MAX < FRIEND_FRAME_BYTES_MAX);
    }

    // R10.1.
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
            let frame = resume_frame(&Currency::default(), None, Some(&position), false);
            let FriendMessage::Resume(resume) = FriendMessage::from_frame(&frame).unwrap() else { unreachable!() };
            prop_assert_eq!(resume.epoch, Some(position));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = FriendMessage::from_frame(&bytes);
        }
    }
}
