//! A running node: its threads, queues and connections.
//!
//! | file | what it holds |
//! |---|---|
//! | `node` | puts everything together, and takes it apart |
//! | `messages` | what the threads and tasks tell each other |
//! | `core` | the one thread that owns the machine and the database |
//! | `core_queue` | the queue of that thread, which serves friends and applications in turn |
//! | `history_queries` | searches of the history for friends |
//! | `network` | the task that decides about connections, around the channeler |
//! | `relays`, `relay_task` | the connections to relays, and the task of one |
//! | `direct` | dials friends at their own addresses |
//! | `incoming`, `accept_delay`, `rate_limit` | what each friend may have of this node: handshakes, dials, messages a second |
//! | `greeting`, `friend_link`, `friend_links` | how a connection to a friend begins, what it carries, and which there are |
//! | `backend` | what applications see |
//! | `fair_mutex` | the order in which applications, and friends, have the history read |
//! | `settings`, `counters`, `error` | durations and bounds, numbers for the operator, what can go wrong |

mod accept_delay;
mod backend;
mod core;
mod core_queue;
mod counters;
mod direct;
mod error;
mod fair_mutex;
mod friend_link;
mod friend_links;
mod greeting;
mod history_queries;
mod incoming;
mod messages;
mod network;
mod node;
mod rate_limit;
mod relay_task;
mod relays;
mod settings;

pub use counters::Counters;
pub use error::NodeError;
pub use node::Node;
pub use offst_app_server::{Grant, Permissions};
pub use settings::{DirectSettings, FriendLimits, NodeSettings};
