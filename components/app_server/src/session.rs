//! What one connected application has in its hands: the capabilities behind `Node.open`.

mod buyer;
mod config;
mod context;
mod reports;
mod routes;
mod seller;
mod subscription;

use crate::backend::Backend;
use crate::limits::Limits;
use crate::network::SharedLoad;
use crate::permissions::{Grant, Permissions};
use buyer::Buyer;
use capnp::Error;
use capnp::capability::Rc;
use config::Config;
use context::Context;
use offst_crypto::PublicKey;
use offst_proto::wire::app_capnp as wire;
use reports::Reports;
use routes::Routes;
use seller::Seller;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Who is connected, and what the owner lets it do at any time.
pub(crate) struct App {
    pub(crate) public_key: PublicKey,
    pub(crate) grants: watch::Receiver<BTreeMap<PublicKey, Grant>>,
}

impl App {
    /// None when the owner does not trust the application.
    pub(crate) fn permissions(&self) -> Option<Permissions> {
        self.grants.borrow().get(&self.public_key).map(|grant| grant.permissions)
    }
}

/// The bootstrap capability. The others are made once, so that asking for them again costs nothing.
pub(crate) struct Session {
    app: App,
    reports: wire::reports::Client,
    buyer: wire::buyer::Client,
    seller: wire::seller::Client,
    config: wire::config::Client,
    routes: wire::routes::Client,
}

impl Session {
    pub(crate) fn new(app: App, backend: Arc<dyn Backend>, load: Rc<SharedLoad>, limits: &Limits) -> Self {
        let context = Rc::new(Context::new(app.public_key, backend, load, limits));
        Session {
            app,
            reports: capnp_rpc::new_client(Reports { context: context.clone() }),
            buyer: capnp_rpc::new_client(Buyer { context: context.clone() }),
            seller: capnp_rpc::new_client(Seller { context: context.clone() }),
            config: capnp_rpc::new_client(Config { context: context.clone() }),
            routes: capnp_rpc::new_client(Routes { context }),
        }
    }
}

impl wire::node::Server for Session {
    // R6.1.
    async fn open(
        self: Rc<Self>,
        _: wire::node::OpenParams,
        mut results: wire::node::OpenResults,
    ) -> Result<(), Error> {
        let permissions = self.app.permissions().ok_or_else(|| Error::failed(wire::NOT_TRUSTED.into()))?;
        let mut answer = results.get();
        answer.set_version(env!("CARGO_PKG_VERSION"));
        answer.set_reports(self.reports.clone());
        if permissions.buyer {
            answer.set_buyer(self.buyer.clone());
        }
        if permissions.seller {
            answer.set_seller(self.seller.clone());
        }
        if permissions.config {
            answer.set_config(self.config.clone());
        }
        if permissions.routes {
            answer.set_routes(self.routes.clone());
        }
        Ok(())
    }
}
