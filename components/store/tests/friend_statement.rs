//! What a node's database proves to others while the node writes it.

mod machines;

use machines::{pair, pay, rest};
use offst_crypto::Ed25519Verifier;
use offst_ledger::acknowledged;
use offst_proto::friend_statement::FriendStatement;
use offst_store::History;

#[test]
fn a_statement_proves_what_the_friend_has_signed() {
    let folder = tempfile::tempdir().unwrap();
    let mut machines = pair(folder.path());
    pay(&mut machines, 1, 300);
    pay(&mut machines, 2, 51);
    rest(&mut machines);
    for (side, balance) in [(0, -351), (1, 351)] {
        let history = History::open(&machines[side].path).unwrap();
        let (node, friend) = (machines[side].key, machines[1 - side].key);
        let name = format!("friend{side}");
        let made = history.friend_statement(node, &name, None).unwrap().unwrap();
        assert_eq!((made.proves[0].balance, made.is_shortened), (balance, false));
        let read = FriendStatement::from_toml(&made.statement.to_toml()).unwrap();
        assert_eq!((read.node, read.friend), (node, friend));
        let proven = acknowledged(node, friend, read.accounts[0].clone(), &Ed25519Verifier);
        assert_eq!(proven.as_ref(), Ok(&made.proves[0]));
        let one = history.friend_statement(node, &name, Some(&Default::default())).unwrap().unwrap();
        assert_eq!(one, made);
        for (name, currency, message) in [
            ("nobody", None, "there is no friend named \"nobody\": see `info friends`".to_owned()),
            (&name, Some("hours".parse().unwrap()), format!("there is no account in hours with \"{name}\"")),
        ] {
            assert_eq!(history.friend_statement(node, name, currency.as_ref()).unwrap(), Err(message));
        }
    }
}
