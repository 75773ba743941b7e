@0xd9d0f6c2a4f0e5a4;
# The conversation of an application and a node (protocol section 6): Cap'n Proto RPC over TLS, see docs/architecture.md.
#
# Amounts are decimal text, in credits; a balance may start with "-". Keys are 32 bytes, ids 16 bytes; times and durations
# are milliseconds, points in time since 1970. Where a value may be missing, an empty text or an empty byte string says so.
#
# A command that the node does not carry out is answered with `refused`: a message for people. RPC exceptions mean that
# the call itself was wrong, that the node is stopping, or that the connection is lost.
#
# Bounds of a connection: a message has at most 1 MiB; the node reads no further while 256 calls, or 1 MiB of calls, are
# unanswered, or 1 MiB of answers is unsent; 192 calls may wait for something to happen. A call that waits goes on after
# the app has given it up, until its time is over. Capabilities are never sent to the node.

const notTrusted :Text = "this app is not trusted by the node";
# The reason of the Abort message that an app gets whose key the node does not know.

interface Node {
  # What an app gets first.

  open @0 () -> (version :Text, reports :Reports, buyer :Buyer, seller :Seller, config :Config, routes :Routes);
  # The node's version, and a capability for every permission; null for those that the app does not have. `reports` is for
  # every app that the node trusts. A connection is closed when one of its permissions is taken away.
}

interface Reports {
  # Reading. Pages are newest first, at most 200 entries; `cursor` is empty for the first page, otherwise `next` of the page
  # before; `next` is empty on the last page.

  friends @0 () -> (friends :List(Friend));
  # In the order of their names.
  relays @1 () -> (servers :List(Server));
  indexServers @2 () -> (servers :List(Server));
  contact @3 () -> (contact :FriendTicket);
  # What the node's friends need to add it.
  payments @4 (cursor :Text, limit :UInt32) -> (payments :List(Payment), next :Text);
  # Newest first, in flight or ended. Receipts are left out: see `payment`.
  forwards @5 (cursor :Text, limit :UInt32) -> (forwards :List(Forward), next :Text);
  # What the node forwarded for others.
  invoices @6 (cursor :Text, limit :UInt32) -> (invoices :List(Invoice), next :Text);
  # Newest first, open or not.
  payment @7 (paymentId :Data) -> (result :PaymentResult);
  # One payment with its receipt.
  subscribe @8 () -> (subscription :Subscription);
  # Subscribe first, then read: what happens after `subscribe` is told by `next`. At most 16 at a time.
  received @9 (cursor :Text, limit :UInt32) -> (received :List(Received), next :Text);
  # What the node was paid, part by part.
  keyReplacements @10 () -> (records :List(Data));
  # What the node has signed when friends lost their keys: canonical bytes of key replacements (docs/protocol.md), oldest first.
  friendStatement @11 (name :Text, currency :Text) -> (result :FriendStatementResult);
  # What proves to others how the accounts with a friend stand: all of them, or the one in the currency if one is named.
  budgets @12 () -> (limited :Bool, budgets :List(Budget));
  # What this app may spend, if it may pay. Not limited: all that the friends let the node. Limited: nothing but these.
}

interface Subscription {
  next @0 () -> (events :List(Event), lost :Bool);
  # Waits for at least one event, at most 20 seconds; then `events` is empty: ask again. `lost`: more happened than is kept for an app that does not ask; read everything again.
}

interface Routes {
  quote @0 (order :Order) -> (result :QuoteResult);
  # What a payment would cost now. Pays nothing; maxFee, timeoutMs and paymentId do not matter.
}

interface Buyer {
  pay @0 (order :Order) -> (result :PaymentResult);
  # Answers when the payment has ended or its time is over. The same paymentId pays once, however often it is ordered. Refused
  # when the app's budget has too little left.
  cancelPayment @1 (paymentId :Data) -> (result :PaymentResult);
  # Gives a payment up that is not committed.
  quote @2 (order :Order) -> (result :QuoteResult);
  # As in `Routes`: who may pay may ask what it costs.
  clear @3 (currency :Text, perform :Bool) -> (result :ClearingResult);
  # Looks for a debt cycle, in which each node owes the next, and clears it: every debt in it becomes smaller, nobody pays a
  # fee. Without `perform` it is cleared only when the owner has switched that on (`setAutoClear`); otherwise it is only shown.
}

interface Seller {
  createInvoice @0 (amount :Text, currency :Text, description :Text, expiryMs :UInt64) -> (result :InvoiceResult);
  # expiryMs: how long it can be paid; 0: until it is cancelled.
  cancelInvoice @1 (invoiceId :Data) -> (result :InvoiceStatusResult);
  waitInvoice @2 (invoiceId :Data) -> (result :InvoiceStatusResult);
  # Answers when the invoice is paid, cancelled or expired, or after 20 seconds with `open`: ask again.
}

interface Config {
  # Names are the owner's own names, at most 64 bytes.

  addRelay @0 (name :Text, ticket :ServerTicket) -> (result :Result);
  removeRelay @1 (name :Text) -> (result :Result);
  addIndexServer @2 (name :Text, ticket :ServerTicket) -> (result :Result);
  removeIndexServer @3 (name :Text) -> (result :Result);
  addFriend @4 (friend :NewFriend) -> (result :Result);
  # A new friend, or a further currency with a known one.
  removeFriend @5 (name :Text, force :Bool, forgive :Bool) -> (result :Result);
  # force: do not wait for pending requests. forgive: although the balance is not 0.
  renameFriend @6 (name :Text, newName :Text) -> (result :Result);
  enableFriend @7 (name :Text) -> (result :Result);
  disableFriend @8 (name :Text, force :Bool) -> (result :Result);
  setFriendOpen @9 (name :Text, currency :Text, open :Bool) -> (result :Result);
  setFriendMaxDebt @10 (name :Text, currency :Text, maxDebt :Text) -> (result :Result);
  # What the friend may owe.
  setFriendRate @11 (name :Text, currency :Text, rate :Rate) -> (result :Result);
  setFriendContact @12 (name :Text, ticket :FriendTicket) -> (result :Result);
  # Where the friend is reached.
  resetFriend @13 (name :Text, currency :Text) -> (result :Result);
  # Accepts the friend's terms.
  setAutoClear @14 (on :Bool) -> (result :Result);
  # Clear debt cycles without being asked, and let others clear theirs through this node without a fee. Index servers are then
  # told how much is owed.
  replaceFriendKey @15 (name :Text, ticket :FriendTicket) -> (result :Result);
  # The friend has lost its key: its accounts go on under the key of the ticket.
  writeOff @16 (name :Text, currency :Text, upTo :Text) -> (result :WriteOffResult);
  # Releases the credits of others whose committed payments the friend has held for too long, although it may still collect them
  # from us: as many as cost at most upTo, with what was written off before and has not ended. Our own payments stay.
  setAutoWriteOff @17 (name :Text, currency :Text, upTo :Text) -> (result :Result);
  # The same without being asked, for all that the friend holds for too long: upTo bounds what it may still collect of it. Ends
  # when the friend collects something of it. 0: switched off.
}

struct Result {
  union {
    done @0 :Void;
    refused @1 :Text;
  }
}

struct PaymentResult {
  union {
    payment @0 :Payment;
    unknown @1 :Void;
    # The node has no payment of this id.
    refused @2 :Text;
  }
}

struct QuoteResult {
  union {
    quote @0 :Quote;
    refused @1 :Text;
  }
}

struct Quote {
  currency @0 :Text;
  amount @1 :Text;
  # What the destination would get.
  routes @2 :List(Route);
  # Cheapest first, at least one.
  maxFeeDefault @3 :Text;
  # The most fees that the node pays of such a payment when the order has no maxFee.
}

struct Route {
  parts @0 :List(Part);
  # Their amounts add up to what was asked for.
}

struct Part {
  path @0 :List(Data);
  # The nodes after this one in order, the destination last.
  amount @1 :Text;
  # What the destination gets.
  fees @2 :Text;
  # What all mediators on the path take.
}

struct Budget {
  # What the owner lets the app spend of a currency. Amounts and fees count, of payments that have not ended too.
  currency @0 :Text;
  amount @1 :Text;
  period @2 :Text;
  # How often it starts again: each day, week or month, by UTC; empty: never.
  spent @3 :Text;
  # In this period.
  underWay @4 :Text;
  # What payments in flight may still cost.
  untilMs @5 :UInt64;
  # When the period ends; 0: never.
}

struct ClearingResult {
  union {
    clearing @0 :Clearing;
    refused @1 :Text;
  }
}

struct Clearing {
  autoClear @0 :Bool;
  # What the owner has set.
  cycle @1 :Part;
  # Ends at this node. Missing: there is no debt cycle.
  payment @2 :Payment;
  # How clearing it went. Missing: the cycle is only shown.
}

struct WriteOffResult {
  union {
    report @0 :WriteOff;
    refused @1 :Text;
  }
}

struct WriteOff {
  released @0 :Held;
  # Those who sent them have the credits back. As much may now be lost.
  waiting @1 :Held;
  # Of others, held for too long, and not released: they would have passed the limit, or cannot be released now.
  own @2 :Held;
  # Of our own, held for too long.
  atRisk @3 :Held;
  # All that was ever released and that the friend may still collect.
}

struct Held {
  # Committed requests that a friend holds.
  count @0 :UInt32;
  amount @1 :Text;
}

struct InvoiceResult {
  union {
    invoice @0 :NewInvoice;
    refused @1 :Text;
  }
}

struct InvoiceStatusResult {
  union {
    status @0 :InvoiceStatus;
    unknown @1 :Void;
    # The node has no invoice of this id.
    refused @2 :Text;
  }
}

struct FriendStatementResult {
  union {
    statement @0 :FriendStatement;
    refused @1 :Text;
  }
}

struct FriendStatement {
  file @0 :Text;
  # The content of the file.
  shortened @1 :Bool;
  # All that the friend has signed is more than a file holds: it ends with an earlier statement of the friend's.
}

struct NewInvoice {
  invoiceId @0 :Data;
  text @1 :Text;
  # One line that holds all of it, for the buyer.
  file @2 :Text;
  # The same as the content of a file.
}

struct Order {
  paymentId @0 :Data;
  # 16 random bytes, chosen by the app and kept until it knows how the payment ended.
  purpose :union {
    invoice @1 :Text;
    # The line of text or the content of the file.
    spontaneous @2 :SpontaneousPayment;
    rebalance @5 :Rebalance;
  }
  maxFee @3 :Text;
  # The most that mediators may take. Empty: what the owner of the node has set, by default 10 % of the amount or 20, whichever
  # is more.
  timeoutMs @4 :UInt64;
  # How long to look for a route.
}

struct SpontaneousPayment {
  # Pays no invoice.
  destination :union {
    publicKey @0 :Data;
    friend @1 :Text;
    # By the owner's name.
  }
  currency @2 :Text;
  amount @3 :Text;
}

struct Rebalance {
  # Credit that moves around a cycle of friends, back to this node.
  friend @0 :Text;
  # By whom it leaves, by the owner's name.
  currency @1 :Text;
  amount @2 :Text;
}

struct NewFriend {
  name @0 :Text;
  ticket @1 :FriendTicket;
  balance @2 :Text;
  # What the friend owes us at the start. Both ends add each other, with opposite balances.
  currency @3 :Text;
  maxDebt @4 :Text;
  # What the friend may owe us.
  open @5 :Bool;
  # Whether we take its requests from the start.
}

struct ServerTicket {
  publicKey @0 :Data;
  address @1 :Text;
  # HOST:PORT
}

struct FriendTicket {
  publicKey @0 :Data;
  relays @1 :List(ServerTicket);
  address @2 :Text;
  # Where the node is dialled without a relay; may be empty.
}

struct Rate {
  # For forwarding x credits: add + floor(x * mul / 2^32).
  mul @0 :UInt32;
  add @1 :Text;
}

struct Friend {
  name @0 :Text;
  publicKey @1 :Data;
  enabled @2 :Bool;
  online @3 :Bool;
  relays @4 :List(ServerTicket);
  accounts @5 :List(Account);
  # One for each currency.
  address @6 :Text;
  # Where it is dialled without a relay, HOST:PORT; empty: nowhere.
  direct @7 :Bool;
  # Whether the connection that is up goes without a relay.
}

struct Account {
  # An account with a friend. Local is us, remote the friend.
  currency @0 :Text;
  status :union {
    consistent @1 :Void;
    waiting @2 :Void;
    # The friend has not shown its terms yet.
    inconsistent @3 :Terms;
  }
  balance @4 :Text;
  # What the friend owes us.
  localMaxDebt @5 :Text;
  # What the friend lets us owe.
  remoteMaxDebt @6 :Text;
  localPendingDebt @7 :Text;
  remotePendingDebt @8 :Text;
  localOpen @9 :Bool;
  # Whether we take the friend's requests.
  remoteOpen @10 :Bool;
  rate @11 :Rate;
  # What we take for forwarding requests that come from this friend.
  overdue @12 :List(Overdue);
  # Committed requests that the friend has held for too long.
  autoWriteOff @13 :Text;
  # The most that the friend may still collect of what is written off without asking the owner. Empty: switched off.
}

struct Terms {
  # Both balances as seen from our side.
  localBalance @0 :Text;
  remoteBalance @1 :Text;
  # Empty: the friend has not shown any.
  reason @2 :Text;
}

struct Overdue {
  requestId @0 :Data;
  amount @1 :Text;
  writtenOff @2 :Bool;
  # The friend that sent it has the credits back: we pay for it if this friend collects it.
}

struct Server {
  name @0 :Text;
  ticket @1 :ServerTicket;
  state :union {
    connected @2 :Void;
    disconnected @3 :Text;
    # Why.
    displaced @4 :Void;
    # Another node with our key has taken our place at this relay.
  }
}

enum PaymentStatus {
  paid @0;
  failed @1;
  # Nothing was moved, and nothing will be.
  pending @2;
  # In flight. Nobody must pay again.
}

struct Payment {
  paymentId @0 :Data;
  status @1 :PaymentStatus;
  destination @2 :Data;
  invoiceId @3 :Data;
  # Empty: spontaneous.
  currency @4 :Text;
  amount @5 :Text;
  fees @6 :Text;
  parts @7 :UInt32;
  reason @8 :Text;
  # Why it failed, or what it waits for.
  createdMs @9 :UInt64;
  durationMs @10 :UInt64;
  receipt @11 :Text;
  # The content of the receipt's file. Empty: not paid yet, or left out in a list.
  kind @12 :PaymentKind;
  app @13 :Data;
  # The app that has ordered it. Empty: the node itself, or not known.
}

enum PaymentKind {
  payment @0;
  rebalance @1;
  # Around a cycle, back to this node.
  clearing @2;
  # Around a debt cycle, in which each node owes the next.
}

enum InvoiceStatus {
  open @0;
  paid @1;
  cancelled @2;
  expired @3;
}

struct Invoice {
  invoiceId @0 :Data;
  status @1 :InvoiceStatus;
  currency @2 :Text;
  amount @3 :Text;
  description @4 :Text;
  createdMs @5 :UInt64;
  expiresMs @6 :UInt64;
  # 0: never.
}

struct Forward {
  requestId @0 :Data;
  from @1 :Data;
  # Empty: it had been written off when it was collected, so nobody has paid us: the amount is lost.
  to @2 :Data;
  currency @3 :Text;
  amount @4 :Text;
  # What was sent on.
  fee @5 :Text;
  # What we earned.
  timeMs @6 :UInt64;
}

struct Received {
  # A part of a payment to this node.
  requestId @0 :Data;
  from @1 :Data;
  # The friend it came from.
  paymentId @2 :Data;
  # Empty: not known, because the node had lost its database when it collected.
  invoiceId @3 :Data;
  # Empty: a spontaneous payment, or not known.
  currency @4 :Text;
  amount @5 :Text;
  timeMs @6 :UInt64;
}

struct Event {
  # Something happened; the reports say how it stands now.
  union {
    friendChanged @0 :Text;
    # The friend's name.
    paymentChanged @1 :PaymentChange;
    invoiceChanged @2 :InvoiceChange;
    overdue @3 :OverdueEvent;
    autoWriteOffEnded @4 :AutoWriteOffEnded;
  }
}

struct PaymentChange {
  paymentId @0 :Data;
  status @1 :PaymentStatus;
}

struct InvoiceChange {
  invoiceId @0 :Data;
  status @1 :InvoiceStatus;
}

struct OverdueEvent {
  # A friend has held a committed request for too long.
  name @0 :Text;
  requestId @1 :Data;
  amount @2 :Text;
}

struct AutoWriteOffEnded {
  # A friend has collected what was written off without asking the owner: that is lost, and nothing more is written off so.
  name @0 :Text;
  currency @1 :Text;
  amount @2 :Text;
}
