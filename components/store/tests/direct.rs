//! Where friends say they are called without a relay: kept, since it may be the only way to them after a restart.

mod machines;

use machines::{Machine, pair};
use offst_crypto::PublicKey;
use offst_funder::{Command, Input, Output};
use offst_proto::friend::{Direct, FriendMessage};
use offst_proto::ticket::Address;

/// A friend's hello over a connection.
fn hello(friend: PublicKey, connection: u64, direct: Direct) -> Input {
    Input::Message(friend, connection, Box::new(FriendMessage::Hello { incarnation: 1, direct }))
}

/// Where the friend is called now, if that has just changed.
fn told(outputs: &[Output]) -> Vec<Option<Address>> {
    let contact = |output: &Output| match output {
        Output::Contact(_, contact) => Some(contact.clone().and_then(|contact| contact.address)),
        _ => None,
    };
    outputs.iter().filter_map(contact).collect()
}

fn after_restart(machine: &mut Machine) -> Vec<Option<Address>> {
    machine.reload();
    told(&machine.handle(Input::Start))
}

#[test]
fn the_address_of_a_friend_is_what_it_said_last() {
    let folder = tempfile::tempdir().unwrap();
    let [mut node, friend] = pair(folder.path());
    let friend = friend.key;
    let home: Address = "home.example.org:9600".parse().unwrap();
    let at_home = Some(home.clone());
    assert_eq!(told(&node.handle(hello(friend, 1, Direct::At(home.clone())))), std::slice::from_ref(&at_home));
    // Said again it changes nothing, nor does silence.
    assert_eq!(told(&node.handle(hello(friend, 1, Direct::At(home.clone())))), []);
    assert_eq!(told(&node.handle(hello(friend, 1, Direct::Unsaid))), []);
    assert_eq!(after_restart(&mut node), [at_home]);
    // What comes late, over a connection that another has replaced, is void.
    node.handle(Input::Connected(friend, 3));
    assert_eq!(told(&node.handle(hello(friend, 2, Direct::Nowhere))), []);
    assert_eq!(told(&node.handle(hello(friend, 3, Direct::Nowhere))), [None]);
    assert_eq!(after_restart(&mut node), [None]);
    // A stranger, and a friend who is not wanted, say nothing that counts.
    node.handle(Input::Connected(friend, 4));
    assert_eq!(told(&node.handle(hello(node.key, 4, Direct::At(home.clone())))), []);
    node.command(Command::DisableFriend { name: "friend0".into(), force: true });
    node.handle(Input::Connected(friend, 5));
    assert_eq!(told(&node.handle(hello(friend, 5, Direct::At(home)))), []);
}
