//! What a row is.

/// What a row is. Its number stands in the database: it is never used again for another kind, also when this one is gone.
///
/// A kind is declared beside the type that is stored ([`crate::Row::KIND`]), or beside the code that writes it where the value is
/// bytes that somebody has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// In the database. A program that does not know an even number refuses the database; rows of an odd one that it does not know
    /// stay as they are.
    pub number: u16,
    /// For people, in the plural: "forwards".
    pub name: &'static str,
    /// How a store keeps it.
    pub keeping: Keeping,
}

/// How a store keeps rows of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keeping {
    /// One row a key. A start reads all of them.
    State,
    /// The same, for the many that are written once and not changed until they are removed: what both sides of an account have
    /// signed.
    Log,
    /// One row a key, for ever, in the order in which the keys first came: people page through them. A start reads those that have
    /// not ended ([`crate::Row::has_ended`]).
    Listed,
    /// A row is only ever added, also under a key that is there already. A start reads none.
    Journal,
    /// One row a key, which is looked up when somebody asks. A start reads none.
    Shelf,
}

impl Kind {
    /// See [`Keeping::State`].
    pub const fn state(number: u16, name: &'static str) -> Kind {
        Kind { number, name, keeping: Keeping::State }
    }

    /// See [`Keeping::Log`].
    pub const fn log(number: u16, name: &'static str) -> Kind {
        Kind { number, name, keeping: Keeping::Log }
    }

    /// See [`Keeping::Listed`].
    pub const fn listed(number: u16, name: &'static str) -> Kind {
        Kind { number, name, keeping: Keeping::Listed }
    }

    /// See [`Keeping::Journal`].
    pub const fn journal(number: u16, name: &'static str) -> Kind {
        Kind { number, name, keeping: Keeping::Journal }
    }

    /// See [`Keeping::Shelf`].
    pub const fn shelf(number: u16, name: &'static str) -> Kind {
        Kind { number, name, keeping: Keeping::Shelf }
    }
}
