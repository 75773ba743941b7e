//! The table of `info friends`, as the announcement of Offst shows it.

use super::table::Table;
use offst_proto::Currency;
use offst_proto::report::{AccountReport, AccountStatus, FriendReport};

/// All friends, one block each.
pub(super) fn friends_table(friends: &[FriendReport]) -> String {
    let mut table = Table::new(["st", "name", "balance"]);
    for friend in friends {
        let state = [if friend.enabled { 'E' } else { 'D' }, if friend.online { '+' } else { '-' }];
        let state: String = state.iter().collect();
        let lines = balance_lines(friend);
        table.row([&state, &friend.name, lines.first().map_or("", String::as_str)]);
        for line in lines.iter().skip(1) {
            table.row(["", "", line]);
        }
    }
    table.to_text()
}

fn balance_lines(friend: &FriendReport) -> Vec<String> {
    let is_plain = matches!(&friend.accounts[..], [line] if line.currency.as_str() == Currency::DEFAULT_NAME);
    let mut lines = Vec::new();
    for line in &friend.accounts {
        if !is_plain {
            lines.push(format!("{}:", line.currency));
        }
        lines.extend(account_lines(line));
    }
    lines
}

fn account_lines(line: &AccountReport) -> Vec<String> {
    let open = |is_open| if is_open { '+' } else { '-' };
    let requests = format!("LR={}, RR={}", open(line.local_open), open(line.remote_open));
    let mut lines = match &line.status {
        AccountStatus::Consistent => vec![format!("C: {requests}")],
        AccountStatus::Waiting => vec![format!("W: {requests}")],
        AccountStatus::Inconsistent { local_balance, remote_balance, .. } => vec![
            format!("I: {requests}"),
            format!("I: local  B={local_balance}"),
            format!("I: remote B={}", remote_balance.map_or("?".to_owned(), |balance| balance.to_string())),
        ],
    };
    lines.extend([
        format!("B  ={}", line.balance),
        format!("LMD={}", line.local_max_debt),
        format!("RMD={}", line.remote_max_debt),
        format!("LPD={}", line.local_pending_debt),
        format!("RPD={}", line.remote_pending_debt),
    ]);
    // Somebody must do something about these.
    let what = |written_off| if written_off { "WRITTEN OFF" } else { "OVERDUE" };
    lines.extend(line.overdue.iter().map(|request| format!("{}={}", what(request.written_off), request.amount)));
    lines
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use offst_crypto::Identity;
    use offst_proto::report::OverdueReport;
    use offst_proto::{Rate, RequestId};

    pub(in crate::stctrl) fn line(currency: &str) -> AccountReport {
        AccountReport {
            currency: currency.parse().unwrap(),
            status: AccountStatus::Consistent,
            balance: 100,
            local_max_debt: 150.into(),
            remote_max_debt: 200.into(),
            local_pending_debt: 0,
            remote_pending_debt: 0,
            local_open: true,
            remote_open: true,
            rate: Rate { mul: 7, add: 1.into() },
            overdue: vec![],
            auto_write_off: None,
        }
    }

    pub(in crate::stctrl) fn friend(name: &str, accounts: Vec<AccountReport>) -> FriendReport {
        FriendReport {
            name: name.into(),
            public_key: Identity::from_seed([1; 32]).public_key(),
            enabled: true,
            online: true,
            direct: false,
            relays: vec![],
            address: None,
            accounts,
        }
    }

    #[test]
    fn the_announcements_table() {
        let expected = "\
            | st | name  | balance       |\n\
            | E+ | node1 | C: LR=+, RR=+ |\n\
            |    |       | B  =100       |\n\
            |    |       | LMD=150       |\n\
            |    |       | RMD=200       |\n\
            |    |       | LPD=0         |\n\
            |    |       | RPD=0         |\n";
        assert_eq!(friends_table(&[friend("node1", vec![line("credit")])]), expected);
    }

    #[test]
    fn two_currencies_and_several_friends() {
        let closed = AccountReport { balance: -5, local_open: false, remote_open: false, ..line("credit") };
        let offline = FriendReport { online: false, ..friend("a", vec![closed, line("hours")]) };
        let other = FriendReport { enabled: false, ..friend("a longer name", vec![line("hours")]) };
        let expected = "\
            | st | name          | balance       |\n\
            | E- | a             | credit:       |\n\
            |    |               | C: LR=-, RR=- |\n\
            |    |               | B  =-5        |\n\
            |    |               | LMD=150       |\n\
            |    |               | RMD=200       |\n\
            |    |               | LPD=0         |\n\
            |    |               | RPD=0         |\n\
            |    |               | hours:        |\n\
            |    |               | C: LR=+, RR=+ |\n\
            |    |               | B  =100       |\n\
            |    |               | LMD=150       |\n\
            |    |               | RMD=200       |\n\
            |    |               | LPD=0         |\n\
            |    |               | RPD=0         |\n\
            | D+ | a longer name | hours:        |\n\
            |    |               | C: LR=+, RR=+ |\n\
            |    |               | B  =100       |\n\
            |    |               | LMD=150       |\n\
            |    |               | RMD=200       |\n\
            |    |               | LPD=0         |\n\
            |    |               | RPD=0         |\n";
        assert_eq!(friends_table(&[offline, other]), expected);
    }

    #[test]
    fn what_somebody_must_look_at() {
        let inconsistent = |remote_balance| AccountStatus::Inconsistent {
            local_balance: 10,
            remote_balance,
            reason: "the balances differ".into(),
        };
        let overdue =
            vec![OverdueReport { request_id: RequestId::from_bytes([1; 16]), amount: 40.into(), written_off: false }];
        let cases = [
            (AccountStatus::Waiting, vec!["W: LR=+, RR=+", "B  =100"]),
            (inconsistent(Some(7)), vec!["I: LR=+, RR=+", "I: local  B=10", "I: remote B=7", "B  =100"]),
            (inconsistent(None), vec!["I: LR=+, RR=+", "I: local  B=10", "I: remote B=?", "B  =100"]),
        ];
        for (status, expected) in cases {
            let line = AccountReport { status, overdue: overdue.clone(), ..line("credit") };
            let lines = account_lines(&line);
            assert_eq!(lines[..expected.len()], expected);
            assert_eq!(lines.last().unwrap(), "OVERDUE=40");
        }
    }

    #[test]
    fn a_friend_without_an_account_and_a_hostile_name() {
        let table = friends_table(&[friend("\u{1b}[2J\n|", vec![])]);
        assert_eq!(table, "| st | name   | balance |\n| E+ | \u{fffd}[2J\u{fffd}| |         |\n");
        assert_eq!(friends_table(&[]), "| st | name | balance |\n");
    }
}
