//! Reads the memory that many changes will need before the first of them is made.
//!
//! A change of a large graph waits for memory some twenty times: for the numbers of both nodes, for where their lists are,
//! for the lists. One after the other that is most of its time. Here each of these reads is made for a batch of changes, and
//! none of a kind needs the result of another, so the processor waits for all of them at once. Nothing is decided here: a
//! change finds in the cache what it looks for, or it does not.

use super::currency_graph::CurrencyGraph;
use offst_crypto::PublicKey;

/// Reads what is known of these nodes, each in the graph beside it.
pub(crate) fn prefetch(nodes: &[(&CurrencyGraph, &PublicKey)]) {
    let slots: Vec<_> = nodes.iter().map(|(graph, key)| graph.numbers().read_slot(key)).collect();
    nodes.iter().zip(slots).for_each(|((graph, _), number)| graph.numbers().read_key(number));
    let numbers = nodes.iter().filter_map(|(graph, key)| Some((graph, graph.number(key)?)));
    let numbers: Vec<_> = numbers.collect();
    numbers.iter().for_each(|(graph, number)| graph.read_heads(*number));
    numbers.iter().for_each(|(graph, number)| graph.read_lists(*number));
}
