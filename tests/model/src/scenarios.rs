//! What is visited: small worlds, each with one more thing that may go wrong.

use crate::chain::{BUYER, Chain, MEDIATOR, SELLER};
use crate::distrust::Distrust;
use crate::friends::Friends;
use crate::liar::Repertoire;
use crate::replay::{Difference, Replayed, replay_all, replay_walks};
use crate::report::{Report, explore};
use crate::rules::Rules;
use crate::search::{Reduction, search, search_until};

/// A world of the model.
#[derive(Debug, Clone)]
pub enum World {
    /// Two honest friends.
    Friends(Friends),
    /// An honest end and a liar.
    Distrust(Distrust),
    /// Buyer, mediator and seller.
    Chain(Chain),
}

/// A world, by name.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What may happen in it, for people.
    pub about: &'static str,
    /// It.
    pub world: World,
    /// It takes more than a few seconds.
    pub is_long: bool,
}

impl Scenario {
    /// The same with a rule broken.
    #[must_use]
    pub fn with_rules(mut self, broken: Rules) -> Self {
        match &mut self.world {
            World::Friends(Friends { rules, .. })
            | World::Distrust(Distrust { rules, .. })
            | World::Chain(Chain { rules, .. }) => *rules = broken,
        }
        self
    }

    /// The same where so many frames of one end may be in flight before it signs again.
    #[must_use]
    pub fn with_in_flight(mut self, frames: usize) -> Self {
        match &mut self.world {
            World::Friends(Friends { in_flight, .. }) | World::Chain(Chain { in_flight, .. }) => *in_flight = frames,
            World::Distrust(_) => {}
        }
        self
    }

    /// Visits every state, or what is left of them.
    pub fn search(&self, reduction: Reduction) -> Report {
        match &self.world {
            World::Friends(model) => search(model, reduction),
            World::Distrust(model) => search(model, reduction),
            World::Chain(model) => search(model, reduction),
        }
    }

    /// Whether this property fails somewhere in what is left of the world.
    pub fn fails(&self, property: &str) -> bool {
        let property = Some(property);
        let report = match &self.world {
            World::Friends(model) => search_until(model, Reduction::Reduced, property),
            World::Distrust(model) => search_until(model, Reduction::Reduced, property),
            World::Chain(model) => search_until(model, Reduction::Reduced, property),
        };
        property.is_some_and(|property| report.violates(property))
    }

    /// Visits every state, with another program than [`Scenario::search`].
    pub fn explore(&self, threads: usize) -> Report {
        match self.world.clone() {
            World::Friends(model) => explore(model, threads),
            World::Distrust(model) => explore(model, threads),
            World::Chain(model) => explore(model, threads),
        }
    }

    /// Carries every step between the first so many states out on the ledger.
    ///
    /// # Errors
    /// Where model and ledger part.
    pub fn replay(&self, states_max: usize) -> Result<Replayed, Box<Difference>> {
        match &self.world {
            World::Friends(model) => replay_all(model, states_max),
            World::Distrust(model) => replay_all(model, states_max),
            World::Chain(model) => replay_all(model, states_max),
        }
        .map_err(Box::new)
    }

    /// Carries long ways through the model, drawn at random, out on the ledger.
    ///
    /// # Errors
    /// Where model and ledger part.
    pub fn walk(&self, walks: u64, steps_max: usize) -> Result<Replayed, Box<Difference>> {
        match &self.world {
            World::Friends(model) => replay_walks(model, walks, steps_max),
            World::Distrust(model) => replay_walks(model, walks, steps_max),
            World::Chain(model) => replay_walks(model, walks, steps_max),
        }
        .map_err(Box::new)
    }
}

fn friends(name: &'static str, about: &'static str, is_long: bool, model: Friends) -> Scenario {
    Scenario { name, about, world: World::Friends(model), is_long }
}

fn distrust(name: &'static str, about: &'static str, is_long: bool, model: Distrust) -> Scenario {
    Scenario { name, about, world: World::Distrust(model), is_long }
}

fn chain(name: &'static str, about: &'static str, is_long: bool, model: Chain) -> Scenario {
    Scenario { name, about, world: World::Chain(model), is_long }
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    let mut scenarios = of_friends();
    scenarios.extend(of_liars());
    scenarios.extend(of_chains());
    scenarios
}

/// Two honest friends that pay each other. `in_flight: 1` keeps an end from signing before the friend has taken what is under
/// way; what it has to say meanwhile waits. The scenarios of the name with `-pipelined` let any number of statements be
/// in flight.
fn of_friends() -> Vec<Scenario> {
    let base = Friends::default();
    let one = vec![(0, 2)];
    let crash = Friends { crashes: 1, ..base.clone() };
    let limit = Friends { lowered: Some((1, 1)), ..base.clone() };
    let twice = Friends { payments: vec![(0, 2), (0, 1)], limits: [2, 3], ..base.clone() };
    let twice_crash = Friends { crashes: 1, ..twice.clone() };
    let twice_limit = Friends { lowered: Some((1, 1)), ..twice };
    let stop = Friends { payments: one.clone(), stops: 1, accepts: 1, ..base.clone() };
    let resets = Friends { payments: one.clone(), stops: 2, accepts: 2, ..base.clone() };
    let both_stop = Friends { stops: 1, accepts: 1, ..base.clone() };
    let singly = |model: &Friends| Friends { in_flight: 1, ..model.clone() };
    vec![
        friends("pay-one", "one payment", false, Friends { payments: one.clone(), ..base.clone() }),
        friends(
            "pay-one-crash",
            "one payment, and a process dies at any point",
            false,
            Friends { payments: one, crashes: 1, ..base.clone() },
        ),
        friends("pay-both", "two payments cross", false, base.clone()),
        friends("pay-both-crash", "two payments cross, and a process dies at any point", false, singly(&crash)),
        friends("pay-both-crash-pipelined", "the same with any number of statements in flight", true, crash),
        friends("pay-both-limit", "two payments cross, and a limit is lowered under them", false, singly(&limit)),
        friends("pay-both-limit-pipelined", "the same with any number of statements in flight", true, limit),
        friends(
            "pay-twice-crash",
            "two payments in one direction, and a process dies at any point",
            false,
            singly(&twice_crash),
        ),
        friends("pay-twice-crash-pipelined", "the same with any number of statements in flight", true, twice_crash),
        friends(
            "pay-twice-limit",
            "two payments in one direction, and the limit that both need is lowered",
            false,
            singly(&twice_limit),
        ),
        friends("pay-twice-limit-pipelined", "the same with any number of statements in flight", true, twice_limit),
        friends("stop", "the account stops under a payment, and begins again on accepted terms", false, stop),
        friends(
            "resets-cross",
            "the account stops twice under a payment, and both owners accept each other's terms",
            false,
            resets.clone(),
        ),
        friends(
            "resets-cross-other-key",
            "the same when the other end has the smaller key",
            false,
            Friends { smaller_key: 1, ..resets },
        ),
        friends(
            "meet",
            "the first balances do not agree, both owners accept, and a process dies at any point",
            false,
            Friends { payments: vec![(0, 1)], balances: [1, 1], have_met: false, accepts: 2, crashes: 1, ..base },
        ),
        friends(
            "pay-both-stop",
            "two payments cross, and the account stops and begins again under them",
            true,
            singly(&both_stop),
        ),
    ]
}

/// One end is honest, the other says anything in any order.
fn of_liars() -> Vec<Scenario> {
    let words = Repertoire { requests: vec![0], amounts: vec![1, 3], limits: vec![], forges: false };
    let base = Distrust {
        honest: 0,
        pays: [Some(1), None],
        limits: [2, 2],
        signs_at_once: true,
        statements: 3,
        resumes: 0,
        repertoire: words.clone(),
        rules: Rules::Kept,
    };
    vec![
        distrust("liar", "a friend says anything about one request", false, base.clone()),
        distrust(
            "liar-reopens",
            "and proposes terms, and says where the account stands",
            false,
            Distrust { statements: 2, resumes: 2, ..base.clone() },
        ),
        distrust(
            "liar-forges",
            "and forges totals, acknowledgements, checkpoints, gaps and forks",
            false,
            Distrust {
                statements: 3,
                resumes: 1,
                repertoire: Repertoire { forges: true, ..words.clone() },
                ..base.clone()
            },
        ),
        distrust(
            "liar-two-requests",
            "about two requests, and lowers its limit",
            true,
            Distrust {
                statements: 3,
                resumes: 1,
                repertoire: Repertoire { requests: vec![0, 1], limits: vec![0], ..words },
                ..base
            },
        ),
    ]
}

/// Buyer, mediator and seller.
fn of_chains() -> Vec<Scenario> {
    let base = Chain { in_flight: 0, ..Chain::default() };
    let whole = Chain::default();
    let ends = vec![BUYER, SELLER];
    let two_and_one_dies =
        |node| Chain { payments: 2, in_flight: 1, crashes: 1, mortals: vec![node], ..Chain::default() };
    vec![
        chain("chain", "one payment over a mediator", false, whole.clone()),
        chain("chain-crash", "and one of the three dies at any point", false, Chain { crashes: 1, ..whole.clone() }),
        chain(
            "chain-limit",
            "one payment over a mediator, which lowers the buyer's limit below it in flight",
            false,
            Chain { lowered: Some((0, 1)), ..whole },
        ),
        chain("chain-two", "two payments over a mediator", true, Chain { payments: 2, in_flight: 1, ..base.clone() }),
        chain(
            "chain-two-at-once",
            "two payments over a mediator, each step signed at once",
            true,
            Chain { payments: 2, ..base.clone() },
        ),
        chain(
            "chain-two-buyer-dies",
            "two payments over a mediator, and the buyer dies at any point",
            true,
            two_and_one_dies(BUYER),
        ),
        chain(
            "chain-two-mediator-dies",
            "two payments over a mediator, and the mediator dies at any point",
            true,
            two_and_one_dies(MEDIATOR),
        ),
        chain(
            "chain-two-seller-dies",
            "two payments over a mediator, and the seller dies at any point",
            true,
            two_and_one_dies(SELLER),
        ),
        chain("buyer-lies", "the buyer lies", false, Chain { liars: vec![BUYER], statements: 3, ..base.clone() }),
        chain("seller-lies", "the seller lies", false, Chain { liars: vec![SELLER], statements: 3, ..base.clone() }),
        chain(
            "mediator-lies",
            "the mediator lies",
            false,
            Chain { liars: vec![MEDIATOR], statements: 4, ..base.clone() },
        ),
        chain(
            "ends-lie",
            "buyer and seller lie together",
            false,
            Chain { liars: ends.clone(), statements: 4, ..base.clone() },
        ),
        chain(
            "ends-lie-reset",
            "buyer and seller lie together, propose terms, and the mediator's owner accepts",
            true,
            Chain { liars: ends.clone(), statements: 4, resumes: 1, accepts: 1, ..base.clone() },
        ),
        chain(
            "ends-lie-cross",
            "the same when the seller has the smaller key and proposes twice: its acceptance crosses the mediator's",
            true,
            Chain { smaller_keys: [0, 1], liars: ends, statements: 4, resumes: 2, accepts: 1, ..base },
        ),
    ]
}
