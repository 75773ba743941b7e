//! Which applications may use the node: the commands `trust`, `untrust` and `apps`.

use super::clock;
use super::node_folder::{database_failure, existing};
use super::trusted::{TrustedApp, TrustedApps, name_from};
use crate::folder::Folder;
use crate::outcome::{Failure, Outcome, say};
use crate::trusted::Reading;
use crate::{budgets, files};
use offst_crypto::PublicKey;
use offst_node::Permissions;
use offst_proto::budget::{Budget, BudgetError, BudgetReport, Budgets, BudgetsReport};
use offst_proto::ticket::Ticket;
use offst_store::{History, StoreError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[derive(Debug, clap::Args)]
pub(super) struct Trust {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The application's ticket. The application gets the name of this file
    #[arg(long, value_name = "FILE")]
    app: PathBuf,
    /// What it may do, separated by commas: routes (ask what a payment would cost), buyer (pay), seller (make invoices), config
    /// (change friends, relays and index servers). With "" it may only read
    #[arg(long)]
    permissions: Permissions,
    /// The most that it may spend in one currency, fees included: in total, or in each day, week or month (UTC), as 500,
    /// 500/day or 20:hours/month. Give it once for each currency; other currencies cannot be spent then. "none" removes all
    /// limits. Without this flag, the limits stay as they are
    #[arg(long = "budget", value_name = "AMOUNT[:CURRENCY][/PERIOD]")]
    budgets: Vec<Choice>,
    /// Replace another application of the same name
    #[arg(long)]
    force: bool,
}

/// What is said of budgets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    NoLimit,
    Budget(Budget),
}

impl FromStr for Choice {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        if text == "none" { Ok(Choice::NoLimit) } else { text.parse().map(Choice::Budget) }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Untrust {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The application's ticket, or its name as `stnode apps` shows it
    #[arg(long, value_name = "FILE|NAME")]
    app: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Apps {
    /// The node's folder [default: node in $OFFST_HOME or ~/.offst]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Writes what an application may do.
pub(super) fn trust(Trust { dir, app, permissions, budgets, force }: Trust) -> Outcome {
    let folder = existing(dir)?;
    let public_key = files::load_ticket(&app, Ticket::into_app)?;
    let name = name_from(&app)?;
    let trusted = TrustedApps::of(&folder);
    let reading = trusted.read();
    match reading.name_of(public_key) {
        Some(other) if other != name => {
            return Err(Failure::input(format!(
                "this app is trusted under the name \"{other}\" already: say \"stnode untrust --app {other}\" first"
            )));
        }
        // Its owner gives it other permissions.
        Some(_) => {}
        None => files::check_absent(&trusted.file(&name), force)?,
    }
    if reading.faults.contains_key(&name) && budgets.is_empty() && permissions.buyer {
        return Err(Failure::input(format!(
            "the file of the app \"{name}\" cannot be read, and a budget may stand in it: say --budget, or --budget none"
        )));
    }
    let is_bounded = budgets.iter().any(|choice| *choice != Choice::NoLimit);
    if is_bounded && !permissions.buyer {
        return Err(Failure::input("a budget is for an app that may pay: give it the permission buyer, too"));
    }
    let before = reading.trusted.get(&name).filter(|before| before.public_key == public_key);
    let budgets = chosen(budgets, before.map(|before| &before.budgets))?;
    folder.create_inner("trusted")?;
    trusted.put(&name, &TrustedApp { public_key, permissions, budgets })
}

/// The budgets that count from now on. What was spent goes on counting while the application has any budget; to start again,
/// untrust the application and trust it again.
fn chosen(choices: Vec<Choice>, before: Option<&Budgets>) -> Outcome<Budgets> {
    if choices.is_empty() {
        return Ok(before.cloned().unwrap_or_default());
    }
    if choices == [Choice::NoLimit] {
        return Ok(Budgets::default());
    }
    let budgets = choices.into_iter().map(|choice| match choice {
        Choice::Budget(budget) => Ok(budget),
        Choice::NoLimit => Err(Failure::input("\"--budget none\" takes every limit away: give it alone")),
    });
    let since_ms = match before.filter(|before| !before.are_unlimited()) {
        Some(before) => before.since_ms(),
        None => clock::now_ms()?,
    };
    Budgets::new(since_ms, budgets.collect::<Result<_, _>>()?).map_err(Failure::input)
}

/// Removes the file of an application.
pub(super) fn untrust(Untrust { dir, app }: &Untrust) -> Outcome {
    let trusted = TrustedApps::of(&existing(dir.clone())?);
    let path = Path::new(app);
    if path.is_file() {
        let public_key = files::load_ticket(path, Ticket::into_app)?;
        let reading = trusted.read();
        let name = reading
            .name_of(public_key)
            .ok_or_else(|| Failure::input(format!("the app of {app} is not trusted: there is nothing to do")))?;
        return trusted.remove(name);
    }
    // By its name a file can be removed that is damaged, too.
    let is_there = name_from(path).is_ok() && !app.contains('/') && trusted.file(app).symlink_metadata().is_ok();
    if !is_there {
        return Err(Failure::input(format!(
            "there is no ticket \"{app}\", and no trusted app of this name: \"stnode apps\" lists them"
        )));
    }
    trusted.remove(app)
}

/// How the budgets of the applications stand that have some, as far as the database knows: a running node may know more.
fn standings(folder: &Folder, reading: &Reading<TrustedApp>) -> Outcome<BTreeMap<String, Vec<BudgetReport>>> {
    let bounded: Vec<_> = reading.trusted.iter().filter(|(_, app)| !app.budgets.are_unlimited()).collect();
    if bounded.is_empty() {
        return Ok(BTreeMap::new());
    }
    let path = folder.file("db");
    let wrong = |error: StoreError| database_failure(format!("{}: {error}", path.display()), &error);
    let (history, now_ms) = (History::open(&path).map_err(wrong)?, clock::now_ms()?);
    let standing = |(name, app): (&String, &TrustedApp)| {
        Ok((name.clone(), history.budgets(app.public_key, &app.budgets, now_ms).map_err(wrong)?))
    };
    bounded.into_iter().map(standing).collect()
}

/// What programs read of one file of the folder.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum AppDocument {
    Trusted {
        name: String,
        #[serde(serialize_with = "offst_proto::json::text")]
        public_key: PublicKey,
        permissions: Vec<String>,
        #[serde(flatten)]
        budgets: BudgetsReport,
    },
    /// The file cannot be used.
    Faulty { name: String, error: String },
}

/// One application of each kind, for docs/json.md.
#[cfg(test)]
pub(crate) fn example() -> serde_json::Value {
    let budget = BudgetReport { budget: "500".parse().unwrap(), spent: 380, under_way: 20, until_ms: None };
    let shop = AppDocument::Trusted {
        name: "shop".into(),
        public_key: offst_crypto::Identity::from_seed([8; 32]).public_key(),
        permissions: vec!["buyer".into(), "seller".into()],
        budgets: BudgetsReport::from(Some(vec![budget])),
    };
    let broken = AppDocument::Faulty { name: "old".into(), error: "trusted/old.ticket: this is not a ticket".into() };
    serde_json::to_value([shop, broken]).expect("a document is JSON")
}

/// The applications, and behind them the files that cannot be used.
fn documents(reading: &Reading<TrustedApp>, standings: &mut BTreeMap<String, Vec<BudgetReport>>) -> Vec<AppDocument> {
    let words = |permissions: Permissions| -> Vec<String> {
        permissions.to_string().split(',').filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
    };
    let apps = reading.trusted.iter().map(|(name, app)| AppDocument::Trusted {
        name: name.clone(),
        public_key: app.public_key,
        permissions: words(app.permissions),
        budgets: BudgetsReport {
            limited: !app.budgets.are_unlimited(),
            budgets: standings.remove(name).unwrap_or_default(),
        },
    });
    let faults = reading.faults.iter().map(|(name, message)| AppDocument::Faulty {
        name: name.clone(),
        error: Failure::input(message).message().to_owned(),
    });
    apps.chain(faults).collect()
}

/// Prints every file of the folder, those that cannot be used with the reason.
pub(super) fn list(Apps { dir, json }: Apps) -> Outcome {
    let folder = existing(dir)?;
    let reading = TrustedApps::of(&folder).read();
    let mut standings = standings(&folder, &reading)?;
    if json {
        return say(serde_json::to_value(documents(&reading, &mut standings)).map_err(Failure::failed)?);
    }
    let width = reading.trusted.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, app) in &reading.trusted {
        let permissions = match app.permissions.to_string() {
            none if none.is_empty() => "reading only".to_owned(),
            some => some,
        };
        say(format_args!("{name:width$}  {}  {permissions}", app.public_key))?;
        for line in budgets::lines(&standings.remove(name).unwrap_or_default()) {
            say(format_args!("{:width$}  {line}", ""))?;
        }
    }
    for message in reading.faults.values() {
        say(format_args!("not trusted: {}", Failure::input(message).message()))?;
    }
    Ok(())
}
