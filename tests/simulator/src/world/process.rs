//! What a process does: it starts, runs batches, and dies in them.

use super::{Crash, EPOCH_MS, Fault, Packet, Paths, World, checks, pair};
use crate::index;
use offst_funder::{Funder, Input, Moment, Output};

impl World {
    fn down(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.funder = None;
        node.inbox.clear();
        node.crash = None;
        node.contacts.clear();
        node.commands_of_this_run.clear();
        for other in 0..self.nodes.len() {
            if other == index {
                continue;
            }
            self.disconnect(index, other);
            self.links.remove(&(other, index));
        }
    }

    /// The process ends.
    pub fn kill(&mut self, index: usize) {
        if self.nodes[index].is_up() {
            self.faults.add(Fault::Killed);
        }
        self.down(index);
    }

    /// The process starts again from its disk.
    pub fn start(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.funder.is_some() || node.is_puppet {
            return;
        }
        node.funder = Some(Funder::restore(node.key, node.disk.image()).expect("the disk can be read"));
        node.booted = self.time;
        self.batch(index, vec![Input::Start]);
    }

    /// The time as a node sees it.
    pub fn now(&self, index: usize) -> Moment {
        Moment { uptime_ms: self.time - self.nodes[index].booted, unix_ms: EPOCH_MS + self.time }
    }

    /// Runs one batch of a node.
    pub fn batch(&mut self, index: usize, inputs: Vec<Input>) {
        let now = self.now(index);
        let time = self.time;
        let node = &mut self.nodes[index];
        let Some(funder) = node.funder.take() else { return };
        for input in &inputs {
            match input {
                Input::Statement(key, connection, statement) => {
                    self.trace.note(&(time, index, key, connection));
                    self.trace.bytes("statement", statement.wire());
                }
                input => self.trace.note(&(time, index, input)),
            }
        }
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
        if let Some(crash) = crash {
            self.faults.add(match crash {
                Crash::DiskFails => Fault::DiskFailed,
                Crash::BeforeCommit => Fault::DiedBeforeCommit,
                Crash::BeforeOutputs => Fault::DiedBeforeOutputs,
                Crash::BetweenOutputs => Fault::DiedBetweenOutputs,
            });
        }
        if crash == Some(Crash::BeforeCommit) {
            node.notebook.forgotten();
            return self.down(index);
        }
        node.disk.fails = crash == Some(Crash::DiskFails);
        let committed = effects.commit(&mut node.disk);
        node.disk.fails = false;
        // Machine and outputs are gone with the error: nothing is left to go on with.
        let Ok((funder, mut outputs)) = committed else {
            node.notebook.forgotten();
            return self.down(index);
        };
        node.notebook.committed();
        self.trace.bytes("commit", node.disk.trace.digest().as_bytes());
        if let Some(deadline) = funder.next_deadline() {
            assert!(deadline > now.uptime_ms, "a timer that is due has been left");
        }
        if node.disk.transactions.is_multiple_of(16) || crash.is_some() {
            checks::check_restored(&funder, node.key, &node.disk);
        }
        node.funder = Some(funder);
        self.check_limits(index);
        match crash {
            Some(Crash::BeforeOutputs) => outputs.clear(),
            Some(Crash::BetweenOutputs) => outputs.truncate(outputs.len() / 2),
            Some(Crash::BeforeCommit | Crash::DiskFails) | None => {}
        }
        for output in outputs {
            self.output(index, output);
        }
        if crash.is_some() {
            self.down(index);
        }
    }

    fn output(&mut self, index: usize, output: Output) {
        match &output {
            Output::Send(key, connection, frame) => {
                self.trace.note(&(self.time, index, key, connection));
                self.trace.bytes("frame", frame);
            }
            output => self.trace.note(&(self.time, index, output)),
        }
        match output {
            Output::Send(key, connection, frame) => {
                let to = self.index(key);
                checks::check_durable(&self.nodes[index], key, &frame);
                if self.connections.get(&pair(index, to)) == Some(&connection) {
                    self.links.entry((index, to)).or_default().push_back(Packet::Frame(connection, frame));
                }
            }
            Output::ReadEvidence(line, connection) => {
                let rows = self.nodes[index].disk.evidence(&line);
                self.nodes[index].inbox.push_back(Input::EvidenceRows(line, connection, rows));
            }
            Output::Reply(id, reply) => {
                let second = self.nodes[index].replies.insert(id, reply);
                assert_eq!(second, None, "a command is answered once");
            }
            Output::FindWays(id, query) => {
                self.questions += 1;
                let ways = match &mut self.paths {
                    Paths::Search => index::search(&self.edges, &query),
                    Paths::Given(ways) => ways.pop_front().unwrap_or_default(),
                };
                self.nodes[index].inbox.push_back(Input::Ways(id, Ok(ways)));
            }
            Output::Edges(edges) => {
                for edge in edges {
                    self.edges.insert((self.nodes[index].key, edge.friend, edge.currency.clone()), edge);
                }
            }
            Output::Contact(key, contact) => {
                if contact.is_some() {
                    self.nodes[index].contacts.insert(key);
                } else {
                    self.nodes[index].contacts.remove(&key);
                    let other = self.index(key);
                    self.disconnect(index, other);
                }
            }
            Output::Event(event) => self.nodes[index].events.push(event),
            Output::Relays(_) | Output::IndexServers(_) => {}
        }
    }
}
