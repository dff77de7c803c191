//! Servers on loopback that do one bad thing to whoever asks them, and good ones.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::authority::{Authority, Validity, server_config};
use crate::loopback::refused_address;

/// What a server does to each connection.
#[derive(Clone)]
pub(crate) enum Does {
    /// Is not there.
    Refuse,
    /// Never answers.
    Nothing,
    /// Sends this, then closes.
    Send(Arc<Vec<u8>>),
    /// Sends this, then breaks the connection off.
    SendAndReset(&'static str),
    /// Sends the first, then the second again and again.
    Repeat(&'static str, Arc<Vec<u8>>, Duration),
    /// Shakes hands with such a certificate, then answers well.
    Tls(Certificate),
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Certificate {
    /// Nothing, but whoever asks must show one, too.
    AndWantsOne,
    OfAStranger,
    Expired,
    ForAnotherName,
}

impl Does {
    /// Answers with these bytes.
    pub(crate) fn send(answer: impl Into<Vec<u8>>) -> Does {
        Does::Send(Arc::new(answer.into()))
    }
}

/// What a good target answers over TLS.
const FINE: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 7\r\nconnection: close\r\n\r\nfine 1\n";

/// Starts a server; its address. `authority` is the one that clients trust.
pub(crate) async fn serve(does: Does, authority: &Authority) -> String {
    match does {
        Does::Refuse => refused_address(),
        Does::Nothing => {
            raw(|stream| async move {
                let _held = stream;
                std::future::pending().await
            })
            .await
        }
        Does::Send(bytes) => {
            raw(move |mut stream| {
                let bytes = bytes.clone();
                async move {
                    if stream.write_all(&bytes).await.is_ok() {
                        close(stream).await;
                    }
                }
            })
            .await
        }
        Does::SendAndReset(text) => {
            raw(move |mut stream| async move {
                let _ = stream.write_all(text.as_bytes()).await;
                // What was sent must have been read before the reset overtakes it.
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.set_zero_linger().expect("linger");
            })
            .await
        }
        Does::Repeat(head, piece, pause) => {
            raw(move |mut stream| {
                let piece = piece.clone();
                async move {
                    let mut sent = stream.write_all(head.as_bytes()).await;
                    while sent.is_ok() {
                        if !pause.is_zero() {
                            tokio::time::sleep(pause).await;
                        }
                        sent = stream.write_all(&piece).await;
                    }
                }
            })
            .await
        }
        Does::Tls(certificate) => serve_tls(certificate, authority).await,
    }
}

async fn serve_tls(certificate: Certificate, authority: &Authority) -> String {
    let signed = match certificate {
        Certificate::OfAStranger => Authority::new("stranger").sign("127.0.0.1", Validity::Current),
        Certificate::Expired => authority.sign("127.0.0.1", Validity::Expired),
        Certificate::ForAnotherName => authority.sign("other.example", Validity::Current),
        Certificate::AndWantsOne => authority.sign("127.0.0.1", Validity::Current),
    };
    let wanted = (certificate == Certificate::AndWantsOne).then_some(authority);
    let acceptor = TlsAcceptor::from(Arc::new(server_config(&signed, wanted.as_slice())));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if read_request(&mut stream).await.is_some() {
                    let _ = stream.write_all(FINE.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    address
}

/// A server that does with each connection what `answer` does, after the request was read.
pub(crate) async fn raw<F>(answer: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                // A request that cannot be read, such as a TLS handshake, is answered all the same.
                read_request(&mut stream).await;
                answer(stream).await;
            });
        }
    });
    address
}

/// Up to the end of the head, or of the connection; the first bytes of a handshake are enough, too.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => request.extend_from_slice(&piece[..length]),
        }
        if request.starts_with(&[0x16]) {
            break;
        }
    }
    Some(request)
}

/// Closes in order: unread bytes would turn the end into a reset.
async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let _ = stream.shutdown().await;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
}

/// A target that is always well: it counts its scrapes in `scrapes_total` and has a hundred series beside.
pub(crate) async fn good(wants_gzip: bool) -> String {
    let scrapes = Arc::new(AtomicU64::new(0));
    raw(move |mut stream| {
        let scrapes = scrapes.clone();
        async move {
            let number = scrapes.fetch_add(1, Ordering::Relaxed);
            let series: String = (0..100).map(|i| format!("g{{i=\"{i}\"}} {number}\n")).collect();
            let body = format!("# TYPE scrapes_total counter\nscrapes_total {number}\n{series}").into_bytes();
            let answer = if wants_gzip {
                answer("content-type: text/plain\r\ncontent-encoding: gzip\r\n", &gzip(&body))
            } else {
                answer("content-type: text/plain\r\n", &body)
            };
            if stream.write_all(&answer).await.is_ok() {
                close(stream).await;
            }
        }
    })
    .await
}

/// A target with `series` other series at each scrape, which it counts in `scrapes`.
pub(crate) async fn bomb(series: usize, scrapes: Arc<AtomicUsize>) -> String {
    raw(move |mut stream| {
        let number = scrapes.fetch_add(1, Ordering::Relaxed);
        async move {
            let body: String = (0..series).map(|i| format!("m_{i}{{run=\"{number}\"}} 1\n")).collect();
            if stream.write_all(&answer("content-type: text/plain\r\n", body.as_bytes())).await.is_ok() {
                close(stream).await;
            }
        }
    })
    .await
}

/// A 200 whose length is right.
pub(crate) fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Packs `bytes`.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}
