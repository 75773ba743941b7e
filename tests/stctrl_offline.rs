//! What `stctrl` does without a node: checks of files, its own folder, wrong command lines.

mod testnet;

use offst_crypto::{HashLock, Identity, Nonce, Preimage, Secret, Signature};
use offst_proto::Amount;
use offst_proto::invoice::Invoice;
use offst_proto::payment::{PartTerms, Response, preimage};
use offst_proto::receipt::{Receipt, ReceiptPart};
use offst_proto::ticket::{FriendTicket, ServerTicket, Ticket};
use offst_proto::{Currency, InvoiceId, PaymentId, RequestId, Verified};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use testnet::Said;

struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Desk { folder: tempfile::tempdir().unwrap() }
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.file(name), content).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stctrl"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for variable in ["STCTRL_IDFILE", "STCTRL_TICKET", "OFFST_PASSPHRASE"] {
            command.env_remove(variable);
        }
        command.env("OFFST_HOME", self.file("home"));
        command
    }

    fn stctrl(&self, arguments: &[&str]) -> Said {
        Said::of(&mut self.command(arguments))
    }
}

fn seller() -> Identity {
    Identity::from_seed([1; 32])
}

fn invoice(number: u8) -> Verified<Invoice> {
    let invoice = Invoice {
        id: InvoiceId::from_bytes([number; 16]),
        destination: seller().public_key(),
        currency: Currency::default(),
        amount: 100.into(),
        description: "Two loaves of bread".into(),
        expires_ms: None,
        secret: Secret::from_bytes([3; 32]),
    };
    Verified::sign(invoice, &seller())
}

/// What the seller gives away for 100 credits in two parts.
fn receipt(invoice_id: Option<InvoiceId>) -> Receipt {
    let payment_id = PaymentId::from_bytes([4; 16]);
    let part = |number: u8, amount: u128| {
        let terms = PartTerms {
            request_id: RequestId::from_bytes([number; 16]),
            payment_id,
            invoice_id,
            destination: seller().public_key(),
            currency: Currency::default(),
            amount: Amount::capped(amount),
            total: 100.into(),
        };
        let preimage: Preimage = preimage(&seller(), &terms);
        let (lock, nonce): (HashLock, _) = (preimage.lock(), Nonce::from_bytes([number; 16]));
        let request_id = terms.request_id;
        let signature: Signature = Verified::sign(Response { terms, nonce, lock }, &seller()).signature();
        ReceiptPart { request_id, amount: Amount::capped(amount), nonce, lock, signature, preimage }
    };
    Receipt {
        destination: seller().public_key(),
        invoice_id,
        payment_id,
        currency: Currency::default(),
        total: 100.into(),
        parts: vec![part(10, 60), part(11, 40)],
    }
}

#[test]
fn a_receipt_is_checked_with_its_invoice() {
    let desk = Desk::new();
    let text = receipt(Some(invoice(2).id)).to_toml();
    desk.put("a.receipt", &text);
    desk.put("a.invoice", invoice(2).to_toml());
    desk.put("line.invoice", invoice(2).to_text());
    desk.put("other.invoice", invoice(9).to_toml());
    let line = invoice(2).to_text();
    for given in ["a.invoice", "line.invoice", line.as_str()] {
        let said = desk.stctrl(&["verify", "receipt", "-i", given, "-r", "a.receipt"]);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "Receipt is valid!\n", ""));
    }
    let document = desk.stctrl(&["verify", "receipt", "-i", "a.invoice", "-r", "a.receipt", "--json"]).json();
    assert_eq!((&document["valid"], &document["amount"]), (&true.into(), &"100".into()));
    desk.stctrl(&["verify", "receipt", "-r", "a.receipt"]).assert_refused(2, &["give the invoice too"]);
    let other = ["verify", "receipt", "-i", "other.invoice", "-r", "a.receipt"];
    desk.stctrl(&other).assert_refused(1, &["another invoice"]);
    let said = desk.stctrl(&[&other[..], &["--json"]].concat());
    assert_eq!(said.code, 1);
    assert!(said.document()["error"].as_str().unwrap().contains("another invoice"), "{said:?}");

    desk.put("spontaneous.receipt", receipt(None).to_toml());
    let said = desk.stctrl(&["verify", "receipt", "-r", "spontaneous.receipt"]);
    assert_eq!((said.code, said.out.as_str()), (0, "Receipt is valid!\n"));
    desk.stctrl(&["verify", "receipt", "-i", "a.invoice", "-r", "spontaneous.receipt"])
        .assert_refused(1, &["without an invoice"]);
}

#[test]
fn a_changed_receipt_is_not_valid() {
    let desk = Desk::new();
    desk.put("a.invoice", invoice(2).to_toml());
    let text = receipt(Some(invoice(2).id)).to_toml();
    let check = |content: &[u8]| {
        desk.put("changed.receipt", content);
        desk.stctrl(&["verify", "receipt", "-i", "a.invoice", "-r", "changed.receipt"])
    };
    check(text.replace("\"60\"", "\"61\"").as_bytes()).assert_refused(1, &["do not add up"]);
    check(text.replace("\"60\"", "\"40\"").replacen("\"40\"", "\"60\"", 2).as_bytes())
        .assert_refused(1, &["not valid"]);
    check(b"").assert_refused(2, &["changed.receipt: this is not a receipt"]);
    check(&[0xff; 100]).assert_refused(2, &["not a text file"]);
    check(&vec![b'#'; 1 << 20]).assert_refused(2, &["too large"]);
    check(&text.as_bytes()[..text.len() / 2]).assert_refused(2, &["this is not a receipt"]);
    // A bit here and there.
    for position in (30..text.len()).step_by(67) {
        let mut bytes = text.clone().into_bytes();
        bytes[position] ^= 1;
        let said = check(&bytes);
        assert!(matches!(said.code, 1 | 2), "{position}: {said:?}");
        said.assert_refused(said.code, &[]);
    }
    desk.stctrl(&["verify", "receipt", "-r", "missing.receipt"]).assert_refused(2, &["missing.receipt cannot be read"]);
    desk.put("broken.invoice", "offst1abc");
    let broken = ["verify", "receipt", "-i", "broken.invoice", "-r", "changed.receipt"];
    desk.stctrl(&broken).assert_refused(2, &["broken.invoice: this is not an invoice: the text is damaged"]);
}

#[test]
fn tickets_are_shown() {
    let desk = Desk::new();
    let key = seller().public_key();
    let server = ServerTicket { public_key: key, address: "relay.example.org:8000".parse().unwrap() };
    let friend = FriendTicket { public_key: key, relays: vec![server.clone()], address: None };
    for (ticket, words) in [
        (Ticket::Relay(server.clone()), "This is the ticket of a relay."),
        (Ticket::Node(server), "address:    relay.example.org:8000"),
        (Ticket::App(key), "This is the ticket of an application."),
        (Ticket::Friend(friend), "relay:      relay.example.org:8000 "),
    ] {
        desk.put("a.ticket", ticket.to_toml());
        let said = desk.stctrl(&["verify", "ticket", "a.ticket"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains(words) && said.out.contains(&key.to_string()), "{said:?}");
        let document = desk.stctrl(&["verify", "ticket", "a.ticket", "--json"]).json();
        assert_eq!((&document["valid"], &document["public_key"]), (&true.into(), &key.to_string().into()));
    }
    desk.put("broken.ticket", "kind = \"relay\"\npublic_key = \"\u{1b}[2J\"\n");
    let said = desk.stctrl(&["verify", "ticket", "broken.ticket"]);
    said.assert_refused(2, &["broken.ticket: this is not a ticket"]);
    assert!(!said.err.contains('\u{1b}'), "{said:?}");
}

#[test]
fn an_app_folder_is_made_once() {
    let desk = Desk::new();
    let said = desk.stctrl(&["init", "--dir", "app1"]);
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", ""));
    let mode = desk.file("app1/app1.ident").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = desk.stctrl(&["verify", "ticket", "app1/app1.ticket", "--json"]).json()["public_key"].clone();
    desk.stctrl(&["init", "--dir", "app1"]).assert_refused(2, &["exists already"]);
    let document = desk.stctrl(&["init", "--dir", "app1", "--force", "--json"]).json();
    assert_ne!(document["public_key"], key);
    // Without a folder it is the default one.
    assert_eq!(desk.stctrl(&["init"]).code, 0);
    assert!(desk.file("home/app/app.ident").exists());
}

#[test]
fn files_are_checked_before_the_node_is_called() {
    let desk = Desk::new();
    desk.stctrl(&["info", "friends"]).assert_refused(2, &["there is no file", "app.ident", "-I", "stnode init"]);
    desk.stctrl(&["init"]);
    desk.stctrl(&["info", "friends"]).assert_refused(2, &["there is no file", "node.ticket", "-T", "stnode init"]);
    let key = seller().public_key();
    // Nobody listens there.
    let node = ServerTicket { public_key: key, address: "127.0.0.1:1".parse().unwrap() };
    desk.put("node.ticket", Ticket::Node(node).to_toml());
    desk.put("app.ticket", Ticket::App(key).to_toml());
    desk.put("a.invoice", invoice(2).to_toml());
    desk.put("precious", "precious");
    let stctrl = |arguments: &[&str]| desk.stctrl(&[&["-T", "node.ticket"], arguments].concat());
    stctrl(&["info", "friends"])
        .assert_refused(1, &["cannot connect to 127.0.0.1:1: connection refused: does the node run"]);
    desk.stctrl(&["-T", "app.ticket", "info", "friends"]).assert_refused(2, &["not of a node"]);
    stctrl(&["info", "export-ticket", "-o", "precious"]).assert_refused(2, &["precious exists already"]);
    stctrl(&["seller", "create-invoice", "-a", "5", "-o", "precious"]).assert_refused(2, &["precious exists already"]);
    stctrl(&["funds", "pay-invoice", "-i", "a.invoice", "-r", "precious"]).assert_refused(2, &["exists already"]);
    stctrl(&["funds", "pay-invoice", "-i", "a.invoice", "-r", "no/folder"])
        .assert_refused(2, &["there is no folder no"]);
    stctrl(&["funds", "history", "--csv", "precious"]).assert_refused(2, &["precious exists already"]);
    stctrl(&["funds", "pay-invoice", "-i", "precious"]).assert_refused(2, &["precious: this is not an invoice"]);
    stctrl(&["config", "add-relay", "-n", "r", "-r", "app.ticket"]).assert_refused(2, &["not of a relay"]);
    stctrl(&["config", "add-friend", "-n", "f", "-f", "app.ticket", "--balance", "0"])
        .assert_refused(2, &["app.ticket"]);
    assert_eq!(std::fs::read_to_string(desk.file("precious")).unwrap(), "precious");
    // The variables name the same files as the flags.
    let variables = desk.command(&["info", "friends"]).env("STCTRL_TICKET", "elsewhere.ticket").output().unwrap();
    assert!(String::from_utf8(variables.stderr).unwrap().contains("elsewhere.ticket"));
}

#[test]
fn wrong_command_lines_are_one_sentence() {
    let desk = Desk::new();
    for arguments in [
        &["nothing"][..],
        &["info"],
        &["info", "friends", "--jsno"],
        &["config", "enable-friend"],
        &["config", "enable-friend", "-n", ""],
        &["config", "add-friend", "-n", "a", "-f", "b", "--balance", "many"],
        &["funds", "send-funds", "--amount", "0", "--dest", "a"],
        &["seller", "create-invoice", "-a", "-5", "-o", "a"],
        &["verify", "receipt"],
    ] {
        desk.stctrl(arguments).assert_refused(2, &["--help"]);
        let said = desk.stctrl(&[arguments, &["--json"]].concat());
        assert_eq!(said.code, 2);
        assert!(said.document()["error"].is_string(), "{said:?}");
    }
}

#[test]
fn a_value_that_cannot_be_is_told_with_what_can() {
    let desk = Desk::new();
    let long = "x".repeat(300);
    let invoice = |further: &[&str]| desk.stctrl(&[&["seller", "create-invoice", "-o", "a"], further].concat());
    invoice(&["-a", "5", "--description", &long]).assert_refused(2, &["has at most 256 bytes", "xxx...'"]);
    invoice(&["-a", "5", "--description", "two\nlines"]).assert_refused(2, &["one line without control characters"]);
    invoice(&["-a", "-5"]).assert_refused(2, &["'--amount", "\"-5\" is not a whole number of credits, 0 or more"]);
    invoice(&["-a", "5", "--expiry", "-1"]).assert_refused(2, &["--expiry", "a whole number from 1 to 3162240000"]);
    for (arguments, message) in [
        (&["funds", "payments", "--limit", "-1"][..], "'--limit <N>': a whole number from 0 to"),
        (&["funds", "history", "--limit", "1.5"], "'--limit <N>': a whole number from 0 to"),
        (&["funds", "pay-invoice", "-i", "a", "--timeout", "0"], "a whole number from 1 to 3600 is needed"),
        (&["funds", "pay-invoice", "-i", "a", "--max-fee", "-3"], "is not a whole number of credits"),
        (&["funds", "pay-invoice", "-i", ""], "the name of a file is needed"),
        (&["config", "set-friend-rate", "-n", "a", "--mul", "-5", "--add", "0"], "a whole number from 0 to 4294967295"),
        (&["config", "set-friend-max-debt", "-n", "a", "-m", "-1"], "'--max-debt <MAX_DEBT>'"),
    ] {
        desk.stctrl(arguments).assert_refused(2, &[message]);
    }
}

#[test]
fn the_program_explains_itself() {
    let desk = Desk::new();
    for arguments in [&["-h"][..], &["--help"], &["funds", "pay-invoice", "--help"], &["man"], &["completions", "zsh"]]
    {
        let said = desk.stctrl(arguments);
        assert!(said.code == 0 && said.err.is_empty() && said.out.len() > 200, "{said:?}");
    }
    let said = desk.stctrl(&["-V"]);
    assert_eq!((said.code, said.out), (0, format!("stctrl {}\n", env!("CARGO_PKG_VERSION"))));
}
