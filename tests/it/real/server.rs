//! Peers whose behaviour the test decides: a target or a receiver that answers, fails or hangs, and one that hands on what it is sent.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::process::wait_for;

/// What a request gets.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// 200 with this body.
    Answers(&'static str),
    /// The same, where `%TIME%` is the time in ms.
    AnswersTime(String),
    /// 500 with a body.
    Fails,
    /// Nothing, on a connection that stays open.
    Hangs,
}

/// How long a connection that hangs is held: longer than any test waits.
const HANG_TIME: Duration = Duration::from_secs(120);

/// A server on loopback with one thread for each connection. Its threads end with the test's process.
pub(crate) struct Server {
    pub(crate) port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    received: Arc<Mutex<Vec<Received>>>,
}

/// A request that was answered with 200.
#[derive(Clone)]
pub(crate) struct Received {
    /// When, in ms since the epoch.
    pub(crate) at_ms: i64,
    pub(crate) body: String,
}

impl Server {
    pub(crate) fn start(behaviour: Behaviour) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let server =
            Server { port, behaviour: Arc::new(Mutex::new(behaviour)), received: Arc::new(Mutex::new(Vec::new())) };
        let (behaviour, received) = (server.behaviour.clone(), server.received.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behaviour, received) = (behaviour.clone(), received.clone());
                std::thread::spawn(move || answer(stream, &behaviour, &received));
            }
        });
        server
    }

    /// What requests get from now on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("lock") = behaviour;
    }

    /// The bodies that were taken with a 200.
    pub(crate) fn received(&self) -> Vec<String> {
        self.received.lock().expect("lock").iter().map(|received| received.body.clone()).collect()
    }

    /// The same with their times, from the `index`th on.
    pub(crate) fn received_from(&self, index: usize) -> Vec<Received> {
        self.received.lock().expect("lock").iter().skip(index).cloned().collect()
    }
}

fn answer(stream: TcpStream, behaviour: &Mutex<Behaviour>, received: &Mutex<Vec<Received>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (_, body) = read_request(&mut reader)?;
    // Not in the head of the match, which would hold the lock while we hang.
    let behaviour = behaviour.lock().expect("lock").clone();
    let (status, text) = match behaviour {
        Behaviour::Answers(text) => ("200 OK", text.to_owned()),
        Behaviour::AnswersTime(text) => ("200 OK", text.replace("%TIME%", &now_ms().to_string())),
        Behaviour::Fails => ("500 Internal Server Error", "out of order".to_owned()),
        Behaviour::Hangs => {
            std::thread::sleep(HANG_TIME);
            return None;
        }
    };
    if status == "200 OK" {
        let body = String::from_utf8_lossy(&body).into_owned();
        received.lock().expect("lock").push(Received { at_ms: now_ms(), body });
    }
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", text.len());
    reader.get_mut().write_all(format!("{head}Connection: close\r\n\r\n{text}").as_bytes()).ok()
}

/// The wall clock.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// Path and body of the next request on a connection; `None` at its end.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

/// A receiver of webhooks that answers 200 and hands on path and body of each POST.
pub(crate) struct Sink {
    pub(crate) port: u16,
    posts: Receiver<(String, String)>,
}

impl Sink {
    pub(crate) fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let (sender, posts) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(post) = read_post(stream)
                    && sender.send(post).is_err()
                {
                    return;
                }
            }
        });
        Sink { port, posts }
    }

    /// The next post that passes `accept`, as JSON.
    pub(crate) fn wait_for(&self, what: &str, accept: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        wait_for(what, || {
            self.posts.try_iter().filter_map(|(_, body)| serde_json::from_str(&body).ok()).find(|json| accept(json))
        })
    }
}

fn read_post(stream: TcpStream) -> Option<(String, String)> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream);
    let (path, body) = read_request(&mut reader)?;
    reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    Some((path, String::from_utf8(body).ok()?))
}
