//! What a process does: it starts, runs batches, and dies in them.

use super::disk::Disk;
use super::links::{Packet, pair};
use super::{Crash, EPOCH_MS, EventKind, InjectedFault, Node, World, checks};
use offst_funder::{Effects, Funder, Input, Moment, Output};
use offst_proto::encoding::Canonical;
use offst_proto::friend::FriendMessage;

impl World {
    fn down(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.funder = None;
        if let Some((_, effects)) = node.writing.take() {
            // Whether a transaction that was being written is on the disk, nobody knows before looking.
            let before = node.disk.transactions;
            if self.dice.chance(50) {
                let (_, outputs) = effects.commit(&mut node.disk).expect("the disk writes");
                node.signer_log.committed();
                if node.disk.transactions > before && outputs.iter().any(is_told) {
                    self.faults.add(InjectedFault::DiedBeforeOutputs);
                }
            } else {
                node.disk.fails = true;
                if effects.commit(&mut node.disk).is_err() {
                    self.faults.add(InjectedFault::DiedBeforeCommit);
                }
                node.disk.fails = false;
                node.signer_log.reset_memory();
            }
        }
        node.slow_ms = 0;
        node.inbox.clear();
        node.crash = None;
        node.contacts.clear();
        node.commands_of_this_run.clear();
        for other in 0..self.nodes.len() {
            if other == index {
                continue;
            }
            self.disconnect(index, other);
            self.links.clear(other, index);
        }
        self.relays_ended(index);
        if self.reconnects {
            let pause = 50 + self.dice.below(15_000) as u64;
            self.plan(pause, super::scheduler::Plan::Start(index));
        }
    }

    /// The process ends.
    pub fn kill(&mut self, index: usize) {
        if self.nodes[index].is_up() {
            self.faults.add(InjectedFault::Killed);
        }
        self.down(index);
    }

    /// The node goes on with another disk. `is_told`: it will know that its disk is not the newest.
    pub fn replace_disk(&mut self, index: usize, disk: Disk, is_told: bool) {
        self.change_disk(index, disk, is_told);
        self.start(index);
    }

    /// The same, and the process has not started again.
    pub(super) fn change_disk(&mut self, index: usize, disk: Disk, is_told: bool) {
        self.kill(index);
        let unix_ms = self.now(index).unix_ms;
        let liars: Vec<_> = self.liars.iter().map(|liar| self.key(*liar)).collect();
        let node = &mut self.nodes[index];
        node.past.push(std::mem::replace(&mut node.disk, disk));
        if !is_told {
            node.signer_log.torn_out();
        } else if unix_ms < node.latest_ms {
            node.signer_log.openings_torn_out();
        }
        node.signer_log.torn_out_ahead(&liars, unix_ms);
    }

    /// The process starts again from its disk.
    pub fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.is_up()
            || node.is_puppet
            || node.is_away
            || self.replacements.contains_key(&index)
            || (self.liars_are_gone && self.liars.contains(&index))
        {
            return;
        }
        node.funder = Some(Funder::restore(node.key, node.disk.rows()).expect("the disk can be read"));
        node.booted = self.time;
        node.connected_over.clear();
        node.asked_while_suspect.clear();
        self.faults.did(EventKind::Restarted);
        self.forget_told(index);
        self.forget_account_records(index);
        self.relays_started(index);
        let inputs = self.grants(index).into_iter().chain([Input::Start]).collect();
        self.batch(index, inputs);
    }

    /// The time as a node sees it.
    pub fn now(&self, index: usize) -> Moment {
        let Node { booted, clock_ahead_ms, clock_behind_ms, .. } = &self.nodes[index];
        let unix_ms = (EPOCH_MS + self.time + clock_ahead_ms).saturating_sub(*clock_behind_ms);
        Moment { uptime_ms: self.time - booted, unix_ms }
    }

    fn record_inputs(&mut self, index: usize, inputs: &[Input]) {
        for input in inputs {
            match input {
                Input::Statement(key, connection, statement) => {
                    for trace in [&mut self.trace, &mut self.wire] {
                        trace.bytes("from", key.as_bytes());
                        trace.number(index as u64 ^ self.time << 8 ^ connection << 40);
                        trace.bytes("statement", statement.wire());
                    }
                }
                Input::Tick => self.trace.number(index as u64 ^ self.time << 8),
                input => self.trace.note(&(self.time, index, input)),
            }
            let connected_over = &mut self.nodes[index].connected_over;
            match input {
                Input::Connected(key, connection) => {
                    connected_over.insert(*key, *connection);
                }
                Input::Disconnected(key, connection) => connected_over.retain(|of, on| of != key || on != connection),
                Input::Message(key, _, message) if matches!(**message, FriendMessage::Resolve(_)) => {
                    let node = &mut self.nodes[index];
                    if node.is_suspect_with(*key) {
                        node.asked_while_suspect.insert(*key);
                    }
                }
                _ => {}
            }
            self.tell_input(index, input);
        }
    }

    /// Runs one batch of a node.
    pub fn batch(&mut self, index: usize, inputs: Vec<Input>) {
        if self.nodes[index].funder.is_none() {
            return;
        }
        self.nodes[index].latest_ms = self.nodes[index].latest_ms.max(self.now(index).unix_ms);
        self.record_inputs(index, &inputs);
        self.record_statements(index, &inputs);
        self.record_period(index);
        let now = self.now(index);
        let node = &mut self.nodes[index];
        let Some(funder) = node.funder.take() else { return };
        node.batches += 1;
        let crash = match &mut node.crash {
            Some((0, crash)) => Some(*crash),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        let mut batch = funder.batch(&mut node.environment, now);
        inputs.into_iter().for_each(|input| batch.handle(input));
        let effects = batch.finish();
        let slow_ms = if crash.is_none() { std::mem::take(&mut node.slow_ms) } else { 0 };
        if slow_ms > 0 {
            self.counter += 1;
            let number = self.counter;
            self.nodes[index].writing = Some((number, effects));
            self.faults.add(InjectedFault::SlowDisk);
            return self.plan(slow_ms, super::scheduler::Plan::Written(index, number));
        }
        self.commit(index, effects, crash, Some(now));
    }

    /// A slow transaction is written.
    pub(super) fn written(&mut self, index: usize, number: u64) {
        if let Some((_, effects)) = self.nodes[index].writing.take_if(|(current, _)| *current == number) {
            self.commit(index, effects, None, None);
        }
    }

    fn record_death(&mut self, index: usize, crash: Crash) {
        self.tell(|| format!("node {index} dies: {crash:?}"));
        self.faults.add(match crash {
            Crash::DiskFails => InjectedFault::DiskFailed,
            Crash::BeforeCommit => InjectedFault::DiedBeforeCommit,
            Crash::BeforeOutputs => InjectedFault::DiedBeforeOutputs,
            Crash::BetweenOutputs => InjectedFault::DiedBetweenOutputs,
        });
    }

    /// How many of a batch's outputs still go out before the process dies; none: it does not die in this batch.
    fn outputs_before_death(&mut self, crash: Crash, wrote: bool, outputs: &[Output]) -> Option<usize> {
        match crash {
            // The disk had nothing to refuse.
            Crash::DiskFails | Crash::BeforeCommit => None,
            Crash::BeforeOutputs => (wrote && outputs.iter().any(is_told)).then_some(0),
            Crash::BetweenOutputs => {
                let sends = outputs.iter().enumerate().filter(|(_, output)| matches!(output, Output::Send(..)));
                let sends: Vec<usize> = sends.map(|(place, _)| place).collect();
                let between = sends.len().checked_sub(1).filter(|between| *between > 0)?;
                // Whatever stands between the last that goes out and the first that does not is lost too.
                Some(sends[self.dice.below(between)] + 1)
            }
        }
    }

    /// `crash`: how the process dies in the first batch from now on in which that is possible. A death before a commit
    /// that writes nothing, or after one that nobody learns of, would be no other than one between two batches.
    ///
    /// `now`: when the batch ran, if that is now.
    fn commit(&mut self, index: usize, effects: Effects, crash: Option<Crash>, now: Option<Moment>) {
        let node = &mut self.nodes[index];
        let before = node.disk.transactions;
        node.disk.fails = matches!(crash, Some(Crash::DiskFails | Crash::BeforeCommit));
        let committed = effects.commit(&mut node.disk);
        node.disk.fails = false;
        // Machine and outputs are gone with the error: nothing is left to go on with.
        let Ok((funder, mut outputs)) = committed else {
            node.signer_log.reset_memory();
            self.record_death(index, crash.expect("a disk fails only then"));
            return self.down(index);
        };
        let wrote = node.disk.transactions > before;
        node.signer_log.committed();
        self.trace.bytes("commit", node.disk.trace.digest().as_bytes());
        if let Some((deadline, now)) = funder.next_deadline().zip(now) {
            assert!(deadline > now.uptime_ms, "a timer that is due has been left");
        }
        if wrote {
            checks::check_stopped(&funder, node.key, &node.disk);
            checks::check_ties(&funder, &node.disk);
        }
        if node.disk.transactions.is_multiple_of(self.compare_every) {
            self.faults.did(EventKind::Compared);
            checks::check_touched(&funder, node.key, &node.disk);
            node.disk.touched.clear();
        }
        if crash.is_some() || node.disk.transactions.is_multiple_of(128) {
            self.faults.did(EventKind::ComparedAll);
            checks::check_restored(&funder, node.key, &node.disk);
        }
        let dropped = std::mem::take(&mut node.disk.dropped);
        let ended = std::mem::take(&mut node.disk.ended);
        node.funder = Some(funder);
        for account_id in dropped {
            self.dropped(index, account_id.friend, &account_id.currency);
        }
        self.count_spent(index, &ended);
        self.record_denied(index);
        self.check_limits(index);
        self.check_account_records(index);
        self.check_auto_write_offs(index);
        self.check_second_statements(index);
        self.check_lost_keys(index);
        self.check_withheld_states(index);
        let death = crash.and_then(|crash| Some((crash, self.outputs_before_death(crash, wrote, &outputs)?)));
        if let Some((crash, left)) = death {
            outputs.truncate(left);
            self.record_death(index, crash);
        }
        for output in outputs {
            self.output(index, output);
        }
        if death.is_some() {
            self.down(index);
        }
    }

    fn output(&mut self, index: usize, output: Output) {
        self.check_not_lost(index, &output);
        match &output {
            Output::Send(key, connection, frame) => {
                for trace in [&mut self.trace, &mut self.wire] {
                    trace.bytes("to", key.as_bytes());
                    trace.number(index as u64 ^ self.time << 8 ^ connection << 40);
                    trace.bytes("frame", frame);
                }
            }
            Output::Edges(edges) => {
                self.trace.number(index as u64 ^ self.time << 8);
                self.wire.number(self.time);
                edges.iter().for_each(|edge| self.wire.bytes("edge", &edge.to_canonical_bytes()));
            }
            Output::Event(_) => self.trace.number(index as u64 ^ self.time << 8),
            output => self.trace.note(&(self.time, index, output)),
        }
        match output {
            Output::Send(key, connection, frame) => {
                let to = self.index(key);
                checks::check_durable(&self.nodes[index], key, &frame);
                if self.liars.contains(&index) {
                    self.remember(index, to, &frame);
                }
                let is_lost = self.links.is_dead(index, to) || self.nodes[index].is_silent;
                if !is_lost && self.connections.get(&pair(index, to)) == Some(&connection) {
                    self.links.push(index, to, Packet::Frame(connection, frame));
                }
            }
            Output::ReadEvidence(account_id, connection) => {
                let rows = self.nodes[index].disk.evidence(&account_id);
                self.nodes[index].inbox.push_back(Input::EvidenceRows(account_id, connection, rows));
            }
            Output::Reply(id, reply) => {
                checks::check_reply(&self.nodes[index], &reply);
                let second = self.nodes[index].replies.insert(id, reply);
                assert_eq!(second, None, "a command is answered once");
            }
            Output::FindRoutes(id, query) => {
                self.questions += 1;
                let routes = self.answer(&query);
                self.nodes[index].inbox.push_back(Input::Routes(id, routes));
            }
            Output::Edges(edges) => {
                self.publish(index, edges);
            }
            Output::Contact(key, contact) => {
                let relays = contact.as_ref().map(|contact| contact.relays.clone());
                if contact.is_some() {
                    self.nodes[index].contacts.insert(key);
                    let other = self.index(key);
                    if self.reconnects && !self.is_connected(index, other) {
                        self.plan(20, super::scheduler::Plan::Connect(index, other));
                    }
                } else {
                    self.nodes[index].contacts.remove(&key);
                    let other = self.index(key);
                    self.disconnect(index, other);
                }
                self.wants_friend(index, key, relays);
            }
            Output::LookUp(key, connection, question) => {
                let asked_while_suspect = self.nodes[index].asked_while_suspect.remove(&key);
                let found = question.look_up(key, &self.nodes[index].disk).unwrap_or_else(|never| match never {});
                checks::check_said_while_suspect(&self.nodes[index], key, asked_while_suspect, &found);
                self.nodes[index].inbox.push_back(Input::Found(key, connection, found));
            }
            Output::Event(event) => self.nodes[index].events.push(event),
            Output::Relays(tickets) => self.wants_relays(index, tickets),
            Output::IndexServers(_) => {}
        }
    }
}

/// Whether somebody outside of the process learns of it.
fn is_told(output: &Output) -> bool {
    matches!(output, Output::Send(..) | Output::Reply(..))
}
