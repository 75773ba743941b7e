//! The command `funds quote`: what paying would cost, and over which ways.

use super::arguments::{self, load_invoice, positive_amount};
use super::connection::Connection;
use super::funds::How;
use super::progress::with_progress;
use super::{Voice, text};
use crate::outcome::{Failure, Outcome};
use clap::Args;
use offst_app::{App, AppError, Destination, Purpose};
use offst_crypto::PublicKey;
use offst_proto::Currency;
use offst_proto::report::QuoteReport;
use offst_proto::route::{PartPlan, Way};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// It takes every word of `pay-invoice` and `send-funds`, so that a line needs no other change; those that mean nothing here are
/// not shown.
#[derive(Debug, Args)]
#[command(
    mut_arg("receipt", |receipt| receipt.hide(true)),
    mut_arg("force", |force| force.hide(true)),
    mut_arg("timeout", |timeout| timeout.hide(true)),
    mut_arg("max_fee", |max_fee| max_fee.help("Fail when the cheapest way takes more than this"))
)]
pub(super) struct Quote {
    /// The invoice: its file or its line of text
    #[arg(short, long, value_name = "FILE-or-TEXT", required_unless_present = "amount")]
    invoice: Option<String>,
    #[command(flatten)]
    gift: Gift,
    #[command(flatten)]
    how: How,
}

/// What is sent without an invoice.
#[derive(Debug, Args)]
struct Gift {
    /// How much arrives
    #[arg(long, value_parser = positive_amount, requires = "dest", conflicts_with = "invoice")]
    amount: Option<u128>,
    /// Who gets it
    #[arg(
        long,
        value_name = "PUBLIC-KEY-or-FRIEND-NAME",
        value_parser = arguments::destination,
        allow_hyphen_values = true,
        requires = "amount"
    )]
    dest: Option<Destination>,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
}

/// The owner's names for the nodes he knows.
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

    /// The nodes of a route, for people.
    pub(super) fn route(&self, route: &[PublicKey]) -> String {
        route.iter().map(|key| self.short(key)).collect::<Vec<_>>().join(" -> ")
    }

    pub(super) fn part_json(&self, part: &PartPlan) -> Value {
        let node = |key: &PublicKey| json!({ "public_key": key.to_string(), "name": self.0.get(key) });
        json!({
            "amount": part.amount.to_string(),
            "fees": part.fees.to_string(),
            "route": part.route.iter().map(node).collect::<Vec<_>>(),
        })
    }
}

pub(super) fn run(Quote { invoice, gift, how }: Quote, connection: &Connection, voice: Voice) -> Outcome {
    let purpose = match (invoice, gift.amount, gift.dest) {
        (Some(invoice), ..) => Purpose::Invoice(load_invoice(&invoice)?),
        (None, Some(amount), Some(dest)) => Purpose::Spontaneous { destination: dest, currency: gift.currency, amount },
        (None, ..) => return Err(Failure::input("give an invoice, or --amount and --dest")),
    };
    let max_fee = how.search.max_fee;
    let order = how.search.order(purpose);
    connection.run(async |app| {
        let quote = with_progress("Looking for ways", app.quote(&order)).await?;
        let names = Names::of(&app).await?;
        let fees = cheapest(&quote);
        if max_fee.is_some_and(|max_fee| fees > max_fee) {
            let sentence = format!("the cheapest way costs {fees} in fees, more than --max-fee allows");
            let mut document = to_json(&quote, &names);
            document["error"] = json!(sentence);
            return Err(Failure::failed(&sentence).with_document(document));
        }
        voice.say(to_json(&quote, &names), || to_text(&quote, &names, max_fee))
    })
}

/// What the cheapest way costs in fees, credits.
fn cheapest(quote: &QuoteReport) -> u128 {
    quote.ways.iter().map(Way::fees).min().unwrap_or_default()
}

pub(super) fn to_json(quote: &QuoteReport, names: &Names) -> Value {
    let cheapest = quote.ways.first();
    json!({
        "currency": quote.currency.as_str(),
        "amount": quote.amount.to_string(),
        "fees": cheapest.map(|way| way.fees().to_string()),
        "parts": cheapest.map(|way| way.parts.len()),
        "max_fee_default": quote.max_fee_default.to_string(),
        "ways": quote.ways.iter().map(|way| json!({
            "fees": way.fees().to_string(),
            "parts": way.parts.iter().map(|part| names.part_json(part)).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

/// `max_fee`: what the order allows. One that does not say is bounded by what the node pays by default.
fn to_text(quote: &QuoteReport, names: &Names, max_fee: Option<u128>) -> String {
    let fees = cheapest(quote);
    let mut lines = vec![format!("Amount: {} {}", quote.amount, quote.currency), format!("Fees: {fees}")];
    if max_fee.is_none() && fees > quote.max_fee_default {
        let bound = quote.max_fee_default;
        lines.push(format!(
            "That is more than the {bound} that this node pays by default: allow it with --max-fee {fees}"
        ));
    }
    for (number, way) in (1..).zip(&quote.ways) {
        let parts = if way.parts.len() == 1 { "1 part".to_owned() } else { format!("{} parts", way.parts.len()) };
        lines.push(format!("Way {number}, fees {}, {parts}:", way.fees()));
        for part in &way.parts {
            lines.push(format!("  {} + {} over {}", part.amount, part.fees, names.route(&part.route)));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;

    #[test]
    fn a_quote_shows_names_where_they_are_known() {
        let key = |seed: u8| Identity::from_seed([seed; 32]).public_key();
        let names = Names([(key(1), "bob".to_owned())].into());
        let part =
            |amount, fees, route: &[u8]| PartPlan { route: route.iter().map(|s| key(*s)).collect(), amount, fees };
        let ways = vec![
            Way { parts: vec![part(60, 1, &[1, 2]), part(40, 2, &[3, 2])] },
            Way { parts: vec![part(100, 9, &[1, 2])] },
        ];
        let mut quote = QuoteReport { currency: Currency::default(), amount: 100, ways, max_fee_default: 3 };
        let [second, third] = [2, 3].map(|seed| key(seed).to_string()[..8].to_owned() + "...");
        assert_eq!(
            to_text(&quote, &names, None),
            format!(
                "Amount: 100 credit\nFees: 3\nWay 1, fees 3, 2 parts:\n  60 + 1 over bob -> {second}\n  \
                 40 + 2 over {third} -> {second}\nWay 2, fees 9, 1 part:\n  100 + 9 over bob -> {second}\n"
            )
        );
        quote.max_fee_default = 2;
        let dear = "Fees: 3\nThat is more than the 2 that this node pays by default: allow it with --max-fee 3\nWay 1";
        assert!(to_text(&quote, &names, None).contains(dear));
        assert!(to_text(&quote, &names, Some(3)).contains("Fees: 3\nWay 1"));
        let document = to_json(&quote, &names);
        assert_eq!(document["max_fee_default"], "2");
        assert_eq!((&document["fees"], &document["parts"]), (&json!("3"), &json!(2)));
        assert_eq!(
            document["ways"][0]["parts"][1]["route"][0],
            json!({ "public_key": key(3).to_string(), "name": null })
        );
    }
}
