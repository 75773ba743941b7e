//! Tickets and rates in messages.

use super::codec::codec;
use crate::Rate;
use crate::limits::RELAYS_MAX;
use crate::ticket::{FriendTicket, ServerTicket};

codec! {
    Rate as rate {
        fields {
            mul: get_mul, set_mul;
            add: get_add, set_add;
        }
    }
}

codec! {
    ServerTicket as server_ticket {
        fields {
            public_key: get_public_key, set_public_key;
            address: get_address, set_address;
        }
    }
}

codec! {
    FriendTicket as friend_ticket {
        fields {
            public_key: get_public_key, set_public_key;
            address: get_address, set_address;
        }
        lists { relays: get_relays, init_relays, RELAYS_MAX, "the number of relays"; }
    }
}
