//! The tables that rows are in: one for each way of keeping them.

use offst_rows::Keeping;

/// All of them.
pub(crate) const TABLES: [Keeping; 5] =
    [Keeping::State, Keeping::Log, Keeping::Listed, Keeping::Journal, Keeping::Shelf];

/// Those of which a start reads every row.
pub(crate) const READ_WHOLE: [Keeping; 2] = [Keeping::State, Keeping::Log];

/// The name of the table.
pub(crate) fn name(keeping: Keeping) -> &'static str {
    match keeping {
        Keeping::State => "state",
        Keeping::Log => "log",
        Keeping::Listed => "listed",
        Keeping::Journal => "journal",
        Keeping::Shelf => "shelf",
    }
}

/// The table with this name.
pub(crate) fn by_name(text: &str) -> Option<Keeping> {
    TABLES.into_iter().find(|keeping| name(*keeping) == text)
}
