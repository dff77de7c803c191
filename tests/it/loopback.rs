//! HTTP servers on loopback that answer as a test tells them and remember what they were sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The request line and the headers, in lower case.
    pub(crate) head: String,
    /// The body, which the tests send as text.
    pub(crate) body: String,
}

/// What to answer: `None` hangs for ever. The number counts requests from 0.
pub(crate) type Answer = dyn Fn(usize, &Request) -> Option<String> + Send + Sync;

/// A server that lives until it is dropped.
pub(crate) struct Server {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Listens on a free port.
    pub(crate) async fn start(answer: impl Fn(usize, &Request) -> Option<String> + Send + Sync + 'static) -> Server {
        Server::start_at("127.0.0.1:0", answer).await
    }

    /// Listens on a given address.
    pub(crate) async fn start_at(
        address: &str,
        answer: impl Fn(usize, &Request) -> Option<String> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(address).await.expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, answer): (_, Arc<Answer>) = (requests.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, log.clone(), answer.clone()));
            }
        });
        Server { address, requests, task }
    }

    /// What came so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    log: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Answer>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        while let Some(request) = read_request(&mut stream).await {
            let number = {
                let mut log = log.lock();
                log.push(request.clone());
                log.len() - 1
            };
            match answer(number, &request) {
                Some(text) if stream.write_all(text.as_bytes()).await.is_ok() => {}
                Some(_) => return,
                None => std::future::pending().await,
            }
        }
    })
}

/// The next request of a connection; `None` at its end.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).ok()?.to_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap_or(0));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { head, body: String::from_utf8(body).ok()? })
}

/// A response with a status such as `200 OK`, and further header lines.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

/// An address where nobody listens.
pub(crate) fn refused_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").to_string()
}

/// Waits until `condition` holds; fails the test with `what` after half a minute.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}
