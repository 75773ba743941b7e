//! An application that asks without end and never reads. The only test of its program, because it measures the memory of the
//! whole process.

mod fake;

use capnp::message::Builder;
use capnp::traits::HasTypeId;
use capnp_rpc::rpc_capnp::{message, promised_answer};
use fake::{APP, Fake, OPEN_INVOICE, Running, identity, start};
use offst_app_server::Limits;
use offst_proto::report::FriendReport;
use offst_proto::wire::app_capnp::{node, reports, seller};
use offst_secure_channel::{Authenticator, SecureStream};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CALLS: u32 = 200_000;
const GROWTH_MAX: usize = 10 * 1024 * 1024;
/// The question under which every client here has opened the node.
const OPEN: u32 = 1;

/// Makes the message under a question's id.
type Make = fn(u32) -> Vec<u8>;

fn bytes(fill: impl FnOnce(message::Builder<'_>)) -> Vec<u8> {
    let mut message = Builder::new_default();
    fill(message.init_root());
    capnp::serialize::write_message_to_words(&message)
}

/// A call of a capability in the answer to [`OPEN`].
fn call(
    question: u32,
    pointer: u16,
    interface: u64,
    method: u16,
    content: impl FnOnce(capnp::any_pointer::Builder<'_>),
) -> Vec<u8> {
    bytes(|message| {
        let mut call = message.init_call();
        call.set_question_id(question);
        call.set_interface_id(interface);
        call.set_method_id(method);
        let mut target = call.reborrow().init_target().init_promised_answer();
        target.set_question_id(OPEN);
        target.init_transform(1).get(0).set_get_pointer_field(pointer);
        content(call.init_params().init_content());
    })
}

/// The position of each capability among the pointers of `open`'s results.
const REPORTS: u16 = 1;
const SELLER: u16 = 3;

fn contact(question: u32) -> Vec<u8> {
    call(question, REPORTS, reports::Client::TYPE_ID, 3, |_| {})
}

fn friends(question: u32) -> Vec<u8> {
    call(question, REPORTS, reports::Client::TYPE_ID, 0, |_| {})
}

fn wrong_page(question: u32) -> Vec<u8> {
    call(question, REPORTS, reports::Client::TYPE_ID, 4, |content| {
        content.init_as::<reports::payments_params::Builder<'_>>().set_cursor("wrong");
    })
}

fn wait_invoice(question: u32) -> Vec<u8> {
    call(question, SELLER, seller::Client::TYPE_ID, 2, |content| {
        content.init_as::<seller::wait_invoice_params::Builder<'_>>().set_invoice_id(&[OPEN_INVOICE; 16]);
    })
}

/// A call with 100 kB of nonsense behind its arguments.
fn large(question: u32) -> Vec<u8> {
    call(question, SELLER, seller::Client::TYPE_ID, 2, |content| {
        let mut params = content.init_as::<seller::wait_invoice_params::Builder<'_>>();
        params.set_invoice_id(&[7; 100_000]);
        params.set_invoice_id(&[OPEN_INVOICE; 16]);
    })
}

fn bootstrap(question: u32) -> Vec<u8> {
    bytes(|message| message.init_bootstrap().set_question_id(question))
}

fn open(question: u32, target: impl FnOnce(promised_answer::Builder<'_>)) -> Vec<u8> {
    bytes(|message| {
        let mut call = message.init_call();
        call.set_question_id(question);
        call.set_interface_id(node::Client::TYPE_ID);
        target(call.init_target().init_promised_answer());
    })
}

fn open_again(question: u32) -> Vec<u8> {
    open(question, |mut answer| answer.set_question_id(0))
}

fn unknown_kind(_: u32) -> Vec<u8> {
    bytes(|message| {
        message.init_join();
    })
}

async fn connect(running: &Running) -> SecureStream<TcpStream> {
    let authenticator = Authenticator::new(&identity(APP));
    let ticket = &running.ticket;
    let mut stream =
        authenticator.connect_tcp(&ticket.address, ticket.public_key, Duration::from_secs(10)).await.unwrap();
    stream.write_all(&bootstrap(0)).await.unwrap();
    stream.write_all(&open_again(OPEN)).await.unwrap();
    stream
}

/// Bytes of memory that the process uses.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Writes up to [`CALLS`] messages without reading, and returns how many were taken before the node closed the connection or
/// stopped to read.
async fn flood(stream: &mut SecureStream<TcpStream>, message: Make) -> u32 {
    for question in 0..CALLS {
        let bytes = message(question + 100);
        match tokio::time::timeout(Duration::from_millis(500), stream.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return question,
        }
    }
    CALLS
}

fn many_friends() -> Vec<FriendReport> {
    let friend = |number: u32| FriendReport {
        name: format!("friend {number:<50}"),
        public_key: identity(3).public_key(),
        enabled: true,
        online: true,
        direct: false,
        relays: vec![],
        address: None,
        accounts: vec![],
    };
    (0..3000).map(friend).collect()
}

// R6.3.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_app_that_never_reads_makes_the_node_hold_little() {
    let limits = Limits { wait_ms: 600_000, ..Limits::default() };
    let running = start(Fake::new(many_friends()), "seller", limits).await;
    // What any use of the node costs once.
    for message in [contact, friends] {
        flood_a_little(&running, message).await;
    }
    let floods: [(&str, Make); 8] = [
        ("small answers", contact),
        ("large answers", friends),
        ("errors, never finished", wrong_page),
        ("waiting calls", wait_invoice),
        ("large calls", large),
        ("capabilities, never released", open_again),
        ("bootstraps", bootstrap),
        ("kinds of messages that have no meaning", unknown_kind),
    ];
    for (name, message) in floods {
        let before = resident();
        let mut stream = connect(&running).await;
        let taken = flood(&mut stream, message).await;
        let growth = resident().saturating_sub(before);
        println!("{name}: {taken} taken, {growth} bytes");
        assert!(growth < GROWTH_MAX, "{name}: {growth} bytes more after {taken} calls");
        // Others are served meanwhile.
        flood_a_little(&running, contact).await;
    }
}

/// Asks 50 questions and reads the answers.
async fn flood_a_little(running: &Running, message: Make) {
    let mut stream = connect(running).await;
    for question in 100..150 {
        stream.write_all(&message(question)).await.unwrap();
    }
    // A write may leave bytes inside the TLS session, and reading does not send them.
    stream.flush().await.unwrap();
    let returned = read_returns(&mut stream, 52).await;
    assert_eq!(returned, 52, "with those of the bootstrap and of `open`");
}

/// Reads messages until so many of them are answers.
async fn read_returns(stream: &mut SecureStream<TcpStream>, count: usize) -> usize {
    let mut returned = 0;
    while returned < count {
        let segments = stream.read_u32_le().await.unwrap() as usize + 1;
        let mut sizes = vec![0; segments / 2 * 8 + 4];
        stream.read_exact(&mut sizes).await.unwrap();
        let mut content = vec![(segments - 1) as u32];
        content.extend(sizes.chunks(4).map(|size| u32::from_le_bytes(size.try_into().unwrap())));
        let words: usize = content[1..=segments].iter().map(|words| *words as usize).sum();
        let mut bytes: Vec<u8> = content.iter().flat_map(|word| word.to_le_bytes()).collect();
        let head = bytes.len();
        bytes.resize(head + words * 8, 0);
        stream.read_exact(&mut bytes[head..]).await.unwrap();
        let message = capnp::serialize::read_message(&bytes[..], Default::default()).unwrap();
        match message.get_root::<message::Reader<'_>>().unwrap().which().unwrap() {
            message::Return(_) => returned += 1,
            message::Abort(abort) => panic!("{:?}", abort.unwrap().get_reason()),
            _ => {}
        }
    }
    returned
}
