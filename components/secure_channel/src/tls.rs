//! TLS 1.3 with both sides authenticated by their Ed25519 keys: everything that knows rustls (protocol section 3).
//!
//! No certificate authority, names, tickets or resumption; one key exchange (X25519) and one signature scheme (Ed25519).
//! ALPN carries the version of everything spoken inside.

use crate::certificate::{CertificateError, certificate, certified_key};
use offst_crypto::{Ed25519Verifier, Identity, PublicKey, Signature, Verifier};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig, SignatureScheme, version,
};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The version of the protocol, as ALPN names it.
const VERSION: &[u8] = b"offst/1";

/// Why a handshake failed. No byte of the application was sent.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The handshake took too long.
    #[error("the secure handshake did not end within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The peer has another key than the one that was asked for.
    #[error("the other side has the key {found}, not {expected}")]
    OtherKey {
        /// The key that was asked for.
        expected: PublicKey,
        /// The key the peer showed.
        found: PublicKey,
    },
    /// The peer's certificate does not hold a key that we accept.
    #[error(transparent)]
    Certificate(CertificateError),
    /// The peer does not speak this protocol, or another version of it.
    #[error("the other side does not speak offst/1; one of the two programs is older or is not Offst")]
    OtherProtocol,
    /// The connection broke, or the peer does not speak TLS as we do.
    #[error("the secure handshake failed: {0}")]
    Failed(io::Error),
}

/// The error of our certificate verifier, which passes through rustls.
#[derive(Debug, Clone, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the key is {found}, not {expected}")]
    OtherKey { expected: PublicKey, found: PublicKey },
}

impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> Self {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(OtherError(other)))) => {
                match other.downcast_ref::<Refused>() {
                    Some(Refused::Certificate(reason)) => HandshakeError::Certificate(reason.clone()),
                    Some(Refused::OtherKey { expected, found }) => {
                        HandshakeError::OtherKey { expected: *expected, found: *found }
                    }
                    None => HandshakeError::Failed(error),
                }
            }
            Some(
                rustls::Error::NoApplicationProtocol
                | rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol),
            ) => HandshakeError::OtherProtocol,
            _ => HandshakeError::Failed(error),
        }
    }
}

/// Accepts the certificate of any key, or of one.
#[derive(Debug)]
struct KeyVerifier {
    /// The only key that is accepted, or any.
    expected: Option<PublicKey>,
}

impl KeyVerifier {
    fn check(&self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<(), Refused> {
        if !intermediates.is_empty() {
            return Err(CertificateError::Format.into());
        }
        let found = certified_key(end_entity)?;
        match self.expected {
            Some(expected) if expected != found => Err(Refused::OtherKey { expected, found }),
            _ => Ok(()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let bad = || rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature);
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(bad());
        }
        let key = certified_key(certificate).map_err(Refused::from)?;
        let signature = Signature::from_slice(signed.signature()).ok_or_else(bad)?;
        if Ed25519Verifier.verify(&key, message, &signature) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad())
        }
    }
}

/// TLS 1.2 is not offered, so no peer gets here.
fn tls12_is_refused() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::PeerIncompatible::Tls12NotOfferedOrEnabled.into())
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12_is_refused()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for KeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        tls12_is_refused()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

// R3.1.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.kx_groups = vec![ring::kx_group::X25519];
    Arc::new(provider)
}

/// Proves our key and verifies the peer's, over any stream of bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authenticator {
    public_key: PublicKey,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Authenticator {
    /// Prepares both roles for `identity`.
    pub fn new(identity: &Identity) -> Self {
        let certificate = certificate(identity);
        let private_key = || PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.to_der().to_vec()));
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .expect("the ring provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(KeyVerifier { expected: None }))
            .with_client_auth_cert(vec![certificate.clone()], private_key())
            .expect("the certificate was made for this key");
        client.alpn_protocols = vec![VERSION.to_vec()];
        client.enable_sni = false;
        client.resumption = rustls::client::Resumption::disabled();
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .expect("the ring provider has TLS 1.3")
            .with_client_cert_verifier(Arc::new(KeyVerifier { expected: None }))
            .with_single_cert(vec![certificate], private_key())
            .expect("the certificate was made for this key");
        server.alpn_protocols = vec![VERSION.to_vec()];
        server.send_tls13_tickets = 0;
        server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        Authenticator { public_key: identity.public_key(), client: Arc::new(client), server: Arc::new(server) }
    }

    /// Our own key.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Makes `stream` secure as the side that dialled, and checks that the peer has the key `expected` before any byte
    /// of the application is sent.
    ///
    /// The peer may still refuse *us* after this has returned; then the first read fails.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn connect_over<S>(
        &self,
        stream: S,
        expected: PublicKey,
        timeout: Duration,
    ) -> Result<SecureStream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = ClientConfig::clone(&self.client);
        config.dangerous().set_certificate_verifier(Arc::new(KeyVerifier { expected: Some(expected) }));
        // TLS wants a name; it is neither sent nor checked.
        let name = ServerName::try_from("offst").expect("a valid name");
        let handshake = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = tokio::time::timeout(timeout, handshake).await.map_err(|_| HandshakeError::Timeout(timeout))??;
        if stream.get_ref().1.alpn_protocol() != Some(VERSION) {
            return Err(HandshakeError::OtherProtocol);
        }
        Ok(SecureStream(stream.into()))
    }

    /// Makes `stream` secure as the side that was dialled. The key returned is the peer's: it has proved to hold the
    /// private key. The caller decides whether it is accepted.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn accept_over<S>(
        &self,
        stream: S,
        timeout: Duration,
    ) -> Result<(PublicKey, SecureStream<S>), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = tokio_rustls::TlsAcceptor::from(self.server.clone()).accept(stream);
        let stream = tokio::time::timeout(timeout, handshake).await.map_err(|_| HandshakeError::Timeout(timeout))??;
        let (_, connection) = stream.get_ref();
        if connection.alpn_protocol() != Some(VERSION) {
            return Err(HandshakeError::OtherProtocol);
        }
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.ok_or(HandshakeError::Certificate(CertificateError::Format))?;
        let key = certified_key(certificate).map_err(HandshakeError::Certificate)?;
        Ok((key, SecureStream(stream.into())))
    }
}

/// An encrypted stream to a peer whose key is known. A stream that ends without a TLS close gives an error of kind
/// `UnexpectedEof`.
#[derive(Debug)]
pub struct SecureStream<S>(tokio_rustls::TlsStream<S>);

impl<S> SecureStream<S> {
    /// The stream underneath, for its addresses and options.
    pub fn inner(&self) -> &S {
        self.0.get_ref().0
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for SecureStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for SecureStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
