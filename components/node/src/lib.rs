//! A running node: its threads, queues and connections.
//!
//! | file | what it holds |
//! |---|---|
//! | `node` | putting everything together, and taking it apart |
//! | `core` | the one thread that owns the machine and the database |
//! | `jobs` | what waits for that thread: friends and applications take turns |
//! | `look_ups` | what friends have the database searched for |
//! | `network` | the task that decides about connections, around the channeler |
//! | `relay_task` | one connection to a relay |
//! | `direct` | calling friends at their own addresses |
//! | `friend_link` | one connection to a friend |
//! | `allowance` | how much one friend may send and ask |
//! | `calls` | how often one friend may connect |
//! | `backend` | what applications see |
//! | `turns` | the order in which they, and friends, have the history read |
//! | `settings`, `counters`, `error` | durations and bounds, numbers for the operator, what can go wrong |

mod allowance;
mod backend;
mod calls;
mod core;
mod counters;
mod direct;
mod error;
mod friend_link;
mod jobs;
mod look_ups;
mod network;
mod node;
mod relay_task;
mod settings;
mod turns;

pub use counters::Counters;
pub use error::NodeError;
pub use node::Node;
pub use offst_app_server::{Grant, Permissions};
pub use settings::{DirectSettings, FriendLimits, NodeSettings};
