//! Asking for routes.

use super::buyer::quote;
use super::context::Context;
use capnp::Error;
use capnp::capability::Rc;
use offst_proto::wire::app_capnp::routes;

pub(super) struct Routes {
    pub(super) context: Rc<Context>,
}

impl routes::Server for Routes {
    async fn quote(
        self: Rc<Self>,
        params: routes::QuoteParams,
        mut results: routes::QuoteResults,
    ) -> Result<(), Error> {
        quote(&self.context, params.get()?.get_order()?, results.get().init_result()).await
    }
}
