//! How a request ended: what friends ask each other after one of them has lost a part of its state (protocol section
//! 1).

use crate::encoding::DecodeError;
use crate::limits::{PEER_BACKUP_BYTES_MAX, RESOLVE_MAX};
use crate::wire::friend_capnp;
use crate::{RequestId, frame};
use capnp::message::Builder;
use offst_crypto::Preimage;

type Root<'a> = friend_capnp::friend_message::Builder<'a>;

/// How a request ended between the two who speak of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The one that answers has collected it from the one that asks.
    Collected(Preimage),
    /// It has not ended, or the one that answers cannot say yet: ask again.
    Pending,
    /// It is not pending, and was never collected.
    Unknown,
}

/// The frame that asks how requests ended. At most [`RESOLVE_MAX`] ids.
pub fn resolve_frame(ids: &[RequestId]) -> Vec<u8> {
    assert!(ids.len() <= RESOLVE_MAX, "at most {RESOLVE_MAX} requests are asked for at a time");
    let mut message = Builder::new_default();
    let mut list = message.init_root::<Root<'_>>().init_resolve(ids.len() as u32);
    for (position, id) in (0..).zip(ids) {
        list.set(position, id.as_bytes());
    }
    frame::write(&message)
}

/// The frame that answers. At most [`RESOLVE_MAX`] ends.
pub fn resolved_frame(ends: &[(RequestId, End)]) -> Vec<u8> {
    assert!(ends.len() <= RESOLVE_MAX, "at most {RESOLVE_MAX} requests are answered for at a time");
    let mut message = Builder::new_default();
    let mut list = message.init_root::<Root<'_>>().init_resolved(ends.len() as u32);
    for (position, (id, end)) in (0..).zip(ends) {
        let mut entry = list.reborrow().get(position);
        entry.set_request_id(id.as_bytes());
        match end {
            End::Collected(preimage) => entry.set_collected(preimage.as_bytes()),
            End::Pending => entry.set_pending(()),
            End::Unknown => entry.set_unknown(()),
        }
    }
    frame::write(&message)
}

/// The frame of a sealed [`crate::peer_backup::PeerBackup`] for the friend to keep in place of the one before.
pub fn backup_frame(sealed: &[u8]) -> Vec<u8> {
    let mut message = Builder::new_default();
    message.init_root::<Root<'_>>().set_backup(sealed);
    frame::write(&message)
}

/// The frame that asks for the backup that the friend keeps for us.
pub fn recall_frame() -> Vec<u8> {
    let mut message = Builder::new_default();
    message.init_root::<Root<'_>>().set_recall(());
    frame::write(&message)
}

/// The frame that gives a kept backup back. Empty: there is none.
pub fn recalled_frame(sealed: &[u8]) -> Vec<u8> {
    let mut message = Builder::new_default();
    message.init_root::<Root<'_>>().set_recalled(sealed);
    frame::write(&message)
}

pub(crate) fn read_backup(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if bytes.len() > PEER_BACKUP_BYTES_MAX {
        return Err(DecodeError::too_large("a peer backup"));
    }
    Ok(bytes.to_vec())
}

pub(crate) fn read_resolve(ids: capnp::data_list::Reader<'_>) -> Result<Vec<RequestId>, DecodeError> {
    if ids.len() as usize > RESOLVE_MAX {
        return Err(DecodeError::too_large("the number of requests"));
    }
    ids.iter().map(|id| RequestId::from_slice(id?).ok_or(DecodeError::invalid("a request's id"))).collect()
}

pub(crate) fn read_resolved(
    ends: capnp::struct_list::Reader<'_, friend_capnp::end::Owned>,
) -> Result<Vec<(RequestId, End)>, DecodeError> {
    use friend_capnp::end::Which;
    if ends.len() as usize > RESOLVE_MAX {
        return Err(DecodeError::too_large("the number of requests"));
    }
    ends.iter()
        .map(|entry| {
            let id = RequestId::from_slice(entry.get_request_id()?).ok_or(DecodeError::invalid("a request's id"))?;
            let end = match entry.which()? {
                Which::Collected(preimage) => {
                    let bytes = preimage?.try_into().map_err(|_| DecodeError::invalid("a preimage"))?;
                    End::Collected(Preimage::from_bytes(bytes))
                }
                Which::Pending(()) => End::Pending,
                Which::Unknown(()) => End::Unknown,
            };
            Ok((id, end))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::friend::FriendMessage;
    use crate::test_values::hex;

    fn ids() -> Vec<RequestId> {
        vec![RequestId::from_bytes([1; 16]), RequestId::from_bytes([2; 16])]
    }

    fn ends() -> Vec<(RequestId, End)> {
        let id = |byte| RequestId::from_bytes([byte; 16]);
        vec![(id(1), End::Collected(Preimage::from_bytes([9; 32]))), (id(2), End::Pending), (id(3), End::Unknown)]
    }

    fn frames() -> Vec<Vec<u8>> {
        vec![
            resolve_frame(&ids()),
            resolved_frame(&ends()),
            backup_frame(b"sealed"),
            recall_frame(),
            recalled_frame(b"sealed"),
            recalled_frame(b""),
        ]
    }

    #[test]
    fn frames_keep_their_bytes() {
        let frames = frames();
        insta::assert_snapshot!(hex(&frames[0]), @"0000000009000000000000000100010009000000000000000100000016000000050000008200000009000000820000000101010101010101010101010101010102020202020202020202020202020202");
        insta::assert_snapshot!(hex(&frames[1]), @"000000001700000000000000010001000a00000000000000010000004f0000000c0000000100020000000000000000001d0000008200000021000000020100000100000000000000290000008200000000000000000000000200000000000000250000008200000000000000000000000101010101010101010101010101010109090909090909090909090909090909090909090909090909090909090909090202020202020202020202020202020203030303030303030303030303030303");
        insta::assert_snapshot!(hex(&frames[2]), @"00000000040000000000000001000100060000000000000001000000320000007365616c65640000");
        insta::assert_snapshot!(hex(&frames[3]), @"0000000003000000000000000100010007000000000000000000000000000000");
        insta::assert_snapshot!(hex(&frames[4]), @"00000000040000000000000001000100080000000000000001000000320000007365616c65640000");
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let expected = [
            FriendMessage::Resolve(ids()),
            FriendMessage::Resolved(ends()),
            FriendMessage::Backup(b"sealed".to_vec()),
            FriendMessage::Recall,
            FriendMessage::Recalled(b"sealed".to_vec()),
            FriendMessage::Recalled(vec![]),
        ];
        for (frame, expected) in frames().iter().zip(expected) {
            assert_eq!(FriendMessage::from_frame(frame).unwrap(), expected);
        }
    }

    #[test]
    fn too_much_is_refused() {
        let too_large = |what| Err(DecodeError::too_large(what));
        let backup = backup_frame(&vec![0; PEER_BACKUP_BYTES_MAX + 1]);
        assert_eq!(FriendMessage::from_frame(&backup), too_large("a peer backup"));
        let recalled = recalled_frame(&vec![0; PEER_BACKUP_BYTES_MAX + 1]);
        assert_eq!(FriendMessage::from_frame(&recalled), too_large("a peer backup"));
        let count = RESOLVE_MAX as u32 + 1;
        let mut message = Builder::new_default();
        message.init_root::<Root<'_>>().init_resolve(count);
        assert_eq!(FriendMessage::from_frame(&frame::write(&message)), too_large("the number of requests"));
        let mut message = Builder::new_default();
        message.init_root::<Root<'_>>().init_resolved(count);
        assert_eq!(FriendMessage::from_frame(&frame::write(&message)), too_large("the number of requests"));
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
}
