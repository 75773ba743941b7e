use super::*;
use crate::test_servers::{Running, edge, key, signed, soon, wait_until};
use offst_proto::Amount;
use offst_proto::Currency;
use offst_proto::index::{Answer, EXCLUDED_MAX, Exclusion, Hop};
use offst_secure_channel::{HandshakeLimits, KeepaliveConfig};

#[tokio::test]
async fn updates_that_are_not_taken_are_answered_and_counted() {
    let server = Running::start(Limits { updates_per_second: 3, ..Limits::default() }).await;
    let (mut one, two) = (server.node(1).await, server.node(2).await);
    let soon = unix_ms() + 600_000;
    let update = one.update(7, soon);
    assert_eq!(one.publish(update.wire()).await, UpdateOutcome::Accepted { newest: 7 });
    assert_eq!(one.publish(update.wire()).await, UpdateOutcome::Stale { newest: 7 });
    let mut forged = one.update(8, soon).wire().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(one.refusal(&forged).await, UpdateRefusal::Signature);
    assert_eq!(one.refusal(two.update(1, soon).wire()).await, UpdateRefusal::OtherNode);
    assert_eq!(one.refusal(one.update(9, 1).wire()).await, UpdateRefusal::Expired);
    assert_eq!(one.refusal(one.update(9, soon + 3_600_000).wire()).await, UpdateRefusal::TooFarAhead);
    let mut refusals = 0;
    // The bucket holds six and refills: in the end one is refused for coming too often.
    while one.refusal(&forged).await != UpdateRefusal::TooOften {
        refusals += 1;
    }
    let counted = server.counters.snapshot();
    assert_eq!((counted.updates_accepted, counted.updates_stale), (1, 1));
    assert_eq!((counted.updates_forged, counted.updates_expired), (2 + refusals, 2));
    assert_eq!((counted.updates_over_quota, counted.nodes, counted.edges), (1, 1, 1));
    server.stop().await;
}

#[tokio::test]
async fn garbage_closes_only_the_connection_it_came_by() {
    let server = Running::start(Limits::default()).await;
    let mut good = server.node(1).await;
    let query = Query { id: 5, ..Query::new(Currency::default(), 10.into(), key(1), key(2)) };
    for garbage in [vec![], vec![0; 100], vec![0xff; 1000], NodeToIndex::Update(vec![1; 90]).to_frame()] {
        let mut bad = server.node(3).await;
        bad.writer.send(&garbage).await.unwrap();
        assert_eq!(bad.receive().await, None);
        good.send(NodeToIndex::Query(query.clone())).await;
        assert_eq!(good.receive().await, Some(IndexToNode::Answer(Answer { id: 5, routes: vec![], cut: false })));
    }
    // A frame above the bound: the length alone ends it.
    let mut bad = server.node(3).await;
    bad.writer = FrameWriter::new(bad.writer.into_inner(), usize::MAX);
    let _ = bad.writer.send(&vec![0; INDEX_FRAME_BYTES_MAX + 1]).await;
    assert_eq!(bad.receive().await, None);
    good.send(NodeToIndex::Query(query)).await;
    assert!(good.receive().await.is_some());
    assert_eq!(server.counters.snapshot().garbage, 5);
    server.stop().await;
}

#[tokio::test]
async fn a_node_that_asks_too_often_is_told_and_others_are_not_slowed() {
    let server = Running::start(Limits { queries_per_second: 1, ..Limits::default() }).await;
    let (mut greedy, mut other) = (server.node(1).await, server.node(2).await);
    let query = |id| NodeToIndex::Query(Query { id, ..Query::new(Currency::default(), 10.into(), key(1), key(2)) });
    let mut id = 0;
    loop {
        greedy.send(query(id)).await;
        match greedy.receive().await {
            Some(IndexToNode::Busy(busy)) if busy == id => break,
            Some(IndexToNode::Answer(answer)) if answer.id == id => id += 1,
            unexpected => panic!("{unexpected:?}"),
        }
    }
    assert!(id >= 2);
    other.send(query(0)).await;
    assert!(matches!(other.receive().await, Some(IndexToNode::Answer(_))));
    assert_eq!(server.counters.snapshot().queries_busy, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_second_connection_takes_over_and_surplus_is_closed() {
    let server = Running::start(Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = server.node(1).await;
    first.send(NodeToIndex::Update(first.update(1, soon()).wire().to_vec())).await;
    assert!(first.receive().await.is_some());
    let mut surplus = server.node(2).await;
    assert_eq!(surplus.receive().await, None);
    let mut second = server.node(1).await;
    assert_eq!(first.receive().await, None);
    let outcome = second.publish(second.update(2, soon()).wire()).await;
    assert_eq!(outcome, UpdateOutcome::Accepted { newest: 2 });
    server.stop().await;
}

#[tokio::test]
async fn silence_is_answered_with_keepalives() {
    let keepalive = KeepaliveConfig { keepalive_ms: 20, idle_timeout_ms: 600_000 };
    let server = Running::start(Limits { keepalive, ..Limits::default() }).await;
    let mut silent = server.node(1).await;
    for _ in 0..3 {
        assert_eq!(silent.receive().await, Some(IndexToNode::Keepalive));
    }
    server.stop().await;
}

#[tokio::test]
async fn long_silence_is_ended() {
    let keepalive = KeepaliveConfig { keepalive_ms: 20, idle_timeout_ms: 100 };
    let server = Running::start(Limits { keepalive, ..Limits::default() }).await;
    let mut silent = server.node(1).await;
    while let Some(message) = silent.receive().await {
        assert_eq!(message, IndexToNode::Keepalive);
    }
    assert_eq!(server.counters.snapshot().garbage, 0);
    server.stop().await;
}

/// Many connections of one address get no more than one.
#[tokio::test]
async fn a_thousand_hostile_queries_are_refused_and_an_honest_one_is_answered() {
    let limits = Limits { queries_per_second: 1000, queries_per_second_per_address: 2, ..Limits::default() };
    let server = Running::start(limits).await;
    let mut honest = server.node(1).await;
    let started = std::time::Instant::now();
    let mut hostile = Vec::new();
    for seed in 10..20 {
        hostile.push(server.node_at(seed, "127.0.0.2").await);
    }
    let mut answered = 0;
    for round in 0..100 {
        for node in &mut hostile {
            answered += u64::from(node.ask(1, 2).await.is_some());
        }
        if round == 50 {
            assert!(honest.ask(1, 2).await.is_some());
        }
    }
    let allowed = 2 * (started.elapsed().as_secs() + 1) + 4;
    assert!(answered <= allowed, "{answered} instead of {allowed}");
    let counted = server.counters.snapshot();
    assert_eq!((counted.queries, counted.queries_busy), (answered + 1, 1000 - answered));
    server.stop().await;
}

/// Keys cost nothing, so they count by the address they come from; and nobody can lead others over edges that the other
/// end does not publish.
#[tokio::test]
async fn edges_of_fresh_keys_are_bounded_and_lead_nowhere() {
    let limits = Limits { nodes_per_address_max: 10, edges_per_address_max: 50, ..Limits::default() };
    let server = Running::start(limits).await;
    let (mut one, mut two) = (server.node(1).await, server.node(2).await);
    one.befriend(1, &[2]).await;
    let mut refused = 0;
    for seed in 100..140 {
        let mut fresh = server.node_at(seed, "127.0.0.2").await;
        let edges: Vec<_> = (1..10).map(|friend| edge(friend, 1000)).collect();
        match fresh.publish(signed(seed, 1, soon(), edges).wire()).await {
            UpdateOutcome::Refused { reason: UpdateRefusal::AddressQuota, .. } => refused += 1,
            outcome => assert_eq!(outcome, UpdateOutcome::Accepted { newest: 1 }),
        }
    }
    // Five with nine edges each fill the share of 50.
    assert_eq!(refused, 35);
    assert_eq!(server.counters.snapshot().updates_over_quota, 35);
    two.befriend(1, &[1, 3]).await;
    assert_eq!(server.counters.snapshot().edges, 45 + 3);
    assert_eq!(one.ask(1, 100).await.map(|answer| answer.routes), Some(vec![]));
    assert_eq!(one.ask(1, 2).await.map(|answer| answer.routes.len()), Some(1));
    server.stop().await;
}

/// Everything at once from one address: the longest queries sent without reading an answer, garbage, frames that claim
/// to be huge, and edges signed by fresh keys. What is kept of it stays within the quota of one address, and a node
/// that asks from another one is answered every time.
#[tokio::test]
async fn whatever_a_hostile_address_does_memory_is_bounded_and_others_are_answered() {
    let limits = Limits {
        connections_per_address_max: 12,
        nodes_per_address_max: 5,
        edges_per_address_max: 30,
        queries_per_second: 10_000,
        queries_per_second_per_address: 10_000,
        queries_waiting_max: 8,
        queries_waiting_per_address_max: 4,
        ..Limits::default()
    };
    let server = Arc::new(Running::start(limits).await);
    let mut honest = server.node(1).await;
    honest.befriend(1, &[2]).await;
    server.node(2).await.befriend(1, &[1, 3]).await;
    server.node(3).await.befriend(1, &[2]).await;
    let mut hostile = tokio::task::JoinSet::new();
    for seed in 10..14 {
        let mut node = server.node_at(seed, "127.0.0.2").await;
        let longest = Query {
            excluded_edges: vec![Exclusion::whole(Hop { from: key(1), to: key(3) }); EXCLUDED_MAX],
            excluded_nodes: vec![key(4); EXCLUDED_MAX],
            ..Query::new(Currency::default(), Amount::capped(u128::MAX >> 32), key(1), key(3))
        };
        hostile.spawn(async move {
            loop {
                // Ends when the server stops.
                node.send(NodeToIndex::Query(longest.clone())).await;
            }
        });
    }
    let place = server.clone();
    hostile.spawn(async move {
        for seed in (100..=250).cycle() {
            let mut fresh = place.node_at(seed, "127.0.0.2").await;
            if seed % 5 == 0 {
                fresh.writer = FrameWriter::new(fresh.writer.into_inner(), usize::MAX);
                let _ = fresh.writer.send(&vec![seed; INDEX_FRAME_BYTES_MAX + usize::from(seed % 2)]).await;
            } else {
                let edges = (1..10).map(|friend| edge(friend, 1000)).collect();
                let update = signed(seed, unix_ms(), soon(), edges);
                fresh.send(NodeToIndex::Update(update.wire().to_vec())).await;
            }
            // Its end, or what became of the update.
            fresh.receive().await;
        }
    });
    let is_under_attack = || {
        let counted = server.counters.snapshot();
        counted.garbage >= 2 && counted.updates_over_quota >= 3 && counted.queries > 50
    };
    let mut asked = 0;
    while asked < 20 || !is_under_attack() {
        assert_eq!(honest.ask(1, 3).await.map(|answer| answer.routes.len()), Some(1), "query {asked}");
        asked += 1;
        let counted = server.counters.snapshot();
        assert!(counted.queries_waiting <= 8 && counted.connections_open <= 1 + 2 + 12, "{counted:?}");
        assert!(counted.nodes <= 3 + 5 && counted.edges <= 4 + 30, "{counted:?}");
    }
    hostile.shutdown().await;
    Arc::into_inner(server).unwrap().stop().await;
}

/// The bound on handshakes counts by address, so silent connections do not keep others out, and the operator sees it.
#[tokio::test]
async fn silent_connections_are_counted_and_keep_nobody_out() {
    let handshakes = HandshakeLimits { handshakes_per_address_max: 3, ..HandshakeLimits::default() };
    let server = Running::start(Limits { handshakes, ..Limits::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    assert!(server.node(1).await.ask(1, 2).await.is_some());
    assert_eq!(server.counters.snapshot().handshakes_surplus, 8);
    server.stop().await;
}

/// A restart gives nobody a second share.
#[tokio::test]
async fn a_server_that_starts_again_knows_how_full_each_quota_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = Some(folder.path().join("index0.updates"));
    let limits = Limits { nodes_per_address_max: 2, ..Limits::default() };
    let server = Running::start_as(101, limits, file.clone()).await;
    for seed in 1..3 {
        server.node_at(seed, "127.0.0.2").await.befriend(1, &[9]).await;
    }
    server.stop().await;
    let server = Running::start_as(101, limits, file).await;
    let mut third = server.node_at(3, "127.0.0.2").await;
    let update = third.update(1, soon());
    assert_eq!(third.refusal(update.wire()).await, UpdateRefusal::AddressQuota);
    server.node_at(4, "127.0.0.3").await.befriend(1, &[9]).await;
    server.node_at(1, "127.0.0.2").await.befriend(2, &[9]).await;
    server.stop().await;
}

/// What has changed is written, and not everything again.
#[tokio::test]
async fn the_file_is_written_by_what_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("index0.updates");
    let limits = Limits { save_ms: 1, save_bytes_per_second: u64::MAX, ..Limits::default() };
    let server = Running::start_as(101, limits, Some(file.clone())).await;
    let written = || server.counters.snapshot().saved_bytes;
    let mut one = server.node(1).await;
    let all: Vec<_> = (2..200).map(|friend| edge(friend, 5)).collect();
    one.publish(signed(1, 1, soon(), all.clone()).wire()).await;
    let large = signed(1, 1, soon(), all).wire().len() as u64;
    wait_until("it is written", || written() > large).await;
    let before = written();
    let small = signed(2, 1, soon(), vec![edge(1, 5)]);
    server.node(2).await.publish(small.wire()).await;
    wait_until("the other one is written, too", || written() > before).await;
    assert!(written() - before < small.wire().len() as u64 + 200, "{} after {before}", written());
    assert_eq!(file.metadata().unwrap().len(), written());
    server.stop().await;
}
