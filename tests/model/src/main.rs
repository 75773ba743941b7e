//! x
use offst_model::friends::Friends;
use offst_model::report::run;
fn main() {
    let which = std::env::args().nth(1).unwrap_or_default();
    let n: usize = std::env::args().nth(2).and_then(|n| n.parse().ok()).unwrap_or(0);
    let b = Friends::default();
    use offst_model::distrust::Distrust;
    use offst_model::liar::Repertoire;
    let r = Repertoire { requests: vec![0], amounts: vec![1, 3], limits: vec![], forges: false };
    let d = Distrust {
        honest: 0,
        pays: [Some(1), None],
        limits: [2, 2],
        signs_at_once: false,
        statements: 4,
        resumes: 0,
        repertoire: r.clone(),
        rules: Default::default(),
    };
    use offst_model::chain::*;
    let k = n;
    let c = Chain::default();
    let c = match which.as_str() {
        "c1" => Some(c),
        "c1c" => Some(Chain { crashes: 1, ..c }),
        "c1f" => Some(Chain { in_flight: 1, ..c }),
        "c2z" => Some(Chain { payments: 2, in_flight: 0, ..c }),
        "cm3" => Some(Chain { liars: vec![MEDIATOR], in_flight: 0, statements: 6, ..c }),
        "cbs4" => Some(Chain { liars: vec![BUYER, SELLER], in_flight: 0, statements: 4, ..c }),
        "cbs6" => Some(Chain { liars: vec![BUYER, SELLER], in_flight: 0, statements: 6, ..c }),
        "cbs42" => Some(Chain { liars: vec![BUYER, SELLER], in_flight: 0, statements: 4, resumes: 2, ..c }),
        "cbs53a" => {
            Some(Chain { liars: vec![BUYER, SELLER], in_flight: 0, statements: 4, resumes: 3, accepts: 1, ..c })
        }
        "cbsa" => Some(Chain { liars: vec![BUYER, SELLER], in_flight: 0, statements: 2, resumes: 2, accepts: 1, ..c }),
        "cbsb" => Some(Chain {
            smaller_keys: [0, 1],
            liars: vec![BUYER, SELLER],
            in_flight: 0,
            statements: 3,
            resumes: 2,
            accepts: 1,
            ..c
        }),
        "cbfix" => Some(Chain {
            smaller_keys: [0, 1],
            liars: vec![BUYER, SELLER],
            in_flight: 0,
            statements: 3,
            resumes: 2,
            accepts: 1,
            rules: offst_model::rules::Rules::AcceptanceWaits,
            ..c
        }),
        "cb" => Some(Chain { liars: vec![BUYER], in_flight: 0, statements: 3, ..c }),
        "cs" => Some(Chain { liars: vec![SELLER], in_flight: 0, statements: 3, ..c }),
        _ => None,
    };
    if let (Some(c), true) = (&c, n > 0) {
        rep(c, n);
        return;
    }
    if let Some(c) = c {
        run(&which, c, 2);
        return;
    }
    if which.starts_with('d') {
        let n = which.as_bytes()[2] - b'0';
        let m = which.as_bytes()[3] - b'0';
        let x = match which.as_bytes()[1] {
            b'a' => d,
            b'b' => Distrust { signs_at_once: true, ..d },
            b'c' => Distrust {
                signs_at_once: true,
                repertoire: Repertoire { requests: vec![0, 1], limits: vec![0], ..r },
                ..d
            },
            b'd' => Distrust { signs_at_once: true, repertoire: Repertoire { forges: true, ..r }, ..d },
            _ => panic!(),
        };
        let d = Distrust { statements: n, resumes: m, ..x };
        if k > 0 {
            rep(&d, k);
            return;
        }
        run(&which, d, 2);
        return;
    }
    let m = match which.as_str() {
        "a" => b,
        "one" => Friends { payments: vec![(0, 2)], ..b },
        "onecrash" => Friends { payments: vec![(0, 2)], crashes: 1, ..b },
        "crash" => Friends { crashes: 1, ..b },
        "stop" => Friends { payments: vec![(0, 2)], stops: 1, accepts: 1, ..b },
        "stop2" => Friends { payments: vec![(0, 2)], stops: 2, accepts: 2, ..b },
        "limit" => Friends { lowered: Some((1, 1)), ..b },
        "meet" => Friends { payments: vec![(0, 1)], balances: [1, 1], have_met: false, accepts: 2, crashes: 1, ..b },
        "f1" => Friends { in_flight: 1, ..b },
        "f1crash" => Friends { in_flight: 1, crashes: 1, ..b },
        "f1limit" => Friends { in_flight: 1, lowered: Some((1, 1)), ..b },
        "f1same" => {
            Friends { in_flight: 1, payments: vec![(0, 2), (0, 1)], lowered: Some((1, 1)), limits: [2, 3], ..b }
        }
        "f1stop" => Friends { in_flight: 1, stops: 1, accepts: 1, ..b },
        "stop2r" => Friends { payments: vec![(0, 2)], stops: 2, accepts: 2, smaller_key: 1, ..b },
        "fix" => Friends {
            payments: vec![(0, 2)],
            stops: 2,
            accepts: 2,
            smaller_key: 0,
            rules: offst_model::rules::Rules::AcceptanceWaits,
            ..b
        },
        "fixm" => Friends {
            payments: vec![(0, 1)],
            balances: [1, 1],
            have_met: false,
            accepts: 2,
            crashes: 1,
            rules: offst_model::rules::Rules::AcceptanceWaits,
            ..b
        },
        "fixr" => Friends {
            payments: vec![(0, 2)],
            stops: 2,
            accepts: 2,
            smaller_key: 1,
            rules: offst_model::rules::Rules::AcceptanceWaits,
            ..b
        },
        "f2" => Friends { in_flight: 2, ..b },
        _ => panic!(),
    };
    if n > 0 {
        rep(&m, n);
        return;
    }
    run(&which, m, 2);
}

fn rep<M: offst_model::play::Staged<State: Clone + Eq + std::hash::Hash, Action: Clone + std::fmt::Debug>>(
    m: &M,
    n: usize,
) {
    let t = std::time::Instant::now();
    match offst_model::replay::replay_all(m, n) {
        Ok(r) => println!("{r:?} {:?}", t.elapsed()),
        Err(e) => println!("{e}"),
    }
    match offst_model::replay::replay_walks(m, 2000, 100) {
        Ok(r) => println!("{r:?} {:?}", t.elapsed()),
        Err(e) => println!("{e}"),
    }
}
