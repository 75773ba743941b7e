//! What can go wrong between an application and its node.

use offst_crypto::PublicKey;
use offst_proto::app::{MessageError, Refusal};
use offst_proto::wire::app_capnp::NOT_TRUSTED;
use offst_secure_channel::ConnectError;
use std::time::Duration;

/// What the owner of a node can let an application do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Paying.
    Buyer,
    /// Making invoices.
    Seller,
    /// Friends, relays and index servers.
    Config,
    /// Asking for routes.
    Routes,
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Permission::Buyer => "buyer",
            Permission::Seller => "seller",
            Permission::Config => "config",
            Permission::Routes => "routes",
        })
    }
}

/// Why the node did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The node cannot be reached, or somebody else answers in its place. Nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The node accepted the connection but does not answer.
    #[error("the node does not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The node's owner does not trust this application.
    #[error(
        "this app is not trusted by the node: run `stnode trust --app FILE --permissions LIST` with the app's ticket ({app})"
    )]
    NotTrusted {
        /// The application's key.
        app: PublicKey,
    },
    /// The node's owner has not granted this.
    #[error("permission denied: {0}")]
    PermissionDenied(Permission),
    /// The node refused the command, in its own words. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The node knows no payment or invoice of this id.
    #[error("the node knows no {0} of this id")]
    Unknown(&'static str),
    /// The connection was lost: what was asked for last may or may not have happened. A payment that is ordered again under
    /// the same id is paid once.
    #[error("the connection to the node was lost: {0}")]
    Disconnected(String),
    /// The node did not accept the call.
    #[error("the node did not accept the call: {0}")]
    Call(String),
    /// The node is of another version, or broken.
    #[error("the node's answer is not understood: {0}")]
    Answer(#[from] MessageError),
}

impl From<capnp::Error> for AppError {
    fn from(error: capnp::Error) -> Self {
        let reason = error.extra.strip_prefix("remote exception: ").unwrap_or(&error.extra).to_owned();
        match error.kind {
            capnp::ErrorKind::Disconnected => AppError::Disconnected(reason),
            // The stream ended without a farewell.
            capnp::ErrorKind::PrematureEndOfFile => AppError::Disconnected("the node closed it".into()),
            capnp::ErrorKind::Failed | capnp::ErrorKind::Overloaded | capnp::ErrorKind::Unimplemented => {
                AppError::Call(reason)
            }
            _ => AppError::Answer(error.into()),
        }
    }
}

impl From<capnp::NotInSchema> for AppError {
    fn from(error: capnp::NotInSchema) -> Self {
        AppError::Answer(error.into())
    }
}

impl From<Refusal> for AppError {
    fn from(refusal: Refusal) -> Self {
        AppError::Refused(refusal.message)
    }
}

impl AppError {
    /// What it means when the very first call fails.
    pub(crate) fn of_first_call(error: capnp::Error, app: PublicKey) -> Self {
        if error.extra.contains(NOT_TRUSTED) { AppError::NotTrusted { app } } else { error.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(AppError::PermissionDenied(Permission::Buyer).to_string(), "permission denied: buyer");
        let app = offst_crypto::Identity::from_seed([1; 32]).public_key();
        let abort = capnp::Error::failed(format!("remote exception: {NOT_TRUSTED}"));
        let error = AppError::of_first_call(abort, app).to_string();
        assert!(error.starts_with("this app is not trusted by the node: run `stnode trust "), "{error}");
        let error = AppError::from(capnp::Error::overloaded("remote exception: too many".into()));
        assert_eq!(error.to_string(), "the node did not accept the call: too many");
    }
}
