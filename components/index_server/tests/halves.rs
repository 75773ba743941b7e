//! Two servers that each have seen one half of a network become equal, over real sockets. The measured run with a
//! hundred thousand nodes is the example `halves`.

#[path = "../examples/halves/network.rs"]
mod network;

#[tokio::test]
async fn two_halves_become_equal_and_only_what_differs_is_sent() {
    let report = network::run(2000).await;
    println!(
        "equal after {:.2} s, {:.2} s of a core, of which signatures are {:.2} s, and {} bytes; \
         one change after a reconnect: {:.3} s and {} bytes",
        report.seconds,
        report.cpu_seconds,
        report.signatures_cpu_seconds,
        report.bytes,
        report.seconds_for_one_change,
        report.bytes_for_one_change
    );
    assert_eq!((report.nodes, report.edges, report.updates), (2000, 20_001, 2000));
    // Digests and names beside what has to be sent anyway.
    assert!(report.bytes < report.bytes_missing * 5 / 4, "{report:?}");
    // All digests have 32 kB.
    assert!(report.bytes_for_one_change < 40_000, "{report:?}");
}
