//! Scripted worlds: what hardly ever comes about by chance, step by step. Each says what must hold, as the checkers of
//! a drawn world do.

mod clearing;
mod fork;
mod reconciling;
mod selling;
mod steps;

/// A scripted world.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// How it is called.
    pub name: &'static str,
    act: fn(),
}

/// All of them.
pub const SCRIPTS: &[Script] = &[
    Script { name: "another-currency", act: selling::another_currency },
    Script { name: "many-parts", act: selling::many_parts },
    Script { name: "sent-back", act: selling::sent_back },
    Script { name: "overdue-again", act: selling::overdue_again },
    Script { name: "clearing-pending", act: clearing::what_is_pending_counts },
    Script { name: "clearing-home", act: clearing::a_debt_cycle_returns_where_something_is_owed },
    Script { name: "reconciled-by-lock", act: reconciling::by_lock },
    Script { name: "reconciled-by-amount", act: reconciling::by_amount },
    Script { name: "own-fork", act: fork::a_fork_of_our_own },
];

impl Script {
    /// Runs it.
    ///
    /// # Errors
    /// A sentence that says what did not hold.
    pub fn run(&self) -> Result<(), String> {
        std::panic::catch_unwind(self.act).map_err(crate::seed::message)
    }
}
