//! Two people become friends by two lines of text.

mod testnet;

use offst_proto::invitation::{InvitationAnswer, InvitationTerms, InvitationText};
use testnet::Testnet;

/// Nodes that know a relay and nobody else.
fn strangers(nodes: &[&str]) -> Testnet {
    let mut testnet = Testnet::new(testnet::built);
    testnet.relay("relay0");
    for node in nodes {
        testnet.node(node, &["relay0"], &[], "");
    }
    testnet
}

#[test]
fn an_invitation_and_its_answer_make_two_friends() {
    let testnet = strangers(&["a", "b", "c"]);
    let invited = testnet.stctrl("a", &["config", "invite", "--balance", "100", "--max-debt", "150", "--qr"]).expect();
    let (invitation, drawing) = invited.split_once('\n').unwrap();
    assert!(invitation.starts_with("offstinvite1") && !invitation.contains(' '), "{invitation}");
    assert!(drawing.lines().count() > 20);
    let said = testnet.run("stctrl", &["verify", "invitation", invitation]).expect();
    assert!(said.contains(
        "the one who accepts owes the inviter 100 credit.\nThe inviter lets the one who accepts owe up to 150."
    ));

    // The inviter cannot take its own, and nobody what is damaged.
    let own = testnet.stctrl("a", &["config", "accept", invitation]);
    own.assert_refused(2, &["an invitation of your own node", "accept the answer"]);
    let damaged = &invitation[..invitation.len() - 1];
    testnet.stctrl("b", &["config", "accept", damaged]).assert_refused(2, &["checksum does not fit"]);

    let accepted = testnet.stctrl("b", &["config", "accept", invitation, "--max-debt", "30", "-n", "alice"]).expect();
    let (answer, terms) = accepted.split_once('\n').unwrap();
    assert!(answer.starts_with("offstanswer1"), "{answer}");
    assert!(
        terms.starts_with("alice is added: you owe it 100 credit; it may owe you up to 30, and you it up to 150.\n")
    );
    // Who has lost the answer asks for it again.
    let again = testnet.stctrl("b", &["config", "accept", invitation, "-n", "alice", "--json"]).json();
    assert_eq!(
        (&again["answer"], &again["balance"], &again["remote_max_debt"]),
        (&answer.into(), &"-100".into(), &"30".into())
    );
    let other = testnet.stctrl("b", &["config", "accept", invitation, "-n", "alice", "--max-debt", "31"]);
    other.assert_refused(1, &["there is an account in credit with \"alice\" already"]);

    // The answer is for the inviter alone, as it was given.
    testnet.stctrl("c", &["config", "accept", answer]).assert_refused(2, &["answers the invitation of another node"]);
    let Ok(InvitationText::Answer(given)) = InvitationText::from_text(answer) else { panic!("{answer}") };
    for terms in [
        InvitationTerms { balance: -100, ..given.terms.clone() },
        InvitationTerms { max_debt: 1_000_000.into(), ..given.terms.clone() },
    ] {
        let forged = InvitationText::Answer(InvitationAnswer { terms, ..given.clone() }).to_text();
        testnet.stctrl("a", &["config", "accept", &forged]).assert_refused(2, &["its terms were changed"]);
    }
    let accepted = testnet.stctrl("a", &["config", "accept", &answer.to_uppercase()]).expect();
    let key = testnet.stctrl("b", &["info", "public-key"]).expect();
    let name = format!("friend-{}", &key[..8]);
    let expected = format!("{name} is added: it owes you 100 credit; it may owe you up to 150, and you it up to 30.\n");
    assert_eq!(accepted, expected);
    let twice = testnet.stctrl("a", &["config", "accept", answer]);
    twice.assert_refused(1, &["there is an account in credit with ", "already"]);

    testnet.wait_online(&["a", "b"]);
    assert_eq!((testnet.balance("a", &name), testnet.balance("b", "alice")), (100, -100));
    // What each lets the other owe is as agreed: 50 more of the one, 130 of the other.
    testnet.stctrl("b", &["funds", "send-funds", "--amount", "51", "--dest", "alice"]).assert_refused(1, &[]);
    testnet.stctrl("a", &["funds", "send-funds", "--amount", "130", "--dest", &name]).expect();
    assert_eq!(testnet.balance("b", "alice"), 30);

    // A further currency goes on under the names that the two have for each other.
    let arguments = ["config", "invite", "--balance", "-7", "--max-debt", "0", "--currency", "hours", "--json"];
    let invitation = testnet.stctrl("b", &arguments).json();
    let answer = testnet.stctrl("a", &["config", "accept", invitation["text"].as_str().unwrap(), "--json"]).json();
    assert_eq!((&answer["name"], &answer["balance"]), (&name.as_str().into(), &"7".into()));
    let document = testnet.stctrl("b", &["config", "accept", answer["answer"].as_str().unwrap(), "--json"]).json();
    assert_eq!(
        (&document["name"], &document["balance"], &document["answer"]),
        (&"alice".into(), &"-7".into(), &().into())
    );
    testnet.wait_until("both agree on hours", |testnet| {
        [("a", &*name), ("b", "alice")].iter().all(|(node, friend)| {
            let friends = testnet.friends(node);
            let hours = friends.iter().find(|known| known["name"] == *friend).unwrap()["currencies"][1].clone();
            hours["currency"] == "hours" && hours["status"] == "consistent"
        })
    });
}

/// Only the application that has invited knows its invitations again.
#[test]
fn the_answer_goes_to_the_application_that_has_invited() {
    let testnet = strangers(&["a", "b"]);
    testnet.run("stctrl", &["init", "--dir", "other"]).expect();
    let ticket = "other/other.ticket";
    testnet.run("stnode", &["trust", "--dir", "a", "--app", ticket, "--permissions", "config"]).expect();
    let invitation = testnet.stctrl("a", &["config", "invite", "--balance", "0", "--max-debt", "5"]).expect();
    let accepted = testnet.stctrl("b", &["config", "accept", invitation.trim()]).expect();
    let answer = accepted.lines().next().unwrap();
    let arguments = ["-I", "other/other.ident", "-T", "a/a.ticket", "config", "accept", answer];
    testnet.wait_until("the node trusts the application", |testnet| {
        !testnet.run("stctrl", &arguments).err.contains("trust")
    });
    testnet.run("stctrl", &arguments).assert_refused(2, &["another application has made it (-I)"]);
    testnet.stctrl("a", &["config", "accept", answer, "-n", "b"]).expect();
    testnet.wait_online(&["a", "b"]);
}
