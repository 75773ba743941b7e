//! Nodes by the owner's names.

use super::text;
use offst_app::{App, AppError};
use offst_crypto::PublicKey;
use offst_proto::Amount;
use offst_proto::route::PartPlan;
use serde::Serialize;
use std::collections::BTreeMap;

/// The owner's names for friends, and "you" for the node itself.
pub(super) struct Names(BTreeMap<PublicKey, String>);

impl<const N: usize> From<[(PublicKey, String); N]> for Names {
    fn from(names: [(PublicKey, String); N]) -> Self {
        Names(names.into())
    }
}

impl Names {
    pub(super) async fn of(app: &App) -> Result<Self, AppError> {
        let friends = app.friends().await?.into_iter().map(|friend| (friend.public_key, friend.name));
        Ok(Names(friends.chain([(app.node(), "you".into())]).collect()))
    }

    fn short(&self, key: &PublicKey) -> String {
        match self.0.get(key) {
            Some(name) => text::clean(name),
            None => key.to_string().chars().take(8).collect::<String>() + "...",
        }
    }

    /// The nodes of a path, for people.
    pub(super) fn path(&self, path: &[PublicKey]) -> String {
        path.iter().map(|key| self.short(key)).collect::<Vec<_>>().join(" -> ")
    }

    /// A part as programs read it.
    pub(super) fn part(&self, part: &PartPlan) -> PartDocument {
        let node = |key: &PublicKey| NodeDocument { public_key: *key, name: self.0.get(key).cloned() };
        PartDocument { amount: part.amount, fees: part.fees, path: part.path.iter().map(node).collect() }
    }
}

/// A part of a payment, with the names of the nodes on its path.
#[derive(Debug, Serialize)]
pub(super) struct PartDocument {
    amount: Amount,
    fees: Amount,
    #[serde(rename = "route")]
    path: Vec<NodeDocument>,
}

#[derive(Debug, Serialize)]
struct NodeDocument {
    #[serde(serialize_with = "offst_proto::json::text")]
    public_key: PublicKey,
    name: Option<String>,
}
