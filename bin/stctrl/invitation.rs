//! Becoming friends by two lines of text: an invitation, and the answer of the node that accepts it.

use super::arguments::{balance, name};
use super::connection::Connection;
use super::drawing::drawing;
use super::output::OutputFormat;
use crate::outcome::{Failure, Outcome};
use offst_app::{App, NewFriend};
use offst_crypto::{Identity, PublicKey};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::invitation::{Invitation, InvitationAnswer, InvitationText};
use offst_proto::report::{AccountStatus, FriendReport};
use offst_proto::ticket::FriendTicket;
use serde::Serialize;

#[derive(Debug, clap::Args)]
pub(super) struct Invite {
    /// What the friend owes you at the start; negative if you owe the friend
    #[arg(long, value_parser = balance)]
    balance: i128,
    /// How much the friend may owe you
    #[arg(long)]
    max_debt: Amount,
    /// The currency
    #[arg(long, default_value_t)]
    currency: Currency,
    /// Also draw the invitation as a QR code
    #[arg(long)]
    qr: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Accept {
    /// The invitation of a friend, or the answer to yours
    #[arg(value_parser = line)]
    text: InvitationText,
    /// How much the friend may owe you [default: what your invitation offered; 0 for an invitation of the friend]
    #[arg(long)]
    max_debt: Option<Amount>,
    /// Your name for the friend [default: the first characters of its key]
    #[arg(short, long, value_parser = name)]
    name: Option<String>,
    /// Also draw the answer as a QR code
    #[arg(long)]
    qr: bool,
}

/// One of the two lines of text.
pub(super) fn line(text: &str) -> Result<InvitationText, String> {
    InvitationText::from_text(text).map_err(|error| error.to_string())
}

/// Prints an invitation.
pub(super) fn invite(
    Invite { balance, max_debt, currency, qr }: Invite,
    connection: &Connection,
    format: OutputFormat,
) -> Outcome {
    connection.run_as(async |app, identity| {
        let ticket = own_ticket(&app).await?;
        let text = InvitationText::Invitation(Invitation::new(ticket, currency.clone(), balance, max_debt, identity))
            .to_text();
        let drawing = if qr && format == OutputFormat::Text { drawing(&text)? } else { String::new() };
        let document = InvitationDocument { text: text.clone(), currency, balance, max_debt };
        format.print(&document, || format!("{text}\n{drawing}"))
    })
}

/// Adds the friend that an invitation or an answer comes from; prints the answer to an invitation.
pub(super) fn accept(accept: Accept, connection: &Connection, format: OutputFormat) -> Outcome {
    connection.run_as(async |app, identity| match &accept.text {
        InvitationText::Invitation(invitation) => accept_invitation(invitation, &accept, &app, format).await,
        InvitationText::Answer(answer) => accept_answer(answer, &accept, &app, identity, format).await,
    })
}

async fn own_ticket(app: &App) -> Outcome<FriendTicket> {
    let contact = app.contact().await?;
    Ok(FriendTicket { public_key: contact.public_key, relays: contact.relays, address: contact.address })
}

async fn accept_invitation(invitation: &Invitation, accept: &Accept, app: &App, format: OutputFormat) -> Outcome {
    if invitation.ticket.public_key == app.node() {
        return Err(Failure::input(
            "this is an invitation of your own node: give it to your friend, and accept the answer that comes back",
        ));
    }
    let friends = app.friends().await?;
    let mut new = NewFriend {
        name: name_for(invitation.ticket.public_key, accept, &friends),
        ticket: invitation.ticket.clone(),
        balance: -invitation.balance,
        currency: invitation.currency.clone(),
        max_debt: accept.max_debt.unwrap_or(0.into()),
        open: true,
    };
    match waiting(&new, &friends) {
        // The answer may have been lost.
        Some(max_debt) if accept.max_debt.is_none_or(|wanted| wanted == max_debt) => new.max_debt = max_debt,
        _ => app.add_friend(&new).await?,
    }
    let text = InvitationText::Answer(invitation.answer(own_ticket(app).await?, new.max_debt)).to_text();
    let drawing = if accept.qr && format == OutputFormat::Text { drawing(&text)? } else { String::new() };
    format.print(&FriendDocument::new(&new, invitation.max_debt, Some(text.clone())), || {
        let terms = terms(&new, invitation.max_debt);
        format!("{text}\n{drawing}{terms}Give the line above to your friend: nothing is agreed before it is accepted there.\n")
    })
}

async fn accept_answer(
    answer: &InvitationAnswer,
    accept: &Accept,
    app: &App,
    identity: &Identity,
    format: OutputFormat,
) -> Outcome {
    if answer.terms.inviter != app.node() {
        return Err(Failure::input("this answers the invitation of another node: it is for the node that has invited"));
    }
    if !answer.is_to(identity) {
        return Err(Failure::input(
            "this does not answer an invitation that was made with this application: its terms were changed, or another \
             application has made it (-I)",
        ));
    }
    let new = NewFriend {
        name: name_for(answer.ticket.public_key, accept, &app.friends().await?),
        ticket: answer.ticket.clone(),
        balance: answer.terms.balance,
        currency: answer.terms.currency.clone(),
        max_debt: accept.max_debt.unwrap_or(answer.terms.max_debt),
        open: true,
    };
    app.add_friend(&new).await?;
    format.print(&FriendDocument::new(&new, answer.max_debt, None), || terms(&new, answer.max_debt))
}

/// The name that was given, the one that the friend has, or the beginning of its key.
fn name_for(key: PublicKey, accept: &Accept, friends: &[FriendReport]) -> String {
    let known = || friends.iter().find(|friend| friend.public_key == key).map(|friend| friend.name.clone());
    accept.name.clone().or_else(known).unwrap_or_else(|| format!("friend-{}", &key.to_string()[..8]))
}

/// What the friend may owe on the same account, when it was added before and the friend has not answered.
fn waiting(new: &NewFriend, friends: &[FriendReport]) -> Option<Amount> {
    let friend = friends.iter().find(|friend| friend.public_key == new.ticket.public_key && friend.name == new.name)?;
    let account = friend.accounts.iter().find(|account| account.currency == new.currency)?;
    (account.status == AccountStatus::Waiting && account.balance == new.balance).then_some(account.remote_max_debt)
}

/// What programs read of an invitation that was made.
#[derive(Debug, Serialize)]
pub(super) struct InvitationDocument {
    pub(super) text: String,
    pub(super) currency: Currency,
    #[serde(serialize_with = "offst_proto::json::text")]
    pub(super) balance: i128,
    pub(super) max_debt: Amount,
}

/// What programs read of a friend that was added.
#[derive(Debug, Serialize)]
pub(super) struct FriendDocument {
    name: String,
    #[serde(serialize_with = "offst_proto::json::text")]
    public_key: PublicKey,
    currency: Currency,
    #[serde(serialize_with = "offst_proto::json::text")]
    balance: i128,
    /// What the friend says that it lets us owe.
    local_max_debt: Amount,
    remote_max_debt: Amount,
    /// The line for the friend, after an invitation was accepted.
    answer: Option<String>,
}

impl FriendDocument {
    pub(super) fn new(new: &NewFriend, local_max_debt: Amount, answer: Option<String>) -> Self {
        FriendDocument {
            name: new.name.clone(),
            public_key: new.ticket.public_key,
            currency: new.currency.clone(),
            balance: new.balance,
            local_max_debt,
            remote_max_debt: new.max_debt,
            answer,
        }
    }
}

fn terms(new: &NewFriend, local_max_debt: Amount) -> String {
    let NewFriend { name, balance, currency, max_debt, .. } = new;
    let owes = match balance.signum() {
        1 => format!("it owes you {balance} {currency}"),
        -1 => format!("you owe it {} {currency}", balance.unsigned_abs()),
        _ => format!("neither owes the other any {currency}"),
    };
    format!("{name} is added: {owes}; it may owe you up to {max_debt}, and you it up to {local_max_debt}.\n")
}

/// What programs read of a line that was checked.
#[derive(Debug, Serialize)]
pub(super) struct OfferDocument {
    valid: bool,
    kind: &'static str,
    #[serde(serialize_with = "offst_proto::json::text")]
    public_key: PublicKey,
    #[serde(serialize_with = "offst_proto::json::text")]
    inviter: PublicKey,
    currency: Currency,
    #[serde(serialize_with = "offst_proto::json::text")]
    balance: i128,
    max_debt: Amount,
}

impl From<&InvitationText> for OfferDocument {
    fn from(text: &InvitationText) -> Self {
        let (kind, ticket, terms) = match text {
            InvitationText::Invitation(invitation) => ("invitation", &invitation.ticket, invitation.terms()),
            InvitationText::Answer(answer) => ("answer", &answer.ticket, answer.terms.clone()),
        };
        OfferDocument {
            valid: true,
            kind,
            public_key: ticket.public_key,
            inviter: terms.inviter,
            currency: terms.currency,
            balance: terms.balance,
            max_debt: terms.max_debt,
        }
    }
}

/// The command `verify invitation`: what a line of text offers.
pub(super) fn verify(text: &InvitationText, format: OutputFormat) -> Outcome {
    let document = OfferDocument::from(text);
    let OfferDocument { public_key, inviter, currency, balance, max_debt, .. } = &document;
    format.print(&document, || {
        let owes = match balance.signum() {
            1 => format!("the one who accepts owes the inviter {balance} {currency}"),
            -1 => format!("the inviter owes {} {currency} to the one who accepts", balance.unsigned_abs()),
            _ => format!("neither owes the other any {currency}"),
        };
        let head = match text {
            InvitationText::Invitation(_) => format!("This is an invitation of {inviter}."),
            InvitationText::Answer(answer) => format!(
                "This is the answer of {public_key} to an invitation of {inviter}.\nThe one who accepted lets the inviter owe up to {}.",
                answer.max_debt
            ),
        };
        format!("{head}\nTo begin with, {owes}.\nThe inviter lets the one who accepts owe up to {max_debt}.\n")
    })
}
