use super::*;
use crate::limits::Limits;
use crate::registry::Registry;
use futures::FutureExt;

const LIMITS: InFlightLimits = InFlightLimits { per_substream: 100, per_node: 150, total: 250 };

fn connections() -> Vec<RelayConnectionId> {
    let mut registry = Registry::new(Limits::default());
    (0..4).map(|index| registry.connect([10, 0, 0, index].into(), 0).unwrap().0).collect()
}

/// The bytes of the substreams that are closed, of substreams given as (connection, bytes).
fn closed(usages: &[(usize, u64)]) -> Vec<(usize, u64)> {
    let ids = connections();
    let usages = usages
        .iter()
        .enumerate()
        .map(|(stream, (node, bytes))| Usage { source: ids[*node], stream: stream as u32, bytes: *bytes })
        .collect();
    let index = |id| ids.iter().position(|other| *other == id).unwrap();
    substreams_to_close(LIMITS, usages).into_iter().map(|usage| (index(usage.source), usage.bytes)).collect()
}

#[test]
fn within_all_limits_none_is_closed() {
    assert_eq!(closed(&[]), []);
    assert_eq!(closed(&[(0, 100), (0, 50), (1, 100)]), []);
}

#[test]
fn a_substream_above_its_limit_is_closed() {
    assert_eq!(closed(&[(0, 101), (0, 50)]), [(0, 101)]);
}

#[test]
fn the_largest_of_a_node_above_its_limit_is_closed() {
    assert_eq!(closed(&[(0, 60), (0, 70), (0, 50), (1, 70)]), [(0, 70)]);
    assert_eq!(closed(&[(0, 60); 5]), [(0, 60); 3]);
}

#[test]
fn the_largest_of_all_are_closed_when_the_relay_is_above_its_limit() {
    assert_eq!(closed(&[(0, 60), (1, 90), (2, 80), (3, 70)]), [(1, 90)]);
}

#[test]
fn a_gauge_counts_for_all_levels_and_leaves_nothing_behind() {
    let total = Arc::new(AtomicU64::new(0));
    let all = InFlight::new(LIMITS, total.clone());
    let node = NodeInFlight::new(all.clone());
    let (one, two) = (Gauge::new(node.clone()), Gauge::new(node.clone()));
    one.add(60);
    two.add(70);
    assert_eq!((one.bytes(), node.bytes.load(Ordering::Relaxed), total.load(Ordering::Relaxed)), (60, 130, 130));
    assert!(all.exceeded().now_or_never().is_none());
    one.add(30);
    assert!(all.exceeded().now_or_never().is_some());
    // More than is there is not taken from others.
    one.release(1000);
    assert_eq!(total.load(Ordering::Relaxed), 70);
    two.release(30);
    drop((one, two));
    assert_eq!((node.bytes.load(Ordering::Relaxed), total.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn tiny_frames_are_not_free() {
    let all = InFlight::new(LIMITS, Arc::default());
    let gauge = Gauge::new(NodeInFlight::new(all.clone()));
    for _ in 0..2 {
        gauge.add_frame();
        gauge.add(1);
    }
    assert_eq!(gauge.bytes(), 2 * (FRAME_COST + 1));
    assert!(all.exceeded().now_or_never().is_some());
    gauge.drained();
    gauge.drained();
    assert_eq!(gauge.bytes(), 2);
}
