//! What could be paid at all: a maximum flow over all credit lines as they are now, whatever anybody knows of them.
//!
//! Fees are left out, parts are not counted and paths may be as long as they like: no payment network can do better.

/// Both directions of all friendships. A direction and its opposite are neighbours: `2 * friendship` is what the first of the
/// two can send to the second, `2 * friendship + 1` what comes back.
#[derive(Debug, Clone)]
pub struct Flow {
    /// By person: the directions that begin there, and where they lead.
    leaving: Vec<Vec<(u32, u32)>>,
    /// Credits that each direction can carry now.
    room: Vec<u64>,
    // Memory of the searches.
    seen: Vec<u32>,
    search: u32,
    came_by: Vec<u32>,
    queue: Vec<u32>,
    changed: Vec<(u32, u64)>,
}

impl Flow {
    /// All credit lines between these people, without room.
    pub fn new(people: usize, friendships: impl Iterator<Item = [usize; 2]>) -> Self {
        let mut leaving = vec![Vec::new(); people];
        let mut count = 0;
        for [a, b] in friendships {
            leaving[a].push((count, b as u32));
            leaving[b].push((count + 1, a as u32));
            count += 2;
        }
        Flow {
            leaving,
            room: vec![0; count as usize],
            seen: vec![0; people],
            search: 0,
            came_by: vec![0; people],
            queue: Vec::new(),
            changed: Vec::new(),
        }
    }

    /// What a direction can carry from now on, credits.
    pub fn set(&mut self, direction: u32, room: u64) {
        self.room[direction as usize] = room;
    }

    /// Whether `amount` credits can get from one person to another.
    pub fn carries(&mut self, from: usize, to: usize, amount: u64) -> bool {
        let out: u64 = self.leaving[from].iter().map(|(direction, _)| self.room[*direction as usize]).sum();
        let into: u64 = self.leaving[to].iter().map(|(direction, _)| self.room[(*direction ^ 1) as usize]).sum();
        if out.min(into) < amount {
            return false;
        }
        let mut left = amount;
        let mut step = amount;
        while left > 0 {
            match self.path(from, to, step.min(left)) {
                Some(width) => {
                    let taken = width.min(left);
                    self.take(from, to, taken);
                    left -= taken;
                }
                None if step > 1 => step = step.div_ceil(8),
                None => break,
            }
        }
        while let Some((direction, room)) = self.changed.pop() {
            self.room[direction as usize] = room;
        }
        left == 0
    }

    /// A shortest path on which every direction has at least so much room, and the least room on it.
    fn path(&mut self, from: usize, to: usize, least: u64) -> Option<u64> {
        self.search += 1;
        self.queue.clear();
        self.queue.push(from as u32);
        self.seen[from] = self.search;
        let mut next = 0;
        while let Some(at) = self.queue.get(next).copied() {
            next += 1;
            for (direction, person) in &self.leaving[at as usize] {
                let place = *person as usize;
                if self.seen[place] == self.search || self.room[*direction as usize] < least {
                    continue;
                }
                self.seen[place] = self.search;
                self.came_by[place] = *direction;
                if place == to {
                    let path = Self::walk(&self.came_by, &self.leaving, from, to);
                    return path.map(|direction| self.room[direction as usize]).min();
                }
                self.queue.push(*person);
            }
        }
        None
    }

    /// The directions of the path that was found, from its end.
    fn walk<'a>(
        came_by: &'a [u32],
        leaving: &'a [Vec<(u32, u32)>],
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = u32> + 'a {
        let mut at = to;
        std::iter::from_fn(move || {
            (at != from).then(|| {
                let direction = came_by[at];
                let back = leaving[at].iter().find(|(other, _)| *other == direction ^ 1);
                at = back.expect("every direction has its opposite").1 as usize;
                direction
            })
        })
    }

    fn take(&mut self, from: usize, to: usize, amount: u64) {
        let path: Vec<u32> = Self::walk(&self.came_by, &self.leaving, from, to).collect();
        for direction in path {
            for (direction, adds) in [(direction, false), (direction ^ 1, true)] {
                let room = &mut self.room[direction as usize];
                self.changed.push((direction, *room));
                *room = if adds { *room + amount } else { *room - amount };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 - 1 - 3 and 0 - 2 - 3, and a credit line between 1 and 2.
    fn diamond() -> Flow {
        let mut flow = Flow::new(5, [[0, 1], [1, 3], [0, 2], [2, 3], [1, 2]].into_iter());
        for (direction, room) in [(0, 10), (2, 4), (4, 5), (6, 11), (8, 6)] {
            flow.set(direction, room);
        }
        flow
    }

    #[test]
    fn all_lines_together_carry_what_none_does_alone() {
        let mut flow = diamond();
        assert!(flow.carries(0, 3, 15), "4 over 1, 5 over 2, 6 over both");
        assert!(!flow.carries(0, 3, 16));
        assert!(flow.carries(0, 3, 15), "asking takes nothing");
        assert!(!flow.carries(3, 0, 1) && !flow.carries(0, 4, 1));
        flow.set(9, 2);
        assert!(flow.carries(2, 1, 2) && !flow.carries(2, 1, 3));
    }

    #[test]
    fn a_path_that_was_taken_is_taken_back() {
        // The shortest path over the middle blocks both others.
        let mut flow = Flow::new(6, [[0, 1], [1, 2], [2, 5], [0, 3], [3, 2], [1, 4], [4, 5]].into_iter());
        for direction in 0..7 {
            flow.set(2 * direction, 1);
        }
        assert!(flow.carries(0, 5, 2));
    }
}
