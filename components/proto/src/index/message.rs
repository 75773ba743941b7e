//! The frames between a node and an index server.

use super::query::{Answer, EXCLUDED_MAX, Exclusion, Hop, Query, ROUTES_MAX};
use super::update::{UPDATE_BYTES_MAX, UpdateOutcome, UpdateRefusal, UpdateResult};
use crate::amount::Amount;
use crate::encoding::DecodeError;
use crate::frame;
use crate::limits::{HOPS_MAX, PARTS_MAX};
use crate::route::{PartPlan, Route};
use crate::wire::index_capnp as wire;
use capnp::message::Builder;
use offst_crypto::PublicKey;

/// Largest frame on the link between a node and an index server, bytes: the largest answer fits.
pub const INDEX_FRAME_BYTES_MAX: usize = 256 * 1024;

/// What one frame from a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeToIndex {
    /// The wire form of a signed [`Update`](super::Update), at most [`UPDATE_BYTES_MAX`] bytes.
    Update(Vec<u8>),
    /// Asks for routes.
    Query(Query),
    /// Nothing to say, still there.
    Keepalive,
}

/// What one frame from an index server holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexToNode {
    /// What became of an update.
    UpdateResult(UpdateResult),
    /// Ways.
    Answer(Answer),
    /// The query of this id was not searched: the connection asks too often, or the server has too much to do.
    Busy(u64),
    /// Nothing to say, still there.
    Keepalive,
}

impl NodeToIndex {
    /// The bytes of the frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut root = message.init_root::<wire::node_to_index::Builder<'_>>();
        match self {
            NodeToIndex::Update(bytes) => root.set_update(bytes),
            NodeToIndex::Query(query) => write_query(query, root.init_query()),
            NodeToIndex::Keepalive => root.set_keepalive(()),
        }
        frame::write(&message)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// The frame is not such a message, or a bound is exceeded.
    pub fn from_frame(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = frame::read(bytes)?;
        let root = message.get_root::<wire::node_to_index::Reader<'_>>()?;
        Ok(match root.which()? {
            wire::node_to_index::Update(bytes) => {
                let bytes = bytes?;
                if bytes.len() > UPDATE_BYTES_MAX {
                    return Err(DecodeError::too_large("an update"));
                }
                NodeToIndex::Update(bytes.to_vec())
            }
            wire::node_to_index::Query(query) => NodeToIndex::Query(read_query(query?)?),
            wire::node_to_index::Keepalive(()) => NodeToIndex::Keepalive,
        })
    }
}

impl IndexToNode {
    /// The bytes of the frame.
    pub fn to_frame(&self) -> Vec<u8> {
        let mut message = Builder::new_default();
        let mut root = message.init_root::<wire::index_to_node::Builder<'_>>();
        match self {
            IndexToNode::UpdateResult(result) => write_result(result, root.init_update_result()),
            IndexToNode::Answer(answer) => write_answer(answer, root.init_answer()),
            IndexToNode::Busy(id) => root.set_busy(*id),
            IndexToNode::Keepalive => root.set_keepalive(()),
        }
        frame::write(&message)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// The frame is not such a message, or a bound is exceeded.
    pub fn from_frame(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = frame::read(bytes)?;
        let root = message.get_root::<wire::index_to_node::Reader<'_>>()?;
        Ok(match root.which()? {
            wire::index_to_node::UpdateResult(result) => IndexToNode::UpdateResult(read_result(result?)?),
            wire::index_to_node::Answer(answer) => IndexToNode::Answer(read_answer(answer?)?),
            wire::index_to_node::Busy(id) => IndexToNode::Busy(id),
            wire::index_to_node::Keepalive(()) => IndexToNode::Keepalive,
        })
    }
}

fn read_key(bytes: &[u8]) -> Result<PublicKey, DecodeError> {
    PublicKey::from_slice(bytes).map_err(|_| DecodeError::invalid("a public key"))
}

fn read_amount(bytes: &[u8]) -> Result<Amount, DecodeError> {
    let amount = u128::from_be_bytes(bytes.try_into().map_err(|_| DecodeError::invalid("an amount"))?);
    Amount::new(amount).ok_or(DecodeError::too_large("an amount"))
}

fn write_keys(keys: &[PublicKey], mut list: capnp::data_list::Builder<'_>) {
    for (position, key) in (0..).zip(keys) {
        list.set(position, key.as_bytes());
    }
}

fn read_keys(
    list: capnp::data_list::Reader<'_>,
    max: usize,
    what: &'static str,
) -> Result<Vec<PublicKey>, DecodeError> {
    bounded(list.len(), max, what)?;
    list.iter().map(|key| read_key(key?)).collect()
}

fn bounded(count: u32, max: usize, what: &'static str) -> Result<(), DecodeError> {
    if count as usize > max { Err(DecodeError::too_large(what)) } else { Ok(()) }
}

/// The number of elements as the schema's lists want it; every list here is bounded far below.
fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).expect("every list is bounded far below 2^32")
}

fn write_query(query: &Query, mut builder: wire::query::Builder<'_>) {
    builder.set_id(query.id);
    builder.set_currency(query.currency.as_str());
    builder.set_amount(&query.amount.credits().to_be_bytes());
    builder.set_source(query.source.as_bytes());
    builder.set_destination(query.destination.as_bytes());
    if let Some(via) = &query.via {
        builder.set_via(via.as_bytes());
    }
    let mut edges = builder.reborrow().init_excluded_edges(count(&query.excluded_edges));
    for (position, Exclusion { hop, left }) in (0..).zip(&query.excluded_edges) {
        let mut edge = edges.reborrow().get(position);
        edge.set_from(hop.from.as_bytes());
        edge.set_to(hop.to.as_bytes());
        edge.set_left(&left.credits().to_be_bytes());
    }
    builder.set_clearing(query.clearing);
    write_keys(&query.excluded_nodes, builder.init_excluded_nodes(count(&query.excluded_nodes)));
}

fn read_query(reader: wire::query::Reader<'_>) -> Result<Query, DecodeError> {
    let via = reader.get_via()?;
    let edges = reader.get_excluded_edges()?;
    bounded(edges.len(), EXCLUDED_MAX, "the number of exclusions")?;
    let query = Query {
        id: reader.get_id(),
        currency: reader.get_currency()?.to_str()?.parse().map_err(|_| DecodeError::invalid("a currency"))?,
        amount: read_amount(reader.get_amount()?)?,
        source: read_key(reader.get_source()?)?,
        destination: read_key(reader.get_destination()?)?,
        via: if via.is_empty() { None } else { Some(read_key(via)?) },
        excluded_edges: edges.iter().map(read_exclusion).collect::<Result<_, _>>()?,
        excluded_nodes: read_keys(reader.get_excluded_nodes()?, EXCLUDED_MAX, "the number of exclusions")?,
        clearing: reader.get_clearing(),
    };
    query.check()?;
    Ok(query)
}

fn read_exclusion(reader: wire::exclusion::Reader<'_>) -> Result<Exclusion, DecodeError> {
    let hop = Hop { from: read_key(reader.get_from()?)?, to: read_key(reader.get_to()?)? };
    Ok(Exclusion { hop, left: read_amount(reader.get_left()?)? })
}

fn write_answer(answer: &Answer, mut builder: wire::answer::Builder<'_>) {
    builder.set_id(answer.id);
    builder.set_cut(answer.cut);
    let mut routes = builder.init_routes(count(&answer.routes));
    for (position, route) in (0..).zip(&answer.routes) {
        let mut parts = routes.reborrow().get(position).init_parts(count(&route.parts));
        for (position, plan) in (0..).zip(&route.parts) {
            let mut part = parts.reborrow().get(position);
            part.set_amount(&plan.amount.credits().to_be_bytes());
            part.set_fees(&plan.fees.credits().to_be_bytes());
            write_keys(&plan.path, part.init_path(count(&plan.path)));
        }
    }
}

fn read_answer(reader: wire::answer::Reader<'_>) -> Result<Answer, DecodeError> {
    let routes = reader.get_routes()?;
    bounded(routes.len(), ROUTES_MAX, "the number of routes")?;
    let routes = routes.iter().map(|route| {
        let parts = route.get_parts()?;
        bounded(parts.len(), PARTS_MAX, "a route")?;
        let parts = parts.iter().map(|part| {
            Ok(PartPlan {
                path: read_keys(part.get_path()?, HOPS_MAX, "a path")?,
                amount: read_amount(part.get_amount()?)?,
                fees: read_amount(part.get_fees()?)?,
            })
        });
        let route = Route { parts: parts.collect::<Result<_, DecodeError>>()? };
        route.check()?;
        Ok(route)
    });
    Ok(Answer { id: reader.get_id(), routes: routes.collect::<Result<_, DecodeError>>()?, cut: reader.get_cut() })
}

fn write_result(result: &UpdateResult, mut builder: wire::update_result::Builder<'_>) {
    builder.set_sequence(result.sequence);
    match result.outcome {
        UpdateOutcome::Accepted { newest } => builder.set_accepted(newest),
        UpdateOutcome::Stale { newest } => builder.set_stale(newest),
        UpdateOutcome::Refused { reason, server_ms } => {
            let mut refusal = builder.init_refused();
            refusal.set_server_ms(server_ms);
            refusal.set_reason(match reason {
                UpdateRefusal::Signature => wire::refusal::Reason::Signature,
                UpdateRefusal::OtherNode => wire::refusal::Reason::OtherNode,
                UpdateRefusal::Expired => wire::refusal::Reason::Expired,
                UpdateRefusal::TooFarAhead => wire::refusal::Reason::TooFarAhead,
                UpdateRefusal::Quota => wire::refusal::Reason::Quota,
                UpdateRefusal::Full => wire::refusal::Reason::Full,
                UpdateRefusal::TooOften => wire::refusal::Reason::TooOften,
                UpdateRefusal::AddressQuota => wire::refusal::Reason::AddressQuota,
                UpdateRefusal::SayAll => wire::refusal::Reason::SayAll,
            });
        }
    }
}

fn read_result(reader: wire::update_result::Reader<'_>) -> Result<UpdateResult, DecodeError> {
    let outcome = match reader.which()? {
        wire::update_result::Accepted(newest) => UpdateOutcome::Accepted { newest },
        wire::update_result::Stale(newest) => UpdateOutcome::Stale { newest },
        wire::update_result::Refused(refusal) => {
            let refusal = refusal?;
            let reason = match refusal.get_reason()? {
                wire::refusal::Reason::Signature => UpdateRefusal::Signature,
                wire::refusal::Reason::OtherNode => UpdateRefusal::OtherNode,
                wire::refusal::Reason::Expired => UpdateRefusal::Expired,
                wire::refusal::Reason::TooFarAhead => UpdateRefusal::TooFarAhead,
                wire::refusal::Reason::Quota => UpdateRefusal::Quota,
                wire::refusal::Reason::Full => UpdateRefusal::Full,
                wire::refusal::Reason::TooOften => UpdateRefusal::TooOften,
                wire::refusal::Reason::AddressQuota => UpdateRefusal::AddressQuota,
                wire::refusal::Reason::SayAll => UpdateRefusal::SayAll,
            };
            UpdateOutcome::Refused { reason, server_ms: refusal.get_server_ms() }
        }
    };
    Ok(UpdateResult { sequence: reader.get_sequence(), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_values::{above_the_bound, key};
    use proptest::prelude::*;

    fn query() -> Query {
        Query {
            id: 9,
            via: Some(key(3)),
            excluded_edges: vec![Exclusion { hop: Hop { from: key(4), to: key(5) }, left: 12.into() }],
            excluded_nodes: vec![key(6), key(7)],
            ..Query::new("hours".parse().unwrap(), 1000.into(), key(1), key(2))
        }
    }

    fn answer() -> Answer {
        let part = PartPlan { path: vec![key(3), key(2)], amount: 600.into(), fees: 1.into() };
        let other = PartPlan { path: vec![key(2)], amount: 400.into(), fees: 0.into() };
        let routes = vec![Route { parts: vec![part.clone(), other.clone()] }, Route { parts: vec![other] }];
        Answer { id: 9, routes, cut: true }
    }

    fn from_nodes() -> Vec<NodeToIndex> {
        vec![NodeToIndex::Update(vec![1, 2, 3]), NodeToIndex::Query(query()), NodeToIndex::Keepalive]
    }

    fn from_servers() -> Vec<IndexToNode> {
        let refusals = [
            UpdateRefusal::Signature,
            UpdateRefusal::OtherNode,
            UpdateRefusal::Expired,
            UpdateRefusal::TooFarAhead,
            UpdateRefusal::Quota,
            UpdateRefusal::Full,
            UpdateRefusal::TooOften,
            UpdateRefusal::AddressQuota,
            UpdateRefusal::SayAll,
        ];
        let refused = refusals.map(|reason| UpdateOutcome::Refused { reason, server_ms: 1_700_000_000_000 });
        let outcomes = [UpdateOutcome::Accepted { newest: 7 }, UpdateOutcome::Stale { newest: 8 }];
        let results = outcomes.into_iter().chain(refused);
        results
            .map(|outcome| IndexToNode::UpdateResult(UpdateResult { sequence: 7, outcome }))
            .chain([IndexToNode::Answer(answer()), IndexToNode::Busy(9), IndexToNode::Keepalive])
            .collect()
    }

    #[test]
    fn round_trip_of_every_message() {
        for message in from_nodes() {
            assert_eq!(NodeToIndex::from_frame(&message.to_frame()), Ok(message));
        }
        for message in from_servers() {
            assert_eq!(IndexToNode::from_frame(&message.to_frame()), Ok(message));
        }
    }

    #[test]
    fn frames_are_fixed() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        insta::assert_snapshot!(hex(NodeToIndex::Query(query()).to_frame()), @"000000003300000000000000010001000100000000000000000000000200070009000000000000000000000000000000190000003200000019000000820000001d0000000201000029000000020100003500000002010000410000001f0000007500000016000000686f757273000000000000000000000000000000000003e88a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d10400000000000300090000000201000015000000020100002100000082000000ca93ac1705187071d67b83c7ff0efe8108e8ec4530575d7726879333dbdabe7c6e7a1cdd29b0b78fd13af4c5598feff4ef2a97166e3ca6f2e4fbfccd80505bf10000000000000000000000000000000c050000000201000011000000020100008a875fff1eb38451577acd5afee405456568dd7c89e090863a0557bc7af49f17ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c");
        insta::assert_snapshot!(hex(NodeToIndex::Update(vec![1, 2, 3]).to_frame()), @"000000000400000000000000010001000000000000000000010000001a0000000102030000000000");
        insta::assert_snapshot!(hex(IndexToNode::Answer(answer()).to_frame()), @"0000000035000000000000000200010001000000000000000000000000000000000000000200010009000000000000000100000000000000010000001700000008000000000001000500000037000000790000001f0000000800000000000300250000001600000011000000820000001500000082000000510000000e0000003d000000820000004100000082000000000000000000000000000000000002580000000000000000000000000000000105000000020100001100000002010000ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d18139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394000000000000000000000000000001900000000000000000000000000000000001000000020100008139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b3940400000000000300190000000e00000005000000820000000900000082000000000000000000000000000000000001900000000000000000000000000000000001000000020100008139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394");
        let outcome = UpdateOutcome::Refused { reason: UpdateRefusal::TooFarAhead, server_ms: 1 << 40 };
        insta::assert_snapshot!(hex(IndexToNode::UpdateResult(UpdateResult { sequence: 5, outcome }).to_frame()), @"000000000a0000000000000002000100000000000000000000000000000000000000000003000100050000000000000000000000000000000200000000000000000000000200000003000000000000000000000000010000");
        insta::assert_snapshot!(hex(IndexToNode::Busy(1).to_frame()), @"00000000040000000000000002000100020000000000000001000000000000000000000000000000");
    }

    #[test]
    fn cut_and_flipped_frames_never_panic() {
        let frames = from_nodes().iter().map(NodeToIndex::to_frame).collect::<Vec<_>>();
        for frame in frames.into_iter().chain(from_servers().iter().map(IndexToNode::to_frame)) {
            for position in 0..frame.len() {
                let _ = NodeToIndex::from_frame(&frame[..position]);
                let _ = IndexToNode::from_frame(&frame[..position]);
                for bit in 0..8 {
                    let mut flipped = frame.clone();
                    flipped[position] ^= 1 << bit;
                    let _ = NodeToIndex::from_frame(&flipped);
                    let _ = IndexToNode::from_frame(&flipped);
                }
            }
        }
    }

    #[test]
    fn bounds() {
        let read = |query: Query| NodeToIndex::from_frame(&NodeToIndex::Query(query).to_frame());
        assert_eq!(read(Query { amount: 0.into(), ..query() }), Err(DecodeError::invalid("an amount of 0")));
        let frame = above_the_bound(NodeToIndex::Query(Query { amount: Amount::MAX, ..query() }).to_frame());
        assert_eq!(NodeToIndex::from_frame(&frame), Err(DecodeError::too_large("an amount")));
        let elsewhere = Query { clearing: true, ..query() };
        assert_eq!(read(elsewhere), Err(DecodeError::invalid("clearing that ends elsewhere")));
        let many = vec![key(1); EXCLUDED_MAX + 1];
        let error = DecodeError::too_large("the number of exclusions");
        assert_eq!(read(Query { excluded_nodes: many, ..query() }), Err(error));
        let large = NodeToIndex::Update(vec![0; UPDATE_BYTES_MAX + 1]).to_frame();
        assert_eq!(NodeToIndex::from_frame(&large), Err(DecodeError::too_large("an update")));
        let routes = vec![answer().routes[0].clone(); ROUTES_MAX + 1];
        let frame = IndexToNode::Answer(Answer { routes, ..answer() }).to_frame();
        assert_eq!(IndexToNode::from_frame(&frame), Err(DecodeError::too_large("the number of routes")));
    }

    #[test]
    fn the_largest_answer_and_query_fit_a_frame() {
        let path = (0..HOPS_MAX as u8).map(key).collect();
        let part = PartPlan { path, amount: Amount::MAX, fees: Amount::ZERO };
        let answer = Answer { id: 1, routes: vec![Route { parts: vec![part; PARTS_MAX] }; ROUTES_MAX], cut: false };
        let frame = IndexToNode::Answer(answer.clone()).to_frame();
        assert!(frame.len() <= INDEX_FRAME_BYTES_MAX, "{}", frame.len());
        assert_eq!(IndexToNode::from_frame(&frame), Ok(IndexToNode::Answer(answer)));
        let hop = Hop { from: key(1), to: key(2) };
        let excluded_edges = vec![Exclusion { hop, left: Amount::MAX }; EXCLUDED_MAX];
        let query = Query { excluded_edges, excluded_nodes: vec![key(1); EXCLUDED_MAX], ..query() };
        let frame = NodeToIndex::Query(query.clone()).to_frame();
        assert!(frame.len() <= INDEX_FRAME_BYTES_MAX);
        assert_eq!(NodeToIndex::from_frame(&frame), Ok(NodeToIndex::Query(query)));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = NodeToIndex::from_frame(&bytes);
            let _ = IndexToNode::from_frame(&bytes);
        }
    }
}
