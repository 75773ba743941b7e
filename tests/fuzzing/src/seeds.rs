//! Valid inputs for every target: what fuzzing begins with. `cargo run -p offst-fuzzing` writes them to `corpus/`.

use crate::links::app_bytes;
use crate::recovery::{Credulous, write_frames};
use crate::rows::{PENDING, write_account, write_row};
use offst_crypto::{Hash, HashLock, Identity, Nonce, Preimage, PublicKey, Secret, Signature, sha256};
use offst_funder::{
    Command, Forward, FriendRecord, InboundPart, InvoiceRecord, Payment, Progress, RecoveryRecord, Standing,
};
use offst_ledger::{
    Account, AccountId, AccountKey, EvidenceRows, Pending, Stage, friend_statement as friend_statement_of,
};
use offst_proto::Amount;
use offst_proto::encoding::Canonical;
use offst_proto::friend::{
    Direct, EpochPosition, Evidence, EvidenceCheckpoint, FriendMessage, evidence_statement_frames, resume_frame,
    statement_frame,
};
use offst_proto::index::{
    Answer as RoutesAnswer, BUCKETS, Edge, Exclusion, FederationRefusal, Hop, IndexToNode, Listing, NodeToIndex, Query,
    ServerToServer, Update, UpdateName, UpdateOutcome, UpdateResult,
};
use offst_proto::invitation::{Invitation, InvitationText};
use offst_proto::invoice::Invoice;
use offst_proto::opening::{Continuing, Opening};
use offst_proto::order::{Destination, NewFriend, NewInvoice, Order, Purpose};
use offst_proto::payment::CancelReason;
use offst_proto::peer_backup::{AccountHead, PeerBackup};
use offst_proto::receipt::{Receipt, ReceiptPart};
use offst_proto::relay::{NodeToRelay, RelayToNode, SubstreamMessage};
use offst_proto::report::{
    AccountReport, AccountStatus, ContactReport, Event, ForwardReport, FriendReport, Held, InvoiceReport,
    InvoiceStatus, OverdueReport, PaymentReport, PaymentStatus, ServerReport, ServerState, WriteOffReport,
};
use offst_proto::resolve::{End, backup_frame, recall_frame, recalled_frame, resolve_frame, resolved_frame};
use offst_proto::route::{PartPlan, Route};
use offst_proto::statement::{Answer, Operation, Request, Statement, Totals};
use offst_proto::ticket::{FriendTicket, ServerTicket, Ticket};
use offst_proto::{Currency, InvoiceId, PaymentId, Rate, RequestId, Unverified, Verified};
use offst_rows::{RowChange, Rows};
use offst_simulator::World;
use offst_simulator::keys::{Dice, FakeSigner};
use std::collections::BTreeMap;

type Seeds = Vec<Vec<u8>>;

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn key(seed: u8) -> PublicKey {
    identity(seed).public_key()
}

fn server(seed: u8) -> ServerTicket {
    ServerTicket { public_key: key(seed), address: "relay.example.org:8000".parse().expect("an address") }
}

fn id(byte: u8) -> RequestId {
    RequestId::from_bytes([byte; 16])
}

pub(crate) fn frames() -> Seeds {
    let frame = |length: usize| [&(length as u32).to_be_bytes()[..], &vec![7; length]].concat();
    vec![vec![], frame(0), frame(5), [frame(100), frame(0), frame(3)].concat(), frame(1500)]
}

fn request() -> Request {
    Request {
        id: id(5),
        payment_id: PaymentId::from_bytes([6; 16]),
        invoice_id: Some(InvoiceId::from_bytes([7; 16])),
        amount: 90.into(),
        total: 100.into(),
        fees_left: 1.into(),
        patience_ms: 20_000,
        path: vec![key(3), key(4)],
        clearing: false,
        proof: offst_crypto::mac(&Secret::from_bytes([8; 32]), b"terms"),
    }
}

fn operations() -> Vec<Operation> {
    let signature = Signature::from_bytes([9; 64]);
    vec![
        Operation::Request(Box::new(request())),
        Operation::Response(Answer {
            id: id(1),
            lock: HashLock::from_bytes([2; 32]),
            nonce: Nonce::from_bytes([3; 16]),
            signature,
        }),
        Operation::Commit { id: id(2) },
        Operation::Abort { id: id(3) },
        Operation::Collect { id: id(4), preimage: Preimage::from_bytes([5; 32]) },
        Operation::Cancel { id: id(6), reason: CancelReason::NoCapacity { left: 12.into() }, hop: key(3) },
        Operation::SetLimit(Amount::MAX),
        Operation::SetOpen(true),
    ]
}

fn statements() -> Vec<Verified<Statement>> {
    let lists = std::iter::once(vec![]).chain(operations().into_iter().map(|one| vec![one])).chain([operations()]);
    let statement = |(seq, operations): (u64, Vec<Operation>)| {
        let statement = Statement {
            author: key(1),
            other: key(2),
            currency: Currency::default(),
            epoch: 1,
            seq,
            prev_hash: sha256(b"before"),
            ack_seq: seq / 2,
            ack_hash: sha256(b"other"),
            pending_hash: seq.is_multiple_of(2).then(|| sha256(b"pendings")),
            operations,
            totals: Totals { requested: 300, collected: 200, cancelled: 1 },
        };
        Verified::sign(statement, &identity(1))
    };
    (1..).zip(lists).map(statement).collect()
}

pub(crate) fn statement() -> Seeds {
    statements().iter().map(|statement| statement.wire().to_vec()).collect()
}

fn openings() -> Vec<Verified<Opening>> {
    let continuing = |byte, author_pays| Continuing {
        author_pays,
        id: id(byte),
        held: 7.into(),
        lock: HashLock::from_bytes([byte; 32]),
        terms: Hash::from_bytes([byte; 32]),
    };
    let list = |mut list: Vec<Continuing>| {
        list.sort_unstable();
        list
    };
    [(vec![], None), (list(vec![continuing(1, true), continuing(2, false)]), Some(sha256(b"theirs")))]
        .map(|(continuing, accepts)| {
            let opening = Opening {
                author: key(1),
                other: key(2),
                currency: Currency::default(),
                epoch: 3,
                balance: -5,
                continuing,
                accepts,
            };
            Verified::sign(opening, &identity(1))
        })
        .into()
}

pub(crate) fn opening() -> Seeds {
    openings().iter().map(|opening| opening.wire().to_vec()).collect()
}

pub(crate) fn friend() -> Seeds {
    let position = EpochPosition {
        agreed: sha256(b"agreed"),
        number: 2,
        own_seq: 3,
        own_hash: sha256(b"own"),
        other_seq: 5,
        other_hash: sha256(b"other"),
    };
    let currency = Currency::default();
    let mut seeds = vec![
        FriendMessage::hello_frame(7, &Direct::Unsaid),
        FriendMessage::hello_frame(7, &Direct::At("node.example.org:9600".parse().expect("an address"))),
        FriendMessage::keepalive_frame(),
        resume_frame(&currency, None, None, false),
        resume_frame(&currency, None, Some(&position), true),
    ];
    seeds
        .extend(openings().iter().map(|opening| resume_frame(&currency, Some(opening.wire()), Some(&position), false)));
    seeds.extend(statements().iter().map(|statement| statement_frame(statement.wire())));
    let opening = || Unverified::from_wire(openings()[0].wire()).expect("our own opening");
    let checkpoint = EvidenceCheckpoint { by_sender: true, set: vec![7; 100] };
    for (openings, checkpoint) in [(None, None), (Some([opening(), opening()]), Some(checkpoint))] {
        let currency = currency.clone();
        let evidence = Evidence { currency, openings, checkpoint, statements: 2, newest_epoch: 3, recovering: false };
        seeds.push(evidence.frame());
    }
    let wires: Vec<_> = statements().iter().take(3).map(|statement| statement.wire().clone()).collect();
    seeds.extend(evidence_statement_frames(&wires));
    let ends = [(id(1), End::Collected(Preimage::from_bytes([5; 32]))), (id(2), End::Pending), (id(3), End::Unknown)];
    let sealed = peer_backup().swap_remove(1);
    seeds.extend([backup_frame(&sealed), recall_frame(), recalled_frame(&sealed), recalled_frame(&[])]);
    seeds.extend([resolve_frame(&[id(1), id(2)]), resolved_frame(&ends)]);
    seeds
}

pub(crate) fn relay() -> Seeds {
    let keys = vec![key(1), key(2), key(3)];
    let mut seeds: Seeds = [NodeToRelay::Watch(keys.clone()), NodeToRelay::Unwatch(keys), NodeToRelay::Keepalive]
        .map(|message| message.to_frame())
        .into();
    let from_relay =
        [RelayToNode::Registered, RelayToNode::Present(key(1)), RelayToNode::Absent(key(1)), RelayToNode::Displaced];
    seeds.extend(from_relay.map(|message| message.to_frame()));
    let first = [
        SubstreamMessage::Connect(key(1)),
        SubstreamMessage::Incoming(key(2)),
        SubstreamMessage::Accepted,
        SubstreamMessage::Refused(offst_proto::relay::Refusal::Absent),
    ];
    seeds.extend(first.map(|message| message.to_frame()));
    seeds
}

fn updates() -> Vec<Verified<Update>> {
    let mut edges: Vec<_> = (2..6)
        .map(|friend| Edge {
            friend: key(friend),
            currency: Currency::default(),
            send_capacity: 100.into(),
            receive_capacity: 200.into(),
            rate: Rate { mul: 3, add: 1.into() },
            clearable: offst_proto::index::Clearable::None,
        })
        .collect();
    edges.sort_unstable();
    [vec![], edges]
        .map(|edges| Verified::sign(Update { node: key(1), sequence: 7, expires_ms: 8, edges }, &identity(1)))
        .into()
}

pub(crate) fn federation() -> Seeds {
    let names: Vec<_> = updates().iter().map(UpdateName::of).collect();
    let mut of_bucket: Vec<_> = names.iter().filter(|name| name.bucket() == names[0].bucket()).cloned().collect();
    of_bucket.sort();
    of_bucket.dedup();
    let listing = Listing { bucket: names[0].bucket(), after: None, names: of_bucket, is_last: true };
    let messages = [
        ServerToServer::Refused(FederationRefusal::NotTrusted),
        ServerToServer::Refused(FederationRefusal::Crossed),
        ServerToServer::Summary { digest: 7, clock_ms: 1_700_000_000_000 },
        ServerToServer::Buckets(vec![3; BUCKETS]),
        ServerToServer::List(listing),
        ServerToServer::Wants(names),
        ServerToServer::Updates(updates().iter().map(|update| update.wire().to_vec()).collect()),
        ServerToServer::Keepalive,
    ];
    messages.iter().map(ServerToServer::to_frame).collect()
}

pub(crate) fn update() -> Seeds {
    updates().iter().map(|update| update.wire().to_vec()).collect()
}

fn peer_backups() -> Vec<PeerBackup> {
    let head = |friend| AccountHead {
        friend: key(friend),
        currency: Currency::default(),
        epoch: 3,
        own_seq: 7,
        own_hash: sha256(b"own"),
        other_seq: 8,
        other_hash: sha256(b"other"),
    };
    [vec![], vec![head(2), head(3)]].map(|heads| PeerBackup { made_ms: 5, heads }).into()
}

pub(crate) fn peer_backup() -> Seeds {
    let backups = peer_backups();
    let sealed = backups.iter().map(|backup| backup.seal(&identity(1), &mut Dice::new(3)));
    sealed.chain(backups.iter().map(Canonical::to_canonical_bytes)).collect()
}

fn routes() -> Vec<Route> {
    let part = |path, amount| PartPlan { path, amount, fees: 2.into() };
    vec![
        Route { parts: vec![part(vec![key(2), key(3)], 100.into())] },
        Route { parts: vec![part(vec![key(2), key(3)], 40.into()), part(vec![key(4), key(3)], 60.into())] },
    ]
}

pub(crate) fn index() -> Seeds {
    let query = Query {
        id: 1,
        currency: Currency::default(),
        amount: 100.into(),
        source: key(1),
        destination: key(3),
        via: Some(key(2)),
        excluded_edges: vec![Exclusion { hop: Hop { from: key(4), to: key(5) }, left: 12.into() }],
        excluded_nodes: vec![key(6)],
        clearing: false,
    };
    let mut seeds: Seeds =
        updates().iter().map(|update| NodeToIndex::Update(update.wire().to_vec()).to_frame()).collect();
    seeds.extend([NodeToIndex::Query(query), NodeToIndex::Keepalive].map(|message| message.to_frame()));
    let accepted = UpdateResult { sequence: 7, outcome: UpdateOutcome::Accepted { newest: 7 } };
    let answers = [
        IndexToNode::UpdateResult(accepted),
        IndexToNode::Answer(RoutesAnswer { id: 1, routes: routes(), cut: true }),
        IndexToNode::Busy(3),
        IndexToNode::Keepalive,
    ];
    seeds.extend(answers.map(|message| message.to_frame()));
    seeds
}

pub(crate) fn app() -> Seeds {
    let mut seeds = Vec::new();
    let status = AccountStatus::Inconsistent { local_balance: 5, remote_balance: Some(-6), reason: "lost".into() };
    let account = AccountReport {
        currency: Currency::default(),
        status,
        balance: -5,
        local_max_debt: 100.into(),
        remote_max_debt: 150.into(),
        local_pending_debt: 7,
        remote_pending_debt: 0,
        local_open: true,
        remote_open: false,
        rate: Rate { mul: 3, add: 1.into() },
        overdue: vec![OverdueReport { request_id: id(9), amount: 7.into(), written_off: true }],
        auto_write_off: Some(40.into()),
    };
    let friend = FriendReport {
        name: "bob".into(),
        public_key: key(1),
        enabled: true,
        online: false,
        direct: true,
        relays: vec![server(2)],
        address: Some(server(3).address),
        accounts: vec![account],
    };
    seeds.push(app_bytes(&friend));
    let state = ServerState::Disconnected { reason: "no answer".into() };
    seeds.push(app_bytes(&ServerReport { name: "relay0".into(), ticket: server(1), state }));
    let contact = ContactReport { public_key: key(1), relays: vec![server(2)], address: Some(server(3).address) };
    seeds.push(app_bytes(&contact));
    let payment = PaymentReport {
        app: Some(key(5)),
        payment_id: PaymentId::from_bytes([4; 16]),
        status: PaymentStatus::Pending,
        destination: key(5),
        invoice_id: Some(InvoiceId::from_bytes([6; 16])),
        currency: Currency::default(),
        amount: 120.into(),
        fees: 3,
        parts: 2,
        kind: offst_proto::report::PaymentKind::Payment,
        reason: "waiting for bob".into(),
        created_ms: 1,
        duration_ms: 2,
        receipt: None,
    };
    seeds.push(app_bytes(&payment));
    let invoice = InvoiceReport {
        invoice_id: InvoiceId::from_bytes([6; 16]),
        status: InvoiceStatus::Open,
        currency: Currency::default(),
        amount: 120.into(),
        description: "bread".into(),
        created_ms: 7,
        expires_ms: Some(9),
    };
    seeds.push(app_bytes(&invoice));
    for from in [Some(key(1)), None] {
        let forward = ForwardReport {
            request_id: id(8),
            from,
            to: key(2),
            currency: Currency::default(),
            amount: 10.into(),
            fee: 1.into(),
            time_ms: 11,
        };
        seeds.push(app_bytes(&forward));
    }
    let held = |count| Held { count, amount: 10 };
    let report = WriteOffReport { released: held(1), waiting: held(2), own: held(0), at_risk: held(3) };
    seeds.push(app_bytes(&report));
    for event in [
        Event::FriendChanged { name: "bob".into() },
        Event::PaymentChanged { payment_id: PaymentId::from_bytes([4; 16]), status: PaymentStatus::Paid },
        Event::InvoiceChanged { invoice_id: InvoiceId::from_bytes([5; 16]), status: InvoiceStatus::Paid },
        Event::Overdue { name: "bob".into(), request_id: id(6), amount: 9.into() },
    ] {
        seeds.push(app_bytes(&event));
    }
    let order = |purpose| Order {
        payment_id: PaymentId::from_bytes([4; 16]),
        purpose,
        max_fee: Some(3.into()),
        timeout_ms: 60_000,
    };
    let (currency, amount) = (Currency::default(), 20);
    let destination = Destination::Friend("bob".into());
    let spontaneous = Purpose::Spontaneous { destination, currency: currency.clone(), amount: amount.into() };
    let rebalance = Purpose::Rebalance { friend: "bob".into(), currency: currency.clone(), amount: amount.into() };
    let invoices = invoices().into_iter().map(Purpose::Invoice);
    seeds.extend(invoices.chain([spontaneous, rebalance]).map(|purpose| app_bytes(&order(purpose))));
    let ticket = FriendTicket { public_key: key(1), relays: vec![server(2)], address: None };
    let friend = NewFriend {
        name: "bob".into(),
        ticket,
        balance: -5,
        currency: currency.clone(),
        max_debt: 7.into(),
        open: true,
    };
    seeds.push(app_bytes(&friend));
    seeds.push(app_bytes(&NewInvoice {
        amount: amount.into(),
        currency,
        description: "bread".into(),
        expiry_ms: Some(1),
    }));
    seeds
}

fn invoices() -> Vec<Verified<Invoice>> {
    [("", None), ("Two loaves of bread", Some(1_800_000_000_000))]
        .map(|(description, expires_ms)| {
            let invoice = Invoice {
                id: InvoiceId::from_bytes([7; 16]),
                destination: key(1),
                currency: Currency::default(),
                amount: 100.into(),
                description: description.into(),
                expires_ms,
                secret: Secret::from_bytes([9; 32]),
            };
            Verified::sign(invoice, &identity(1))
        })
        .into()
}

pub(crate) fn invoice() -> Seeds {
    invoices().iter().map(|invoice| invoice.wire().to_vec()).collect()
}

pub(crate) fn invoice_text() -> Seeds {
    invoices().iter().flat_map(|invoice| [invoice.to_text(), invoice.to_toml()]).map(String::into_bytes).collect()
}

pub(crate) fn ticket() -> Seeds {
    let friend = |address| FriendTicket { public_key: key(1), relays: vec![server(2), server(3)], address };
    [
        Ticket::Relay(server(1)),
        Ticket::IndexClient(server(1)),
        Ticket::IndexServer(server(1)),
        Ticket::Node(server(1)),
        Ticket::App(key(1)),
        Ticket::Friend(friend(None)),
        Ticket::Friend(friend(Some(server(1).address))),
    ]
    .map(|ticket| ticket.to_toml().into_bytes())
    .into()
}

pub(crate) fn receipt() -> Seeds {
    let part = ReceiptPart {
        request_id: id(1),
        amount: 100.into(),
        nonce: Nonce::from_bytes([3; 16]),
        lock: Preimage::from_bytes([5; 32]).lock(),
        signature: Signature::from_bytes([9; 64]),
        preimage: Preimage::from_bytes([5; 32]),
    };
    [None, Some(InvoiceId::from_bytes([7; 16]))]
        .map(|invoice_id| Receipt {
            destination: key(1),
            invoice_id,
            payment_id: PaymentId::from_bytes([6; 16]),
            currency: Currency::default(),
            total: 100.into(),
            parts: vec![part.clone()],
        })
        .map(|receipt| receipt.to_toml().into_bytes())
        .into()
}

pub(crate) fn words() -> Seeds {
    let texts = [key(1).to_string(), id(1).to_string(), "credit".into(), "[::1]:9000".into(), "79228162514".into()];
    texts.map(String::into_bytes).into()
}

pub(crate) fn row() -> Seeds {
    let friend = FriendRecord {
        name: "bob".into(),
        relays: vec![server(2)],
        address: Some(server(3).address),
        standing: Standing::Enabled,
        rates: BTreeMap::from([(Currency::default(), Rate { mul: 3, add: 1.into() })]),
        auto_write_offs: BTreeMap::from([(Currency::default(), 40.into())]),
    };
    let forward = Forward::new(key(2), 7.into(), 1.into(), 9_000, 0);
    let inbound_part = InboundPart {
        payment_id: PaymentId::from_bytes([6; 16]),
        invoice_id: None,
        amount: 7.into(),
        total: 9.into(),
        patience_ms: 9_000,
    };
    let invoice = InvoiceRecord { invoice: invoices()[1].clone(), status: InvoiceStatus::Paid, created_ms: 5 };
    let payment = Payment {
        id: PaymentId::from_bytes([6; 16]),
        app: Some(key(4)),
        destination: key(3),
        invoice: Some((InvoiceId::from_bytes([7; 16]), Secret::from_bytes([9; 32]))),
        currency: Currency::default(),
        total: 100.into(),
        max_fee: Some(3.into()),
        timeout_ms: 60_000,
        created_ms: 4,
        ended_ms: Some(9),
        progress: Progress::Failed,
        reason: "no route".into(),
        parts: BTreeMap::new(),
        cycle: None,
    };
    let pending = |stage| Pending { held: 7.into(), terms: sha256(b"terms"), stage };
    let lock = HashLock::from_bytes([2; 32]);
    let account = AccountId::new(key(2), &Currency::default());
    let request = account.request(id(1));
    let recovery =
        RecoveryRecord { has_begun: true, shown: peer_backups()[1].heads.clone(), ..RecoveryRecord::new(7, true) };
    let rows = [
        RowChange::put(&key(2), &friend),
        RowChange::put(&request, &forward),
        RowChange::put(&request, &inbound_part),
        RowChange::put(&invoice.invoice.id, &invoice),
        RowChange::put(&payment.id, &payment),
        RowChange::put(&(), &recovery),
    ];
    let mut seeds: Seeds = rows.iter().map(write_row).collect();
    for stage in [Stage::Requested, Stage::Responded(lock), Stage::Committed(lock), Stage::Aborted] {
        seeds.push([&[PENDING][..], &pending(stage).to_canonical_bytes()].concat());
    }
    seeds
}

/// An account at every stage of a payment between two friends.
pub(crate) fn account() -> Seeds {
    let mut world = World::row(2, 1000);
    let mut moments: Vec<Rows> = Vec::new();
    world.send(0, 1, 100);
    world.send(1, 0, 30);
    for round in 0..60 {
        moments.push(world.nodes[0].disk.rows());
        if round == 30 {
            world.disconnect(0, 1);
            world.ask(0, Command::SetFriendMaxDebt("node1".into(), Currency::default(), 2000.into()));
        }
        if !world.step() {
            world.connect_all();
            world.advance(300);
        }
    }
    moments.dedup();
    moments.iter().map(write_account).collect()
}

/// What a friend shows at some moments of a life.
pub(crate) fn evidence() -> Seeds {
    let mut world = World::row(2, 1000);
    let mut seeds = Seeds::new();
    world.send(0, 1, 100);
    world.send(1, 0, 30);
    for round in 0..40 {
        if round % 8 == 0 {
            let disk = &world.nodes[1].disk;
            let id = disk.accounts().swap_remove(0);
            let evidence = EvidenceRows::of(&id, &disk.rows());
            let rows = disk.account(&id).expect("it is listed");
            let name = AccountKey { local: world.key(1), remote: id.friend, currency: id.currency };
            let mut account = Account::restore(name, rows).expect("the disk can be read");
            let resume = account.resume_frame();
            let (mut frames, _) = account.evidence(evidence, 1_700_000_000_000, &FakeSigner::new(2));
            frames.insert(0, resume);
            seeds.push(write_frames(&frames));
        }
        if !world.step() {
            world.advance(300);
        }
    }
    seeds.dedup();
    seeds
}

pub(crate) fn invitation() -> Seeds {
    let server = ServerTicket { public_key: key(3), address: "127.0.0.1:7000".parse().expect("an address") };
    let ticket = |seed| FriendTicket { public_key: key(seed), relays: vec![server.clone()], address: None };
    let invitation = Invitation::new(ticket(1), Currency::default(), -5, 100.into(), &identity(4));
    let answer = invitation.answer(ticket(2), 7.into());
    let mut seeds = vec![invitation.to_canonical_bytes(), answer.to_canonical_bytes()];
    seeds.push(InvitationText::Invitation(invitation).to_text().into_bytes());
    seeds.push(InvitationText::Answer(answer).to_text().into_bytes());
    seeds
}

/// What both ends show to others in the middle of payments.
pub(crate) fn friend_statement() -> Seeds {
    let mut world = World::row(2, 1000);
    let mut seeds = Seeds::new();
    world.send(0, 1, 100);
    world.send(1, 0, 30);
    for _ in 0..40 {
        for node in [0, 1] {
            let disk = &world.nodes[node].disk;
            let id = disk.accounts().swap_remove(0);
            let rows = disk.account(&id).expect("it is listed");
            let made = friend_statement_of(world.key(node), id.friend, vec![(id.currency, rows)], &Credulous);
            seeds.extend(made.map(|made| made.statement.to_toml().into_bytes()));
        }
        if !world.step() {
            world.advance(300);
        }
    }
    seeds.sort();
    seeds.dedup();
    seeds
}

/// What a person would try first.
pub(crate) fn node() -> Seeds {
    vec![
        vec![],
        vec![4, 2, 50, 0, 40],
        vec![5, 0, 2, 90, 0, 80, 6, 0, 11, 2],
        vec![4, 2, 50, 0, 9, 7, 1, 0, 9, 8, 0, 40, 11, 3, 0, 40],
        vec![4, 2, 50, 9, 1, 2, 1, 0, 60, 8, 0, 60, 11, 4, 5, 0, 2, 9, 0, 60],
        vec![4, 2, 50, 0, 12, 10, 1, 0, 20, 8, 0, 30, 12, 1, 0, 2, 0, 30],
        vec![5, 0, 2, 90, 0, 20, 13, 1, 0, 1, 2, 7, 0, 1, 0, 50],
        vec![4, 2, 50, 0, 20, 14, 1, 2, 3, 4, 0, 50, 15, 2, 0, 0, 40],
    ]
}
