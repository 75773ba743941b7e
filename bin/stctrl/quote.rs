//! The command `funds quote`: what paying would cost, and over which routes.

use super::arguments::{self, load_invoice, positive_amount};
use super::connection::Connection;
use super::names::{Names, PartDocument};
use super::output::OutputFormat;
use super::payment_options::PaymentOptions;
use super::progress::with_progress;
use crate::outcome::{Failure, Outcome};
use clap::Args;
use offst_app::{Destination, Purpose};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::report::QuoteReport;
use offst_proto::route::Route;
use serde::Serialize;

/// It takes every flag of `pay-invoice` and `send-funds`, so that a command line needs no other change; those that mean
/// nothing here are not shown.
#[derive(Debug, Args)]
#[command(
    mut_arg("receipt", |receipt| receipt.hide(true)),
    mut_arg("force", |force| force.hide(true)),
    mut_arg("timeout", |timeout| timeout.hide(true)),
    mut_arg("max_fee", |max_fee| max_fee.help("Fail when the cheapest route costs more than this in fees"))
)]
pub(super) struct Quote {
    /// The invoice: its file or its line of text
    #[arg(short, long, value_name = "FILE-or-TEXT", required_unless_present = "amount")]
    invoice: Option<String>,
    #[command(flatten)]
    spontaneous: Spontaneous,
    #[command(flatten)]
    options: PaymentOptions,
}

/// What is sent without an invoice.
#[derive(Debug, Args)]
struct Spontaneous {
    /// How much the receiver gets, in credits
    #[arg(long, value_parser = positive_amount, requires = "dest", conflicts_with = "invoice")]
    amount: Option<Amount>,
    /// The receiver
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

pub(super) fn run(
    Quote { invoice, spontaneous, options }: Quote,
    connection: &Connection,
    format: OutputFormat,
) -> Outcome {
    let purpose = match (invoice, spontaneous.amount, spontaneous.dest) {
        (Some(invoice), ..) => Purpose::Invoice(load_invoice(&invoice)?),
        (None, Some(amount), Some(dest)) => {
            Purpose::Spontaneous { destination: dest, currency: spontaneous.currency, amount }
        }
        (None, ..) => return Err(Failure::input("give an invoice, or --amount and --dest")),
    };
    let max_fee = options.search.max_fee;
    let order = options.search.order(purpose);
    connection.run(async |app| {
        let quote = with_progress("Looking for routes", app.quote(&order)).await?;
        let names = Names::of(&app).await?;
        let fees = cheapest(&quote);
        let document = document(&quote, &names);
        if max_fee.is_some_and(|max_fee| fees > max_fee.credits()) {
            let message = format!("the cheapest route costs {fees} in fees, more than --max-fee allows");
            return Err(Failure::failed(message).with_document(&document));
        }
        format.print(&document, || to_text(&quote, &names, max_fee))
    })
}

/// What the cheapest route costs in fees, credits.
fn cheapest(quote: &QuoteReport) -> u128 {
    quote.routes.iter().map(Route::fees).min().unwrap_or_default()
}

/// What programs read.
#[derive(Debug, Serialize)]
pub(super) struct QuoteDocument {
    currency: Currency,
    amount: Amount,
    /// Those of the cheapest route, as `parts`.
    #[serde(serialize_with = "offst_proto::json::optional_text")]
    fees: Option<u128>,
    parts: Option<usize>,
    max_fee_default: Amount,
    #[serde(rename = "ways")]
    routes: Vec<RouteDocument>,
}

#[derive(Debug, Serialize)]
struct RouteDocument {
    #[serde(serialize_with = "offst_proto::json::text")]
    fees: u128,
    parts: Vec<PartDocument>,
}

pub(super) fn document(quote: &QuoteReport, names: &Names) -> QuoteDocument {
    let cheapest = quote.routes.first();
    let document = |route: &Route| RouteDocument {
        fees: route.fees(),
        parts: route.parts.iter().map(|part| names.part(part)).collect(),
    };
    QuoteDocument {
        currency: quote.currency.clone(),
        amount: quote.amount,
        fees: cheapest.map(Route::fees),
        parts: cheapest.map(|route| route.parts.len()),
        max_fee_default: quote.max_fee_default,
        routes: quote.routes.iter().map(document).collect(),
    }
}

/// `max_fee`: what the order allows. One that does not say is bounded by what the node pays by default.
fn to_text(quote: &QuoteReport, names: &Names, max_fee: Option<Amount>) -> String {
    let fees = cheapest(quote);
    let mut lines = vec![format!("Amount: {} {}", quote.amount, quote.currency), format!("Fees: {fees}")];
    if max_fee.is_none() && fees > quote.max_fee_default.credits() {
        let bound = quote.max_fee_default;
        lines.push(format!(
            "That is more than the {bound} that this node pays by default: allow it with --max-fee {fees}"
        ));
    }
    for (number, route) in (1..).zip(&quote.routes) {
        let parts = if route.parts.len() == 1 { "1 part".to_owned() } else { format!("{} parts", route.parts.len()) };
        lines.push(format!("Route {number}, fees {}, {parts}:", route.fees()));
        for part in &route.parts {
            lines.push(format!("  {} + {} over {}", part.amount, part.fees, names.path(&part.path)));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::route::PartPlan;
    use serde_json::json;

    #[test]
    fn a_quote_shows_names_where_they_are_known() {
        let key = |seed: u8| Identity::from_seed([seed; 32]).public_key();
        let names = Names::from([(key(1), "bob".to_owned())]);
        let part = |amount: u32, fees: u32, path: &[u8]| PartPlan {
            path: path.iter().map(|s| key(*s)).collect(),
            amount: amount.into(),
            fees: fees.into(),
        };
        let routes = vec![
            Route { parts: vec![part(60, 1, &[1, 2]), part(40, 2, &[3, 2])] },
            Route { parts: vec![part(100, 9, &[1, 2])] },
        ];
        let mut quote =
            QuoteReport { currency: Currency::default(), amount: 100.into(), routes, max_fee_default: 3.into() };
        let [second, third] = [2, 3].map(|seed| key(seed).to_string()[..8].to_owned() + "...");
        assert_eq!(
            to_text(&quote, &names, None),
            format!(
                "Amount: 100 credit\nFees: 3\nRoute 1, fees 3, 2 parts:\n  60 + 1 over bob -> {second}\n  \
                 40 + 2 over {third} -> {second}\nRoute 2, fees 9, 1 part:\n  100 + 9 over bob -> {second}\n"
            )
        );
        quote.max_fee_default = 2.into();
        let dear =
            "Fees: 3\nThat is more than the 2 that this node pays by default: allow it with --max-fee 3\nRoute 1";
        assert!(to_text(&quote, &names, None).contains(dear));
        assert!(to_text(&quote, &names, Some(3.into())).contains("Fees: 3\nRoute 1"));
        let document = serde_json::to_value(document(&quote, &names)).unwrap();
        assert_eq!(document["max_fee_default"], "2");
        assert_eq!((&document["fees"], &document["parts"]), (&json!("3"), &json!(2)));
        assert_eq!(
            document["ways"][0]["parts"][1]["route"][0],
            json!({ "public_key": key(3).to_string(), "name": null })
        );
    }
}
