//! What happened in a run, as text.

use crate::world::World;
use offst_funder::Input;
use offst_proto::statement::Operation;

/// The first bytes of an id are enough to tell it from others.
fn short(id: &impl std::fmt::Display) -> String {
    id.to_string().chars().take(6).collect()
}

impl World {
    /// Adds a line, when somebody wants to read it.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        let time = self.time;
        if let Some(story) = &mut self.story {
            story.push(format!("{time:>8} ms  {}", line()));
        }
    }

    pub(crate) fn tell_input(&mut self, index: usize, input: &Input) {
        if self.story.is_none() {
            return;
        }
        let line = match input {
            Input::Tick => return,
            Input::Start => format!("node {index} starts"),
            Input::Connected(key, connection) => {
                format!("node {index} is connected with node {} ({connection})", self.index(*key))
            }
            Input::Disconnected(key, connection) => {
                format!("node {index} loses the connection with node {} ({connection})", self.index(*key))
            }
            Input::Resume(key, _, resume) => {
                let epoch = resume.epoch.as_ref();
                let position = epoch.map(|epoch| format!("{} at {}/{}", epoch.number, epoch.own_seq, epoch.other_seq));
                let terms = resume.opening.as_ref().map(|opening| (opening.peek().epoch, opening.peek().balance));
                format!("node {index} is told by node {}: {position:?}, opening {terms:?}", self.index(*key))
            }
            Input::Statement(key, _, statement) => {
                let operations: Vec<_> = statement.operations.iter().map(operation).collect();
                let what = operations.join(", ");
                format!("node {index} gets statement {} of node {}: {what}", statement.seq, self.index(*key))
            }
            Input::Evidence(key, ..) => format!("node {index} is shown an account by node {}", self.index(*key)),
            Input::EvidenceStatements(key, _, statements) => {
                format!("node {index} is shown {} statements by node {}", statements.len(), self.index(*key))
            }
            Input::EvidenceRows(account_id, ..) => {
                format!("node {index} has read what node {} asked for", self.index(account_id.friend))
            }
            Input::Message(key, _, message) => {
                let text: String = format!("{message:?}").chars().take(80).collect();
                format!("node {index} is told by node {}: {text}", self.index(*key))
            }
            Input::Found(..) => format!("node {index} has looked something up"),
            Input::Budgets(_) => format!("node {index} is told what its applications may spend"),
            Input::Command(_, command) => {
                let text: String = format!("{command:?}").chars().take(120).collect();
                format!("node {index} is told: {text}")
            }
            Input::Routes(id, routes) => {
                let routes = routes.as_ref().map(|routes| {
                    let route = |route: &offst_proto::route::Route| {
                        let part = |part: &offst_proto::route::PartPlan| {
                            let path: Vec<_> = part.path.iter().map(|key| self.index(*key).to_string()).collect();
                            format!("{}+{} over {}", part.amount, part.fees, path.join("-"))
                        };
                        route.parts.iter().map(part).collect::<Vec<_>>().join(" and ")
                    };
                    routes.iter().map(route).collect::<Vec<_>>()
                });
                format!("node {index} has routes for payment {}: {routes:?}", short(id))
            }
        };
        self.tell(|| line);
    }
}

/// One operation, in short.
fn operation(operation: &Operation) -> String {
    match operation {
        Operation::Request(request) => {
            format!("request {} of {}+{}", short(&request.id), request.amount, request.fees_left)
        }
        Operation::Response(answer) => format!("response {}", short(&answer.id)),
        Operation::Commit { id } => format!("commit {}", short(id)),
        Operation::Abort { id } => format!("abort {}", short(id)),
        Operation::Collect { id, .. } => format!("collect {}", short(id)),
        Operation::Cancel { id, reason, .. } => format!("cancel {} ({reason})", short(id)),
        Operation::SetLimit(limit) => format!("limit {limit}"),
        Operation::SetOpen(open) => format!("open {open}"),
    }
}
