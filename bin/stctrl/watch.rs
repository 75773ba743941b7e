//! The command `info watch`: the friends, again after every change.

use super::friends_table::friends_table;
use super::output::OutputFormat;
use crate::outcome::Outcome;
use offst_app::App;
use std::io::IsTerminal;
use std::time::Duration;

/// Not every change is an event: what others carry over us, and what the owner sets, is seen by asking again.
const PERIOD: Duration = Duration::from_secs(1);
/// Changes that come together are shown together.
const PAUSE: Duration = Duration::from_millis(200);
/// Takes the cursor home and clears what is below.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

pub(super) async fn run(app: &App, format: OutputFormat) -> Outcome {
    let subscription = app.subscribe().await?;
    let is_live = std::io::stdout().is_terminal();
    let mut event = std::pin::pin!(subscription.next());
    let mut shown = None;
    loop {
        let friends = app.friends().await?;
        if shown.as_ref() != Some(&friends) {
            let table = || friends_table(&friends);
            format
                .print(&friends, || if is_live { format!("{CLEAR}{}", table()) } else { format!("{}\n", table()) })?;
            shown = Some(friends);
        }
        tokio::select! {
            happened = &mut event => {
                happened?;
                event.set(subscription.next());
            }
            () = tokio::time::sleep(PERIOD) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}
