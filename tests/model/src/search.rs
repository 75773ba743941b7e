//! Visits every state of a world, depth first. Of a state only a fingerprint is kept, so that memory is no bound: 128 bits
//! leave no room for two states to be taken for one (one chance in 10^20 among a hundred million).

use crate::fingerprint::{Fingerprint, Names, Visited};
use crate::reduction::{Group, Reduced};
use crate::report::{Report, processor_time};
use stateright::{Expectation, Model, Property};
use std::collections::BTreeSet;

/// How much of a world is visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// All of it.
    Whole,
    /// What is left by [`crate::reduction`].
    Reduced,
}

/// A path from a state: the steps, and the state that they lead to.
type Path<M> = (Vec<<M as Model>::Action>, <M as Model>::State);

/// Silent steps of one node from a state.
struct Silence<M: Model> {
    steps: Vec<M::Action>,
    /// Where they lead.
    between: M::State,
    /// The state before the last of them.
    before: Option<M::State>,
}

/// A state on the path to the one where the search is.
struct Level<M: Model> {
    /// The steps that led here from the state before.
    steps: Vec<M::Action>,
    name: Fingerprint,
    /// None for what is before the beginning.
    state: Option<M::State>,
    /// Only some of the nodes were followed.
    goes_alone: bool,
    open: Vec<Path<M>>,
}

struct StateSearch<'a, M: Reduced> {
    model: &'a M,
    reduction: Reduction,
    properties: Vec<Property<M>>,
    /// For each property the steps that decide it.
    decided: Vec<Option<Vec<String>>>,
    /// The search ends when this property is decided.
    wanted: Option<usize>,
    names: Names,
    report: Report,
}

/// Visits every state of a world.
pub fn search<M: Reduced>(model: &M, reduction: Reduction) -> Report {
    search_until(model, reduction, None)
}

/// Visits the states of a world until this property is decided.
pub fn search_until<M: Reduced>(model: &M, reduction: Reduction, property: Option<&str>) -> Report {
    let begun = processor_time();
    let properties = model.properties();
    let decided = vec![None; properties.len()];
    let wanted = properties.iter().position(|known| Some(known.name) == property);
    let (names, report) = (Names::default(), Report::default());
    let mut search = StateSearch { model, reduction, properties, decided, wanted, names, report };
    search.run();
    let StateSearch { properties, decided, mut report, .. } = search;
    for (property, steps) in properties.iter().zip(decided) {
        if (property.expectation == Expectation::Sometimes) == steps.is_some() {
            report.holding.push(property.name);
        } else {
            report.failures.push((property.name.to_owned(), steps.unwrap_or_default()));
        }
    }
    report.processor = processor_time().zip(begun).map(|(now, begun)| now.saturating_sub(begun));
    report
}

impl<M: Reduced> StateSearch<'_, M> {
    fn run(&mut self) {
        let mut visited = Visited::default();
        let mut on_the_path = BTreeSet::new();
        let mut levels: Vec<Level<M>> = Vec::new();
        let first = self.model.init_states().into_iter().map(|state| (Vec::new(), self.canonical(state))).collect();
        levels.push(Level { steps: Vec::new(), name: 0, state: None, goes_alone: false, open: first });
        while let Some(level) = levels.last_mut() {
            let Some((steps, state)) = level.open.pop() else {
                on_the_path.remove(&level.name);
                levels.pop();
                continue;
            };
            self.report.states += 1;
            let name = self.name(&state);
            if !visited.insert(name) {
                if on_the_path.contains(&name) {
                    let mut cycle = levels.iter().skip_while(|level| level.name != name);
                    if cycle.all(|level| level.goes_alone) {
                        self.follow_all(&mut levels);
                    }
                }
                continue;
            }
            levels.push(Level { steps, name, state: None, goes_alone: false, open: Vec::new() });
            on_the_path.insert(name);
            self.report.depth = self.report.depth.max(levels.len() - 1);
            self.look(&state, &levels, &[]);
            if self.wanted.is_some_and(|wanted| self.decided[wanted].is_some()) {
                break;
            }
            let (goes_alone, open) = self.paths(&state, &levels, true);
            let level = levels.last_mut().expect("it was just added");
            (level.goes_alone, level.open, level.state) = (goes_alone, open, Some(state));
        }
        self.report.unique = visited.len();
    }

    fn canonical(&self, state: M::State) -> M::State {
        match self.reduction {
            Reduction::Whole => state,
            Reduction::Reduced => self.model.canonical(state),
        }
    }

    /// The name of a state, or of its twin.
    fn name(&mut self, state: &M::State) -> Fingerprint {
        let name = self.names.name(state);
        let twin = if self.reduction == Reduction::Reduced { self.model.twin(state) } else { None };
        twin.map_or(name, |twin| self.names.name(&self.model.canonical(twin)).min(name))
    }

    fn after(&self, state: &M::State, action: &M::Action) -> M::State {
        self.canonical(self.model.next_state(state, action.clone()).expect("the step is possible"))
    }

    /// In the state where the search is, the other nodes have their turn, too.
    fn follow_all(&mut self, levels: &mut [Level<M>]) {
        let Some(state) = levels.last().and_then(|level| level.state.clone()) else { return };
        let (_, all) = self.paths(&state, levels, false);
        let level = levels.last_mut().expect("there is one");
        level.goes_alone = false;
        level.open.extend(all);
    }

    /// Checks the properties of a state, `steps` after the last of the levels.
    fn look(&mut self, state: &M::State, levels: &[Level<M>], steps: &[M::Action]) {
        for (property, decided) in self.properties.iter().zip(&mut self.decided) {
            let decides = match property.expectation {
                Expectation::Always => false,
                Expectation::Sometimes => true,
                Expectation::Eventually => unreachable!("no model has one"),
            };
            if decided.is_none() && (property.condition)(self.model, state) == decides {
                let all = levels.iter().flat_map(|level| &level.steps).chain(steps);
                *decided = Some(all.map(|step| format!("{step:?}")).collect());
            }
        }
        if self.model.is_at_rest(state) {
            let canonical = self.model.canonical(state.clone());
            let name = self.names.name(&canonical);
            let twin = self.model.twin(&canonical).map(|twin| self.names.name(&self.model.canonical(twin)));
            self.report.at_rest.insert(twin.map_or(name, |twin| twin.min(name)));
        }
    }

    /// All paths that have to be followed, and whether they are those of a group alone.
    fn paths(&mut self, state: &M::State, levels: &[Level<M>], may_go_alone: bool) -> (bool, Vec<Path<M>>) {
        let mut actions = Vec::new();
        self.model.actions(state, &mut actions);
        if self.reduction == Reduction::Whole {
            let path = |action: M::Action| (vec![action.clone()], self.after(state, &action));
            return (false, actions.into_iter().map(path).collect());
        }
        let mut of_nodes: Vec<Option<Vec<Path<M>>>> = (0..self.model.nodes()).map(|_| None).collect();
        let is_in = |node: usize, group: Group| group & (1 << node) != 0;
        let watched = self.model.watched(state);
        let groups = if may_go_alone { self.model.groups(state) } else { Vec::new() };
        for group in groups {
            let mut changes = false;
            let mut is_idle = true;
            for node in (0..self.model.nodes()).filter(|node| is_in(*node, group)) {
                let paths = of_nodes[node].get_or_insert_with(|| self.paths_of(node, state, &actions, levels));
                is_idle &= paths.is_empty();
                changes |= paths.iter().any(|(_, after)| self.model.watched(after) != watched);
            }
            if !changes && !is_idle {
                let all = of_nodes.into_iter().enumerate().filter(|(node, _)| is_in(*node, group));
                return (true, all.flat_map(|(_, paths)| paths.unwrap_or_default()).collect());
            }
        }
        let mut all = Vec::new();
        for (node, paths) in of_nodes.into_iter().enumerate() {
            all.extend(paths.unwrap_or_else(|| self.paths_of(node, state, &actions, levels)));
        }
        for action in actions.into_iter().filter(|action| self.model.actor(action).is_none()) {
            let after = self.after(state, &action);
            all.push((vec![action], after));
        }
        (false, all)
    }

    /// What one node may do: silent steps, and then one that others can notice and that cannot be exchanged with the last of
    /// them.
    fn paths_of(&mut self, node: usize, state: &M::State, actions: &[M::Action], levels: &[Level<M>]) -> Vec<Path<M>> {
        let mut paths = Vec::new();
        let mut seen: Vec<M::State> = Vec::new();
        let mut waiting = vec![Silence::<M> { steps: Vec::new(), between: state.clone(), before: None }];
        while let Some(Silence { steps, between, before }) = waiting.pop() {
            let mut possible = Vec::new();
            if steps.is_empty() {
                possible.extend_from_slice(actions);
            } else {
                self.model.actions(&between, &mut possible);
            }
            for action in possible.into_iter().filter(|action| self.model.actor(action) == Some(node)) {
                let after = self.after(&between, &action);
                let mut longer = steps.clone();
                longer.push(action);
                if self.model.is_silent(&between, longer.last().expect("just added")) {
                    if !seen.contains(&after) {
                        self.look(&after, levels, &longer);
                        seen.push(after.clone());
                        waiting.push(Silence { steps: longer, between: after, before: Some(between.clone()) });
                    }
                } else if !before.as_ref().is_some_and(|before| self.is_exchangeable(before, &longer, &after)) {
                    paths.push((longer, after));
                }
            }
        }
        paths
    }

    /// Whether the last two of these steps could be taken in the other order.
    fn is_exchangeable(&self, before: &M::State, steps: &[M::Action], after: &M::State) -> bool {
        let [.., silent, last] = steps else { return false };
        let is_possible = |state: &M::State, action: &M::Action| {
            let mut possible = Vec::new();
            self.model.actions(state, &mut possible);
            possible.contains(action)
        };
        if !is_possible(before, last) {
            return false;
        }
        let between = self.after(before, last);
        is_possible(&between, silent) && self.after(&between, silent) == *after
    }
}
