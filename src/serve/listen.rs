//! Connections: plain ones are the framework's, TLS is done here.
//!
//! In the flow: one task for each listener; the TLS configuration is asked for anew by each connection.
//! **Invariants.** A listener that ends lets requests under way come to their end. No client holds up another: handshakes run apart.
//! **Limits.** [`CONNECTIONS_MAX`], [`HANDSHAKE_TIME_MAX`], [`HEAD_TIME_MAX`].

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::web_config::WebConfig;

/// Connections over TLS at once on one listener; further ones wait to be accepted. The number of Prometheus.
const CONNECTIONS_MAX: usize = 512;
/// A client that has not shaken hands by then is no client.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and how long a connection may be idle. Prometheus's `--web.read-timeout`.
const HEAD_TIME_MAX: Duration = Duration::from_secs(300);
/// How long to wait where the system cannot give us a connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Serves one listener until aborted.
pub(super) fn serve(listener: TcpListener, routes: axum::Router, web: Option<Arc<WebConfig>>) -> JoinHandle<()> {
    match web.filter(|web| web.speaks_tls()) {
        Some(web) => tokio::spawn(serve_tls(listener, routes, web)),
        None => tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "a listener ended");
            }
        }),
    }
}

async fn serve_tls(listener: TcpListener, routes: axum::Router, web: Arc<WebConfig>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropped when this task is aborted, which tells the connections to come to their end.
    let (_listening, open) = watch::channel(());
    loop {
        let place = places.clone().acquire_owned().await.expect("BUG: the places were closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (routes, web, open) = (routes.clone(), web.clone(), open.clone());
        tokio::spawn(async move {
            if let Err(error) = serve_connection(stream, routes, &web, open).await {
                tracing::debug!(error, "a connection ended early");
            }
            drop(place);
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    routes: axum::Router,
    web: &WebConfig,
    mut open: watch::Receiver<()>,
) -> Result<(), String> {
    let config = web.tls().expect("BUG: TLS went away");
    let handshake = tokio::time::timeout(HANDSHAKE_TIME_MAX, TlsAcceptor::from(config).accept(stream));
    let stream = handshake.await.map_err(|_| "the handshake took too long".to_owned())?;
    let stream = stream.map_err(|error| error.to_string())?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIME_MAX);
    let builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(connection);
    tokio::select! {
        outcome = connection.as_mut() => return outcome.map_err(|error| error.to_string()),
        // An error: the sender is gone. Nothing is ever sent.
        _ = open.changed() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(|error| error.to_string())
}
