//! What a seed draws before its world begins: how many nodes, who knows whom, and what may go wrong.

use crate::keys::Dice;

/// Who is friend of whom. Every shape is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each is a friend of the next.
    Row,
    /// A row whose ends are friends.
    Ring,
    /// All are friends of one.
    Star,
    /// Each is a friend of one that came before.
    Tree,
    /// A tree with further friendships, as they come.
    Town,
}

/// What may go wrong in a world. What is off never happens there, so that faults do not hide each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// How many nodes, 3 to 12.
    pub nodes: usize,
    /// Who is friend of whom.
    pub shape: Shape,
    /// How many things are done before the world is healed.
    pub actions: usize,
    /// Connections break.
    pub breaks: bool,
    /// Processes are killed between batches and start again.
    pub kills: bool,
    /// Processes die within a batch, and disks refuse to write.
    pub crashes: bool,
    /// Processes stand still.
    pub freezes: bool,
    /// Owners change limits, rates and who may send, and give friends up.
    pub changes: bool,
    /// Buyers and sellers take back what they asked for.
    pub cancels: bool,
    /// Friends sign statements that break a rule, and owners use force: accounts stop, and owners accept terms.
    pub lies: bool,
}

impl Mix {
    /// The mix of a seed.
    pub fn draw(dice: &mut Dice) -> Self {
        let nodes = 3 + dice.below(10);
        let shapes = [Shape::Row, Shape::Ring, Shape::Star, Shape::Tree, Shape::Town, Shape::Town];
        Mix {
            nodes,
            shape: shapes[dice.below(shapes.len())],
            actions: 20 + dice.below(120),
            breaks: dice.chance(80),
            kills: dice.chance(60),
            crashes: dice.chance(60),
            freezes: dice.chance(40),
            changes: dice.chance(60),
            cancels: dice.chance(70),
            lies: dice.chance(30),
        }
    }

    /// The friendships: pairs of nodes, each once, the larger number first.
    pub fn friendships(&self, dice: &mut Dice) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for node in 1..self.nodes {
            let first = match self.shape {
                Shape::Row | Shape::Ring => node - 1,
                Shape::Star => 0,
                Shape::Tree | Shape::Town => dice.below(node),
            };
            for other in 0..node {
                let is_more = match self.shape {
                    Shape::Town => dice.chance(300 / self.nodes),
                    Shape::Ring => other == 0 && node == self.nodes - 1,
                    _ => false,
                };
                if other == first || is_more {
                    pairs.push((node, other));
                }
            }
        }
        pairs
    }
}
