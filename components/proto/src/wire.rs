//! The code generated from the schemas in `capnp/`. Links are read and written through the typed messages of the other
//! modules; only the application interface is used as it is, by the two crates that speak it.

macro_rules! generated {
    ($($name:ident, $file:literal;)*) => {$(
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::unimplemented)]
        pub mod $name {
            include!(concat!(env!("OUT_DIR"), "/", $file));
        }
    )*};
}

generated! {
    app_capnp, "app_capnp.rs";
    federation_capnp, "federation_capnp.rs";
    friend_capnp, "friend_capnp.rs";
    index_capnp, "index_capnp.rs";
    relay_capnp, "relay_capnp.rs";
}
