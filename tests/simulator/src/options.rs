//! What is left of the run that a seed draws.

use crate::faults::FaultKind;
use crate::mix::Mix;
use std::collections::BTreeSet;

/// What is left of the world that a seed draws.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Only these actions; none: all.
    pub actions: Option<BTreeSet<usize>>,
    /// These may go wrong besides what the seed has drawn.
    pub with: BTreeSet<FaultKind>,
    /// Nothing of these kinds goes wrong.
    pub without: BTreeSet<FaultKind>,
    /// So many nodes.
    pub nodes: Option<usize>,
    /// Keep a text of what happens.
    pub tells: bool,
}

impl Options {
    /// What the seed has drawn, with less in it.
    pub(crate) fn apply(&self, mut mix: Mix) -> Mix {
        mix.nodes = self.nodes.unwrap_or(mix.nodes);
        mix.kinds = mix.kinds.difference(&self.without).copied().collect();
        mix
    }

    /// How the program is called for this.
    pub fn arguments(&self) -> String {
        let mut text = String::new();
        if let Some(nodes) = self.nodes {
            text += &format!(" --nodes {nodes}");
        }
        for (name, kinds) in [("with", &self.with), ("without", &self.without)] {
            if !kinds.is_empty() {
                let kinds: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                text += &format!(" --{name} {}", kinds.join(","));
            }
        }
        if let Some(actions) = &self.actions {
            let numbers: Vec<_> = actions.iter().map(usize::to_string).collect();
            text += &format!(" --actions {}", if numbers.is_empty() { "none".into() } else { numbers.join(",") });
        }
        text
    }
}
