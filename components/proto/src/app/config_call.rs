//! The commands of the permission `config` with their arguments: friends, relays and index servers. Names are the owner's own.

use super::codec::codec;
use crate::amount::Amount;
use crate::ticket::{FriendTicket, ServerTicket};
use crate::{Currency, Rate};

/// A command's arguments and their codecs.
macro_rules! calls {
    ($(
        $(#[$doc:meta])*
        $name:ident as $wire:ident {
            fields {
                $($(#[$field_doc:meta])* $field:ident: $type:ty $(as $codec:ident)? => $get:ident, $set:ident;)*
            }
            $(structs { $($(#[$part_doc:meta])* $part:ident: $part_type:ty => $get_part:ident, $init_part:ident;)* })?
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($($(#[$part_doc])* pub $part: $part_type,)*)?
        }

        codec! {
            $name as config::$wire {
                fields { $($field $(as $codec)?: $get, $set;)* }
                $(structs { $($part: $get_part, $init_part;)* })?
            }
        }
    )*};
}

calls! {
    /// Listens at one more relay.
    AddRelay as add_relay_params {
        fields {
            /// The owner's name for it.
            name: String as Name => get_name, set_name;
        }
        structs {
            /// Its key and address.
            ticket: ServerTicket => get_ticket, init_ticket;
        }
    }

    /// Does not listen at a relay any more.
    RemoveRelay as remove_relay_params {
        fields {
            /// The relay.
            name: String as Name => get_name, set_name;
        }
    }

    /// Uses one more index server.
    AddIndexServer as add_index_server_params {
        fields {
            /// The owner's name for it.
            name: String as Name => get_name, set_name;
        }
        structs {
            /// Its key and address.
            ticket: ServerTicket => get_ticket, init_ticket;
        }
    }

    /// Does not use an index server any more.
    RemoveIndexServer as remove_index_server_params {
        fields {
            /// The index server.
            name: String as Name => get_name, set_name;
        }
    }

    /// Closes, drains and removes a friend.
    RemoveFriend as remove_friend_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// Does not wait for pending requests.
            force: bool => get_force, set_force;
            /// Although the balance is not 0.
            forgive: bool => get_forgive, set_forgive;
        }
    }

    /// Gives a friend another name.
    RenameFriend as rename_friend_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// Its new name.
            new_name: String as Name => get_new_name, set_new_name;
        }
    }

    /// Uses a friend again.
    EnableFriend as enable_friend_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
        }
    }

    /// Closes, drains and stops using a friend.
    DisableFriend as disable_friend_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// Does not wait for pending requests.
            force: bool => get_force, set_force;
        }
    }

    /// Accepts a friend's requests, or not.
    SetFriendOpen as set_friend_open_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// The account.
            currency: Currency => get_currency, set_currency;
            /// Whether they are accepted.
            open: bool => get_open, set_open;
        }
    }

    /// Sets what a friend may owe.
    SetFriendMaxDebt as set_friend_max_debt_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// The account.
            currency: Currency => get_currency, set_currency;
            /// Credits.
            max_debt: Amount => get_max_debt, set_max_debt;
        }
    }

    /// Sets the fee for forwarding requests that come from a friend.
    SetFriendRate as set_friend_rate_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// The account.
            currency: Currency => get_currency, set_currency;
        }
        structs {
            /// The fee.
            rate: Rate => get_rate, init_rate;
        }
    }

    /// Sets where a friend is reached.
    SetFriendContact as set_friend_contact_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
        }
        structs {
            /// Its key and relays.
            ticket: FriendTicket => get_ticket, init_ticket;
        }
    }

    /// Accepts a friend's terms.
    ResetFriend as reset_friend_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// The account.
            currency: Currency => get_currency, set_currency;
        }
    }

    /// Clears debt cycles without being asked, and lets others clear theirs through this node without a fee; or not.
    SetAutoClear as set_auto_clear_params {
        fields {
            /// Whether that is so.
            on: bool => get_on, set_on;
        }
    }

    /// The friend has lost its key: its accounts go on under another.
    ReplaceFriendKey as replace_friend_key_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
        }
        structs {
            /// Its new key, and its relays.
            ticket: FriendTicket => get_ticket, init_ticket;
        }
    }

    /// Releases the credits of others whose committed payments a friend has held for too long, although it may still collect them
    /// from this node. The same order twice does no more than once.
    WriteOff as write_off_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// The account.
            currency: Currency => get_currency, set_currency;
            /// The most that the friend may then collect of all that was ever written off, credits.
            up_to: Amount => get_up_to, set_up_to;
        }
    }

    /// Does the same without being asked, for all that a friend holds for too long, until the friend collects something of it.
    SetAutoWriteOff as set_auto_write_off_params {
        fields {
            /// The friend.
            name: String as Name => get_name, set_name;
            /// The account.
            currency: Currency => get_currency, set_currency;
            /// The most that the friend may then collect of what was written off so, credits; 0: switched off.
            up_to: Amount => get_up_to, set_up_to;
        }
    }
}
