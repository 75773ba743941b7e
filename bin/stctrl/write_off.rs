//! The command `config write-off`: those who wait get their credits back, at the owner's risk.

use super::arguments::Named;
use super::connection::Connection;
use super::output::OutputFormat;
use super::text::clean;
use crate::outcome::Outcome;
use clap::Args;
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::report::{Held, WriteOffReport};
use serde::Serialize;

#[derive(Debug, Args)]
pub(super) struct WriteOff {
    #[command(flatten)]
    named: Named,
    /// The most that you may lose: what the friend could still collect of everything that you have ever written off, also by
    /// earlier commands
    #[arg(long, value_name = "N")]
    up_to: Amount,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
}

pub(super) fn run(
    WriteOff { named, up_to, currency }: WriteOff,
    connection: &Connection,
    format: OutputFormat,
) -> Outcome {
    connection.run(async |app| {
        let report = app.write_off(&named.name, &currency, up_to).await?;
        let document = WriteOffDocument { name: &named.name, currency: &currency, report };
        format.print(&document, || to_text(&report, &named.name, &currency))
    })
}

/// What programs read.
#[derive(Debug, Serialize)]
pub(super) struct WriteOffDocument<'a> {
    pub(super) name: &'a str,
    pub(super) currency: &'a Currency,
    #[serde(flatten)]
    pub(super) report: WriteOffReport,
}

/// A line for what was done, and one for each that there is something to say of.
fn to_text(report: &WriteOffReport, name: &str, currency: &Currency) -> String {
    let name = clean(name);
    let payments = |held: Held| {
        let payments = if held.count == 1 { "payment" } else { "payments" };
        format!("{} {payments} of {} {currency}", held.count, held.amount)
    };
    let WriteOffReport { released, waiting, own, at_risk } = *report;
    let mut text = if released.count == 0 {
        "nothing was written off\n".to_owned()
    } else {
        format!("{} written off: those who sent them to this node have the credits back\n", payments(released))
    };
    let others = [
        (waiting, "of others that NAME holds for too long go on waiting"),
        (own, "of your own wait at NAME too, and are not written off"),
        (at_risk, "in all may be lost: NAME may still collect what was written off"),
    ];
    for (held, message) in others.into_iter().filter(|(held, _)| held.count > 0) {
        text += &format!("{} {}\n", payments(held), message.replace("NAME", &name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(count: u32, amount: u128) -> Held {
        Held { count, amount }
    }

    #[test]
    fn it_says_what_was_done_and_what_is_left() {
        let currency = Currency::default();
        let report =
            WriteOffReport { released: held(2, 80), waiting: held(1, 70), own: held(1, 5), at_risk: held(3, 90) };
        let lines = [
            "2 payments of 80 credit written off: those who sent them to this node have the credits back",
            "1 payment of 70 credit of others that bob\u{fffd} holds for too long go on waiting",
            "1 payment of 5 credit of your own wait at bob\u{fffd} too, and are not written off",
            "3 payments of 90 credit in all may be lost: bob\u{fffd} may still collect what was written off",
        ];
        assert_eq!(to_text(&report, "bob\u{1b}", &currency), lines.map(|line| format!("{line}\n")).concat());
        assert_eq!(to_text(&WriteOffReport::default(), "bob", &currency), "nothing was written off\n");
    }
}
