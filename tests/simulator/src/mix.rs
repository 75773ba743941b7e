//! What a seed draws before its world begins: how many nodes, who knows whom, and what may go wrong.

use crate::faults::Kind;
use crate::keys::Dice;
use std::collections::BTreeSet;

/// Who is friend of whom. Every shape is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each is a friend of the next.
    Line,
    /// A line whose ends are friends.
    Ring,
    /// All are friends of one.
    Star,
    /// Each is a friend of one that came before, and of others, as they come.
    Random,
    /// All are friends of all.
    Complete,
}

/// The plan of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// How many nodes, 3 to 12.
    pub nodes: usize,
    /// Who is friend of whom.
    pub shape: Shape,
    /// How many things are done before the world is healed.
    pub actions: usize,
    /// What may go wrong.
    pub kinds: BTreeSet<Kind>,
    /// How many currencies there are, 1 to 3.
    pub currencies: usize,
    /// Real signatures instead of quick ones.
    pub real_keys: bool,
    /// Nodes meet at relays, by the decisions of real nodes and real relays; otherwise friends are just connected.
    pub relays: usize,
    /// Ways are asked of a real index server.
    pub real_index: bool,
    /// Where disks are replaced, nobody tells the node.
    pub silent_copies: bool,
    /// How often memory is compared with the disk: every so many transactions.
    pub compare_every: usize,
}

/// How many of a hundred worlds know a kind of fault.
fn percent(kind: Kind) -> usize {
    match kind {
        Kind::Delays | Kind::Index => 50,
        Kind::Resets | Kind::Cancels | Kind::Settings => 60,
        Kind::HalfOpen | Kind::Partitions | Kind::SlowDisks | Kind::Kills | Kind::Crashes => 40,
        Kind::Removals => 50,
        Kind::Freezes | Kind::Disks => 30,
        Kind::Relays => 60,
        Kind::Slander => 20,
        Kind::Liars => 25,
        Kind::Keys => 60,
        Kind::WriteOffs => 60,
        Kind::Clocks | Kind::Absences | Kind::Fees => 15,
        Kind::Patience => 12,
        Kind::Budgets => 30,
        Kind::Terms => 60,
    }
}

/// Where these go wrong, more may be lost than what somebody has decided to risk.
const LOSSES: [Kind; 4] = [Kind::Slander, Kind::Liars, Kind::Disks, Kind::Keys];

/// Drawn by dice of their own, so that the rest of a world is what it was before there were these.
const LATER: [Kind; 7] =
    [Kind::WriteOffs, Kind::Clocks, Kind::Absences, Kind::Patience, Kind::Budgets, Kind::Fees, Kind::Terms];

impl Mix {
    /// The mix of a seed.
    pub fn draw(dice: &mut Dice) -> Self {
        let nodes = 3 + dice.below(10);
        let shapes = [Shape::Line, Shape::Ring, Shape::Star, Shape::Random, Shape::Random, Shape::Complete];
        let shape = shapes[dice.below(shapes.len())];
        let mut of_later = Dice::new(dice.clone().throw().rotate_left(23));
        let later: BTreeSet<Kind> = LATER.into_iter().filter(|kind| of_later.chance(percent(*kind))).collect();
        let others = Kind::ALL.iter().copied().filter(|kind| !LATER.contains(kind));
        let mut kinds: BTreeSet<Kind> = others.filter(|kind| dice.chance(percent(*kind))).collect();
        if kinds.contains(&Kind::Liars) {
            // With a liar nobody can say who is to blame for the rest.
            kinds.remove(&Kind::Slander);
        }
        if kinds.contains(&Kind::Disks) {
            // Who lost state and meets a quarrel has to ask people: what must come right by itself is tried here.
            kinds.remove(&Kind::Slander);
        }
        if [Kind::Slander, Kind::Liars, Kind::Disks, Kind::Removals].iter().any(|kind| kinds.contains(kind)) {
            // An account that is handed over must have come to rest by itself, and its friend must know it.
            kinds.remove(&Kind::Keys);
        }
        kinds.extend(later.iter().copied().filter(|kind| *kind != Kind::WriteOffs));
        if !kinds.contains(&Kind::Liars) {
            kinds.remove(&Kind::Terms);
        }
        if later.contains(&Kind::WriteOffs) && !LOSSES.iter().any(|kind| kinds.contains(kind)) {
            // What it cost has to be told apart from what else may be lost.
            kinds.insert(Kind::WriteOffs);
        }
        let real_keys = dice.below(10) == 0;
        Mix {
            nodes,
            shape,
            actions: if real_keys { 20 } else { 60 + dice.below(140) },
            kinds,
            currencies: [1, 1, 2, 3][dice.below(4)],
            real_keys,
            relays: [0, 1, 2, 3][dice.below(4)],
            real_index: dice.chance(50),
            silent_copies: dice.chance(40),
            compare_every: if dice.chance(6) { 1 } else { 32 },
        }
    }

    /// How many keys wait for the owners of others that lose theirs.
    pub fn spares(&self) -> usize {
        if self.has(Kind::Keys) { 2 } else { 0 }
    }

    /// Whether this may go wrong.
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The friendships: pairs of nodes, each once, the larger number first.
    pub fn friendships(&self, dice: &mut Dice) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for node in 1..self.nodes {
            let first = match self.shape {
                Shape::Line | Shape::Ring | Shape::Complete => node - 1,
                Shape::Star => 0,
                Shape::Random => dice.below(node),
            };
            for other in 0..node {
                let is_more = match self.shape {
                    Shape::Random => dice.chance(200 / self.nodes),
                    Shape::Ring => other == 0 && node == self.nodes - 1,
                    Shape::Complete => true,
                    Shape::Line | Shape::Star => false,
                };
                if other == first || is_more {
                    pairs.push((node, other));
                }
            }
        }
        pairs
    }
}
