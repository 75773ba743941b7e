//! placeholder
use offst_simulator::economy::{Options, TrustNetwork, live};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let network = TrustNetwork::read(args[1].as_ref()).unwrap();
    let minutes = args[2].parse().unwrap();
    let rate = args[3].parse().unwrap();
    let clearing = args[4].contains('c');
    let rebalancing = args[4].contains('r');
    let start = Instant::now();
    let outcome = live(&network, Options { minutes, payments_per_hour: rate, clearing, rebalancing, ..Options::default() }, &mut |p| if p % 100 == 0 {eprintln!("{p} {:?}", start.elapsed())});
    println!("{:?} deals {} possible {} paid_of_possible {} paid {} success {:.2} of findable {:.2}", start.elapsed(), outcome.deals.len(), outcome.possible(), outcome.paid_of_possible(), outcome.paid(), outcome.success_percent(), outcome.success_of_findable_percent());
    for (f,n) in outcome.failures() { println!("{n} {}", f.name()); }
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for d in outcome.deals.iter().filter(|d| matches!(d.failure, Some(f) if f != offst_simulator::economy::Failure::Impossible)) {
        let r: String = d.reason.split_whitespace().filter(|w| !w.contains("...") && !w.contains("person") && !w.chars().any(|c| c.is_ascii_digit())).collect::<Vec<_>>().join(" ");
        *reasons.entry(format!("{:?} {r}", d.failure.unwrap())).or_default() += 1;
    }
    for (r,n) in reasons { println!("   {n} {r}"); }
    println!("parts {:?} attempts {:?} fees {:?} took {:?}", outcome.spread(|d| d.parts.into()), outcome.spread(|d| d.attempts.into()), outcome.spread(|d| d.fees), outcome.spread(|d| d.took_ms.into()));
    println!("rebalancings {} {} {} clearings {} {} index {:?} frames {} underway {}", outcome.rebalancings, outcome.rebalanced, outcome.rebalancing_fees, outcome.clearings, outcome.cleared, outcome.index_load, outcome.frames, outcome.most_underway);
    for s in &outcome.samples { println!("{} exhausted {:.1} use {:.1} indebted {:.1} debts {} possible {:.1} success {:.2}", s.at_ms/60000, s.exhausted_percent, s.use_percent, s.indebted_percent, s.debts, s.possible_percent(), s.success_percent()); }
    println!("{}", outcome.digest);
}
