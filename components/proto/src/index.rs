//! What nodes publish at index servers and what they ask (protocol section 5).
//!
//! An [`Update`] is signed by the node it speaks of and holds the edges that changed. The messages of the link are in
//! [`NodeToIndex`] and [`IndexToNode`], those between index servers in [`ServerToServer`].

mod edge;
mod federation;
mod message;
mod query;
mod update;

pub use edge::{Clearable, Edge};
pub use federation::{
    BUCKETS, FEDERATION_FRAME_BYTES_MAX, FederationRefusal, Listing, NAMES_MAX, ServerToServer, UPDATES_BYTES_FULL,
    UPDATES_MAX, UpdateName, bucket_of,
};
pub use message::{INDEX_FRAME_BYTES_MAX, IndexToNode, NodeToIndex};
pub use query::{Answer, EXCLUDED_MAX, Exclusion, Hop, Query, ROUTES_MAX};
pub use update::{
    EDGES_MAX, TIME_TO_LIVE_MS_MAX, UPDATE_BYTES_MAX, Update, UpdateOutcome, UpdateRefusal, UpdateResult,
};
