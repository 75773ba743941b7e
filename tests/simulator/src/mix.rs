//! What a seed draws before its world begins: how many nodes, who knows whom, and what may go wrong.

use crate::faults::FaultKind;
use crate::keys::Dice;
use std::collections::BTreeSet;

/// Who is friend of whom. Every shape is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each is a friend of the next.
    Row,
    /// A row whose ends are friends.
    DebtCycle,
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
    pub kinds: BTreeSet<FaultKind>,
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
fn percent(kind: FaultKind) -> usize {
    match kind {
        FaultKind::Delays | FaultKind::Index => 50,
        FaultKind::Resets | FaultKind::Cancels | FaultKind::Settings => 60,
        FaultKind::HalfOpen | FaultKind::Partitions | FaultKind::SlowDisks | FaultKind::Kills | FaultKind::Crashes => {
            40
        }
        FaultKind::Removals => 50,
        FaultKind::Stalls | FaultKind::Disks => 30,
        FaultKind::Relays => 60,
        FaultKind::Slander => 20,
        FaultKind::Liars => 25,
        FaultKind::Keys => 60,
        FaultKind::WriteOffs => 60,
        FaultKind::Clocks | FaultKind::Absences | FaultKind::Fees => 15,
        FaultKind::Patience => 12,
        FaultKind::Budgets => 30,
        FaultKind::Terms => 60,
    }
}

/// Where these go wrong, more may be lost than what somebody has decided to risk.
const LOSSES: [FaultKind; 4] = [FaultKind::Slander, FaultKind::Liars, FaultKind::Disks, FaultKind::Keys];

/// Drawn by dice of their own, so that the rest of a world is what it was before there were these.
const LATER: [FaultKind; 7] = [
    FaultKind::WriteOffs,
    FaultKind::Clocks,
    FaultKind::Absences,
    FaultKind::Patience,
    FaultKind::Budgets,
    FaultKind::Fees,
    FaultKind::Terms,
];

impl Mix {
    /// The mix of a seed.
    pub fn draw(dice: &mut Dice) -> Self {
        let nodes = 3 + dice.below(10);
        let shapes = [Shape::Row, Shape::DebtCycle, Shape::Star, Shape::Random, Shape::Random, Shape::Complete];
        let shape = shapes[dice.below(shapes.len())];
        let mut of_later = Dice::new(dice.clone().throw().rotate_left(23));
        let later: BTreeSet<FaultKind> = LATER.into_iter().filter(|kind| of_later.chance(percent(*kind))).collect();
        let others = FaultKind::ALL.iter().copied().filter(|kind| !LATER.contains(kind));
        let mut kinds: BTreeSet<FaultKind> = others.filter(|kind| dice.chance(percent(*kind))).collect();
        if kinds.contains(&FaultKind::Liars) {
            // With a liar nobody can say who is to blame for the rest.
            kinds.remove(&FaultKind::Slander);
        }
        if kinds.contains(&FaultKind::Disks) {
            // A node that has lost state and finds a disagreement has to ask people: what must be settled by itself is
            // tried here.
            kinds.remove(&FaultKind::Slander);
        }
        if [FaultKind::Slander, FaultKind::Liars, FaultKind::Disks, FaultKind::Removals]
            .iter()
            .any(|kind| kinds.contains(kind))
        {
            // An account whose key is rotated must have come to rest by itself, and its friend must know it.
            kinds.remove(&FaultKind::Keys);
        }
        kinds.extend(later.iter().copied().filter(|kind| *kind != FaultKind::WriteOffs));
        if !kinds.contains(&FaultKind::Liars) {
            kinds.remove(&FaultKind::Terms);
        }
        if later.contains(&FaultKind::WriteOffs) && !LOSSES.iter().any(|kind| kinds.contains(kind)) {
            // What it cost has to be told apart from what else may be lost.
            kinds.insert(FaultKind::WriteOffs);
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
        if self.has(FaultKind::Keys) { 2 } else { 0 }
    }

    /// Whether this may go wrong.
    pub fn has(&self, kind: FaultKind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The friendships: pairs of nodes, each once, the larger number first.
    pub fn friendships(&self, dice: &mut Dice) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for node in 1..self.nodes {
            let first = match self.shape {
                Shape::Row | Shape::DebtCycle | Shape::Complete => node - 1,
                Shape::Star => 0,
                Shape::Random => dice.below(node),
            };
            for other in 0..node {
                let is_more = match self.shape {
                    Shape::Random => dice.chance(200 / self.nodes),
                    Shape::DebtCycle => other == 0 && node == self.nodes - 1,
                    Shape::Complete => true,
                    Shape::Row | Shape::Star => false,
                };
                if other == first || is_more {
                    pairs.push((node, other));
                }
            }
        }
        pairs
    }
}
