//! The clock, the links, the index server, and who pays whom.

use super::flow::Flow;
use super::measure::{Deal, Failure, Outcome, Sample};
use super::options::{CREDITS_PER_RATING, Options, amount, buyer_and_seller};
use super::person::{Friend, Person};
use super::trust::TrustNetwork;
use crate::keys::{Dice, FakeVerifier, public_key};
use crate::trace::Trace;
use offst_crypto::PublicKey;
use offst_funder::{Command, CommandId, Input, Moment, Output, Reply};
use offst_index_client::{self as client, CachedRoutes, Publication, QueryKey};
use offst_index_server::{CapacityGraph, Index, Limits, Scratch, SearchBounds, admit};
use offst_proto::Amount;
use offst_proto::friend::FriendMessage;
use offst_proto::index::{Edge, Query, Update, UpdateOutcome, UpdateResult};
use offst_proto::invoice::Invoice;
use offst_proto::limits::PARTS_MAX;
use offst_proto::order::{NewFriend, Order, Purpose};
use offst_proto::report::{PaymentReport, PaymentStatus};
use offst_proto::route::Route;
use offst_proto::ticket::FriendTicket;
use offst_proto::{Currency, PaymentId, Rate, Unverified, Verified};
use std::collections::BTreeMap;

/// The unix time at which the economy begins, ms.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Before anybody pays, accounts are opened and published, ms.
const OPENING_MS: u64 = 60_000;
/// How long a buyer looks for a route: the default of `stctrl`, ms.
pub(super) const PATIENCE_MS: u64 = 60_000;
/// How often the credit lines are looked at, ms.
const SAMPLE_MS: u64 = 300_000;
/// An index server changes its graph that often: its pause between two batches of changes, ms.
const GRAPH_PAUSE_MS: u64 = 10;
/// How often the index server gives back what has expired, ms.
const SWEEP_MS: u64 = 10_000;
/// How long everything takes to come to rest at the end, ms.
const CLOSING_MS: u64 = 600_000;
/// More than any payment of this economy needs.
const PARTS_MANY: usize = 64;
/// Work of a search that is not to be cut: every direction many times.
const WORK_ENOUGH: usize = 100_000_000;

/// Whether mediators take what they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fees {
    Taken,
    None,
}

/// Whom a reply is for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// Nobody.
    Nobody,
    /// The invoice for the payment of this number.
    Invoice(usize),
    /// The payment of this number.
    Deal(usize),
    /// An owner who wants to know what moving credit would cost.
    Quote(Box<Order>),
    /// An owner who has moved credit.
    Rebalance,
}

/// What happens at some time.
#[derive(Debug)]
enum Event {
    /// A frame from the first arrives at the second.
    Frame(usize, usize, Vec<u8>),
    /// A timer of a node may be due.
    Tick(usize),
    /// A node may publish.
    Publish(usize),
    /// An update reaches the index server's graph.
    Update(usize, Verified<Update>),
    /// The index server has answered an update.
    UpdateResult(usize, UpdateResult),
    /// A question reaches the index server.
    Query(usize, QueryKey, Box<Query>),
    /// Its answer reaches the node.
    Answer(usize, QueryKey, Vec<Route>),
    /// An answer that the node still had.
    Known(usize, PaymentId, Vec<Route>),
    /// The next payment begins.
    Deal,
    /// Somebody looks at their credit lines.
    Look(usize),
    /// The credit lines are measured.
    Sample,
    /// The index server gives back memory.
    Sweep,
}

/// All people, what is in flight between them, and the time.
pub(super) struct Market {
    options: Options,
    pub(super) people: Vec<Person>,
    places: BTreeMap<PublicKey, usize>,
    /// Milliseconds since it was opened.
    time_ms: u64,
    scheduler: BTreeMap<(u64, u64), Event>,
    number: u64,
    /// Links and payments: the same in all runs of a seed.
    dice: Dice,
    /// What owners do besides.
    pub(super) owners: Dice,
    index: Index,
    scratch: Scratch,
    server: PublicKey,
    /// The credit lines as they are, without fees and without the index server's delay.
    flow: Flow,
    /// The same for a search that finds routes with fees.
    expected_state: CapacityGraph,
    /// The same if nobody took a fee: tells what fees prevent.
    free: CapacityGraph,
    awaited: BTreeMap<CommandId, Awaited>,
    /// The payments that are in flight.
    underway: BTreeMap<PaymentId, usize>,
    sampled: usize,
    trace: Trace,
    pub(super) outcome: Outcome,
}

/// What people call a friend.
pub(super) fn name(place: usize) -> String {
    format!("person{place}")
}

impl Market {
    /// Everybody befriends those they trust and those that trust them, and all are connected.
    pub(super) fn open(network: &TrustNetwork, options: Options) -> Self {
        let mut dice = Dice::new(options.seed);
        let [least, most] = options.delay_ms;
        let delay = |dice: &mut Dice| least + dice.below((most - least + 1) as usize) as u64;
        let count = network.names().len();
        let mut people: Vec<Person> = (0..count)
            .map(|place| {
                let index_delay_ms = delay(&mut dice);
                Person::new(place, &mut dice, options.clear_ms, index_delay_ms)
            })
            .collect();
        for (number, friendship) in network.friendships().iter().enumerate() {
            let [a, b] = friendship.people;
            let delay_ms = delay(&mut dice);
            for (from, to, side) in [(a, b, 0), (b, a, 1)] {
                let key = people[to].key;
                people[from].friends.insert(key, Friend { place: to, delay_ms, direction: 2 * number as u32 + side });
            }
        }
        let flow = Flow::new(count, network.friendships().iter().map(|friendship| friendship.people));
        let outcome = Outcome {
            deals: Vec::new(),
            samples: Vec::new(),
            rebalancings: 0,
            rebalanced: 0,
            rebalancing_fees: 0,
            clearings: 0,
            cleared: 0,
            index_load: [0; 2],
            frames: 0,
            most_underway: 0,
            digest: Trace::default().digest(),
        };
        let mut market = Market {
            options,
            places: people.iter().enumerate().map(|(place, person)| (person.key, place)).collect(),
            people,
            time_ms: 0,
            scheduler: BTreeMap::new(),
            number: 0,
            dice,
            owners: Dice::new(options.seed ^ u64::MAX),
            index: Index::new(Limits::default()),
            scratch: Scratch::default(),
            server: public_key(1),
            flow,
            expected_state: CapacityGraph::new(),
            free: CapacityGraph::new(),
            awaited: BTreeMap::new(),
            underway: BTreeMap::new(),
            sampled: 0,
            trace: Trace::default(),
            outcome,
        };
        market.befriend(network);
        market
    }

    fn befriend(&mut self, network: &TrustNetwork) {
        for place in 0..self.people.len() {
            self.handle(place, Input::Start);
            let (now, server) = (self.client_moment(), self.server);
            self.people[place].publisher.connected(server, now);
            if self.options.clearing {
                self.command(place, Command::SetAutoClear(true), Awaited::Nobody);
            }
        }
        for (number, friendship) in network.friendships().iter().enumerate() {
            let [a, b] = friendship.people;
            for (from, to, rating) in [(a, b, friendship.ratings[0]), (b, a, friendship.ratings[1])] {
                let new = NewFriend {
                    name: name(to),
                    ticket: FriendTicket { public_key: self.people[to].key, relays: vec![], address: None },
                    balance: 0,
                    currency: Currency::default(),
                    max_debt: Amount::capped(u128::from(rating) * u128::from(CREDITS_PER_RATING)),
                    open: true,
                };
                self.command(from, Command::AddFriend(Box::new(new)), Awaited::Nobody);
            }
            for (from, to) in [(a, b), (b, a)] {
                let key = self.people[to].key;
                self.handle(from, Input::Connected(key, number as u64 + 1));
            }
        }
    }

    /// People pay for as long as the options say.
    pub(super) fn run(&mut self, progress: &mut dyn FnMut(u64)) {
        let end = OPENING_MS + self.options.minutes * 60_000;
        self.plan_at(OPENING_MS, Event::Deal);
        self.plan_at(OPENING_MS, Event::Sample);
        self.plan_at(SWEEP_MS, Event::Sweep);
        if self.options.rebalancing {
            for place in 0..self.people.len() {
                let first = OPENING_MS + self.owners.below(2 * self.options.look_ms as usize) as u64;
                self.plan_at(first, Event::Look(place));
            }
        }
        let mut told = 0;
        self.run_until(end, &mut |time_ms| {
            if time_ms * 1000 / end > told {
                told = time_ms * 1000 / end;
                progress(told);
            }
        });
    }

    /// Nobody begins anything any more; everything comes to rest, and is checked.
    pub(super) fn close(mut self) -> Outcome {
        self.scheduler.retain(|_, event| !matches!(event, Event::Deal | Event::Look(_) | Event::Sample));
        if self.options.clearing {
            for place in 0..self.people.len() {
                self.command(place, Command::SetAutoClear(false), Awaited::Nobody);
            }
        }
        self.run_until(self.time_ms + CLOSING_MS, &mut |_| {});
        assert_eq!(self.underway.len(), 0, "payments have not ended");
        self.check();
        for person in &self.people {
            self.outcome.rebalancing_fees += person.notes.rebalancing_fees;
            self.outcome.clearings += person.notes.cleared.0;
            self.outcome.cleared += person.notes.cleared.1;
            self.trace.note(&person.wealth());
        }
        self.outcome.digest = self.trace.digest();
        self.outcome
    }

    fn run_until(&mut self, end_ms: u64, progress: &mut dyn FnMut(u64)) {
        while let Some(entry) = self.scheduler.first_entry()
            && entry.key().0 <= end_ms
        {
            let ((time_ms, _), event) = entry.remove_entry();
            self.time_ms = time_ms;
            self.happen(event);
            progress(time_ms);
        }
        self.time_ms = end_ms;
    }

    fn plan_at(&mut self, time_ms: u64, event: Event) {
        self.number += 1;
        self.scheduler.insert((time_ms, self.number), event);
    }

    fn plan(&mut self, pause_ms: u64, event: Event) {
        self.plan_at(self.time_ms + pause_ms, event);
    }

    fn unix_ms(&self) -> u64 {
        EPOCH_MS + self.time_ms
    }

    fn client_moment(&self) -> client::Timestamps {
        client::Timestamps { steady_ms: self.time_ms, unix_ms: self.unix_ms() }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Frame(from, to, frame) => self.frame(from, to, &frame),
            Event::Tick(place) => {
                if self.people[place].tick_ms == Some(self.time_ms) {
                    self.people[place].tick_ms = None;
                    self.handle(place, Input::Tick);
                }
            }
            Event::Publish(place) => {
                if self.people[place].publish_ms == Some(self.time_ms) {
                    self.people[place].publish_ms = None;
                    self.publish(place);
                }
            }
            Event::Update(place, update) => self.updated(place, &update),
            Event::UpdateResult(place, result) => {
                let (now, server) = (self.client_moment(), self.server);
                self.people[place].publisher.result(&server, result, now);
                self.publish(place);
            }
            Event::Query(place, question, query) => {
                self.outcome.index_load[1] += 1;
                let answer = self.index.answer_with(&query, self.unix_ms(), &mut self.scratch);
                self.plan(self.people[place].index_delay_ms, Event::Answer(place, question, answer.routes));
            }
            Event::Answer(place, question, routes) => {
                let routes = Ok(routes);
                let waiting = self.people[place].routes.answered(question, &routes, self.time_ms);
                for payment in waiting {
                    self.routes(place, payment, routes.clone());
                }
            }
            Event::Known(place, payment, routes) => self.routes(place, payment, Ok(routes)),
            Event::Deal => self.deal(),
            Event::Look(place) => {
                self.look(place);
                let pause = self.options.look_ms + self.owners.below(self.options.look_ms as usize) as u64;
                self.plan(pause, Event::Look(place));
            }
            Event::Sample => {
                self.sample();
                self.plan(SAMPLE_MS, Event::Sample);
            }
            Event::Sweep => {
                self.index.sweep(self.unix_ms());
                self.plan(SWEEP_MS, Event::Sweep);
            }
        }
    }

    // ---- nodes

    fn handle(&mut self, place: usize, input: Input) {
        let now = Moment { uptime_ms: self.time_ms, unix_ms: self.unix_ms() };
        let outputs = self.people[place].handle(input, now);
        let person = &mut self.people[place];
        if let Some(deadline) = person.funder().next_deadline()
            && person.tick_ms.is_none_or(|planned| deadline < planned)
        {
            person.tick_ms = Some(deadline);
            self.plan_at(deadline, Event::Tick(place));
        }
        for output in outputs {
            self.output(place, output);
        }
    }

    pub(super) fn command(&mut self, place: usize, command: Command, awaited: Awaited) {
        self.number += 1;
        let id = self.number;
        self.awaited.insert(id, awaited);
        self.handle(place, Input::Command(id, command));
    }

    fn output(&mut self, place: usize, output: Output) {
        match output {
            Output::Send(key, _, frame) => {
                let friend = self.people[place].friends[&key];
                self.outcome.frames += 1;
                self.plan(friend.delay_ms, Event::Frame(place, friend.place, frame));
            }
            Output::Reply(id, reply) => self.replied(place, id, reply),
            Output::FindRoutes(payment, query) => {
                match self.people[place].routes.look_up(payment, &query, self.time_ms) {
                    CachedRoutes::Known(routes) => self.plan(0, Event::Known(place, payment, routes)),
                    CachedRoutes::Wait => {}
                    CachedRoutes::Ask(question) => {
                        self.plan(self.people[place].index_delay_ms, Event::Query(place, question, query));
                    }
                }
            }
            Output::Edges(edges) => self.edges(place, edges),
            // Everybody is connected for ever, and nobody has lost anything.
            Output::Contact(..)
            | Output::Relays(_)
            | Output::IndexServers(_)
            | Output::Event(_)
            | Output::ReadEvidence(..)
            | Output::LookUp(..) => {}
        }
    }

    fn frame(&mut self, from: usize, to: usize, frame: &[u8]) {
        let key = self.people[from].key;
        let (low, high) = (from.min(to), from.max(to));
        let connection = u64::from(self.people[low].friends[&self.people[high].key].direction) / 2 + 1;
        let input = match FriendMessage::from_frame(frame).expect("a node's own frame") {
            FriendMessage::Resume(resume) => Input::Resume(key, connection, resume),
            FriendMessage::Statement(statement) => {
                let statement = statement.verify(&FakeVerifier).expect("a node's own signature");
                Input::Statement(key, connection, Box::new(statement))
            }
            message => Input::Message(key, connection, Box::new(message)),
        };
        self.handle(to, input);
    }

    fn routes(&mut self, place: usize, payment: PaymentId, routes: Result<Vec<Route>, String>) {
        let has_routes = routes.as_ref().is_ok_and(|routes| !routes.is_empty());
        if let Some(deal) = self.underway.get(&payment)
            && has_routes
        {
            self.outcome.deals[*deal].attempts += 1;
        }
        self.handle(place, Input::Routes(payment, routes));
    }

    // ---- the index server

    /// What a node publishes: the flow knows it at once, the index server when it has been published.
    fn edges(&mut self, place: usize, edges: Vec<Edge>) {
        let now = self.client_moment();
        let person = &mut self.people[place];
        for edge in edges {
            let friend = person.friends[&edge.friend];
            self.flow.set(friend.direction, u64::try_from(edge.send_capacity.credits()).unwrap_or(u64::MAX));
            self.expected_state.set(person.key, &edge, u64::MAX);
            let free = Edge { rate: Rate { mul: 0, add: 0.into() }, ..edge.clone() };
            self.free.set(person.key, &free, u64::MAX);
            person.publisher.set_edge(edge, now);
        }
        self.publish(place);
    }

    fn publish(&mut self, place: usize) {
        let now = self.client_moment();
        let person = &mut self.people[place];
        let delay_ms = person.index_delay_ms;
        let publications = person.publish(now);
        for publication in publications {
            match publication {
                Publication::Update(_, update) => self.plan(delay_ms + GRAPH_PAUSE_MS, Event::Update(place, update)),
                Publication::Silent(_) => panic!("the index server answers"),
            }
        }
        let person = &mut self.people[place];
        if let Some(wake_ms) = person.publisher.next_wake_ms()
            && person.publish_ms.is_none_or(|planned| wake_ms < planned)
        {
            person.publish_ms = Some(wake_ms);
            self.plan_at(wake_ms, Event::Publish(place));
        }
    }

    fn updated(&mut self, place: usize, update: &Verified<Update>) {
        self.outcome.index_load[0] += 1;
        let sequence = update.sequence;
        let update = Unverified::from_wire(update.wire()).expect("a node's own update");
        let update =
            admit(update, &self.people[place].key, &FakeVerifier, self.unix_ms()).expect("a node's own update");
        let outcome = self.index.apply(&update, self.unix_ms());
        assert!(matches!(outcome, UpdateOutcome::Accepted { .. }), "the index server refuses: {outcome:?}");
        self.plan(self.people[place].index_delay_ms, Event::UpdateResult(place, UpdateResult { sequence, outcome }));
    }

    // ---- payments

    /// Somebody buys something of somebody.
    fn deal(&mut self) {
        let mean_ms = 3_600_000.0 / self.options.payments_per_hour as f64;
        let pause = (-mean_ms * (1.0 - self.dice.fraction()).ln()).round();
        self.plan(pause as u64, Event::Deal);
        let [buyer, seller] = buyer_and_seller(&mut self.dice, self.people.len());
        let amount = amount(&mut self.dice);
        let possible = self.flow.carries(buyer, seller, amount);
        let findable = possible && self.finds(buyer, seller, amount, PARTS_MAX, Fees::Taken);
        self.outcome.deals.push(Deal {
            began_ms: self.time_ms - OPENING_MS,
            buyer,
            seller,
            amount,
            possible,
            findable,
            attempts: 0,
            parts: 0,
            fees: 0,
            took_ms: 0,
            failure: None,
            reason: String::new(),
            is_paid: false,
        });
        let command = Command::CreateInvoice {
            amount: Amount::capped(u128::from(amount)),
            currency: Currency::default(),
            description: String::new(),
            expiry_ms: Some(PATIENCE_MS * 10),
        };
        self.command(seller, command, Awaited::Invoice(self.outcome.deals.len() - 1));
    }

    /// Whether a search that knows all credit lines as they are now finds a route of so many parts at most.
    fn finds(&mut self, buyer: usize, seller: usize, amount: u64, parts: usize, fees: Fees) -> bool {
        let (source, destination) = (self.people[buyer].key, self.people[seller].key);
        let query = Query::new(Currency::default(), Amount::capped(u128::from(amount)), source, destination);
        // One route is enough.
        let bounds = SearchBounds { routes: 1, parts, ..SearchBounds::new(WORK_ENOUGH) };
        let graph = match fees {
            Fees::Taken => &self.expected_state,
            Fees::None => &self.free,
        };
        !graph.search(&query, self.unix_ms(), bounds, &mut self.scratch).routes.is_empty()
    }

    fn replied(&mut self, place: usize, id: CommandId, reply: Reply) {
        match (self.awaited.remove(&id).expect("a command is answered once"), reply) {
            (Awaited::Nobody, reply) => assert_eq!(reply, Reply::Done),
            (Awaited::Invoice(deal), Reply::Invoice(invoice)) => self.invoiced(deal, invoice),
            (Awaited::Deal(deal), Reply::Payment(report)) => self.dealt(deal, &report),
            (Awaited::Quote(order), reply) => self.quoted(place, *order, &reply),
            (Awaited::Rebalance, reply) => self.rebalanced(place, &reply),
            (awaited, reply) => panic!("{awaited:?} is answered with {reply:?}"),
        }
    }

    fn invoiced(&mut self, deal: usize, invoice: Verified<Invoice>) {
        let payment_id = PaymentId::random(&mut self.dice);
        let purpose = Purpose::Invoice(invoice);
        let order = Order { payment_id, purpose, max_fee: None, timeout_ms: PATIENCE_MS };
        self.underway.insert(payment_id, deal);
        self.outcome.most_underway = self.outcome.most_underway.max(self.underway.len());
        let buyer = self.outcome.deals[deal].buyer;
        self.command(buyer, Command::Pay(Box::new(order)), Awaited::Deal(deal));
    }

    /// A payment has ended.
    fn dealt(&mut self, deal: usize, report: &PaymentReport) {
        assert_ne!(report.status, PaymentStatus::Pending, "payments end while their owner waits");
        self.underway.remove(&report.payment_id);
        let is_paid = report.status == PaymentStatus::Paid;
        let failure = (!is_paid).then(|| self.failure(deal));
        let ended_ms = self.time_ms - OPENING_MS;
        let deal = &mut self.outcome.deals[deal];
        deal.took_ms = ended_ms - deal.began_ms;
        deal.is_paid = is_paid;
        deal.failure = failure;
        if is_paid {
            (deal.parts, deal.fees) = (report.parts, report.fees);
        } else {
            deal.reason.clone_from(&report.reason);
        }
        self.trace.bytes("payment", report.payment_id.as_bytes());
        self.trace.note(deal);
    }

    fn failure(&mut self, deal: usize) -> Failure {
        let Deal { buyer, seller, amount, possible, findable, attempts, .. } = self.outcome.deals[deal];
        if !possible {
            Failure::Impossible
        } else if !self.flow.carries(buyer, seller, amount) {
            Failure::Used
        } else if !findable && self.finds(buyer, seller, amount, PARTS_MAX, Fees::None) {
            Failure::Fees
        } else if !findable && self.finds(buyer, seller, amount, PARTS_MANY, Fees::None) {
            Failure::Parts
        } else if !findable {
            Failure::NotFound
        } else if attempts == 0 {
            Failure::Unknown
        } else {
            Failure::Refused
        }
    }

    // ---- credit lines

    fn sample(&mut self) {
        let mut directions = [0_u64; 2];
        let mut uses = Vec::new();
        let mut friendships = 0_u64;
        let mut debts = 0;
        for (place, person) in self.people.iter().enumerate() {
            for (key, account) in person.funder().accounts() {
                let Some(epoch) = account.active() else { continue };
                let whole = epoch.send_capacity() + epoch.receive_capacity();
                directions[1] += 1;
                directions[0] += u64::from(epoch.send_capacity() * 10 < whole);
                friendships += u64::from(place < self.places[&key]);
                // Debts are counted where they are owed.
                if epoch.balance() > 0 && account.limit() > 0 {
                    debts += epoch.balance().unsigned_abs();
                    uses.push(epoch.balance().unsigned_abs() * 10_000 / account.limit().credits());
                }
            }
        }
        uses.sort_unstable();
        let began = &self.outcome.deals[self.sampled..];
        // What began in the last minute may not have ended: it is counted with the next.
        let ended = began.iter().take_while(|deal| deal.is_paid || deal.failure.is_some()).count();
        let began = &began[..ended];
        let possible: Vec<_> = began.iter().filter(|deal| deal.possible).collect();
        self.outcome.samples.push(Sample {
            at_ms: self.time_ms - OPENING_MS,
            exhausted_percent: super::measure::percent(directions[0], directions[1]),
            use_percent: uses.get(uses.len() / 2).copied().unwrap_or_default() as f64 / 100.0,
            indebted_percent: super::measure::percent(uses.len() as u64, friendships),
            debts,
            began: [
                began.len() as u64,
                possible.len() as u64,
                possible.iter().filter(|deal| deal.is_paid).count() as u64,
            ],
        });
        self.sampled += ended;
    }
}
