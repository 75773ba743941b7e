//! What an application may do.

use offst_proto::budget::Budgets;
use std::fmt;
use std::str::FromStr;

/// The permissions of one application. Reading reports needs none: every application that the node trusts may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions {
    /// Asking for routes: what a payment would cost. An application that may pay may ask, too.
    pub routes: bool,
    /// Paying.
    pub buyer: bool,
    /// Making invoices.
    pub seller: bool,
    /// Friends, relays and index servers.
    pub config: bool,
}

/// All that the owner grants to one application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// What it may do.
    pub permissions: Permissions,
    /// What it may spend, if it may pay.
    pub budgets: Budgets,
}

impl From<Permissions> for Grant {
    /// Without a limit.
    fn from(permissions: Permissions) -> Self {
        Grant { permissions, budgets: Budgets::default() }
    }
}

/// A word that names no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a permission: give some of routes, buyer, seller, config, with commas between them")]
pub struct PermissionsError(String);

impl Permissions {
    /// All of them.
    pub const ALL: Permissions = Permissions { routes: true, buyer: true, seller: true, config: true };

    fn named(self) -> [(&'static str, bool); 4] {
        [("routes", self.routes), ("buyer", self.buyer), ("seller", self.seller), ("config", self.config)]
    }

    /// Whether everything that `other` grants is granted here, too.
    pub fn include(self, other: Permissions) -> bool {
        self.named().into_iter().zip(other.named()).all(|((_, here), (_, there))| here || !there)
    }
}

impl FromStr for Permissions {
    type Err = PermissionsError;

    /// Reads `routes,buyer,seller,config` or a part of it. The empty text is an application that only reads.
    fn from_str(text: &str) -> Result<Self, PermissionsError> {
        let mut permissions = Permissions::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "routes" => permissions.routes = true,
                "buyer" => permissions.buyer = true,
                "seller" => permissions.seller = true,
                "config" => permissions.config = true,
                _ => return Err(PermissionsError(word.chars().take(40).collect())),
            }
        }
        Ok(permissions)
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.named().into_iter().filter(|(_, granted)| *granted).map(|(word, _)| word).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!("routes,buyer,seller,config".parse(), Ok(Permissions::ALL));
        assert_eq!("".parse(), Ok(Permissions::default()));
        let some: Permissions = " buyer, config".parse().unwrap();
        assert_eq!(some, Permissions { buyer: true, config: true, ..Permissions::default() });
        assert_eq!(some.to_string(), "buyer,config");
        let error = "buyer,root".parse::<Permissions>().unwrap_err();
        assert!(error.to_string().starts_with("\"root\" is not a permission"));
    }

    #[test]
    fn inclusion() {
        let buyer: Permissions = "buyer".parse().unwrap();
        assert!(Permissions::ALL.include(buyer) && buyer.include(buyer) && buyer.include(Permissions::default()));
        assert!(!buyer.include(Permissions::ALL) && !Permissions::default().include(buyer));
    }
}
