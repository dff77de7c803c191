//! A small API server of Kubernetes: objects in versions, lists in pages, watches with a log that can be forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Objects of a page; clients ask for more, and a server may give less.
const PAGE: usize = 2;

#[derive(Default)]
struct State {
    version: u64,
    /// By resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    /// Version, resource, event.
    log: Vec<(u64, String, Value)>,
    /// Watches from before this version are refused.
    oldest: u64,
    /// Connections of an older generation are cut off.
    generation: u64,
    requests: Vec<String>,
}

/// The server; it ends when this is dropped.
pub(super) struct ApiServer {
    pub(super) address: String,
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ApiServer {
    pub(super) async fn start() -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state: Arc<Mutex<State>> = Arc::default();
        let changed = Arc::new(watch::Sender::new(0));
        let (own_state, own_changed) = (state.clone(), changed.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, own_state.clone(), own_changed.subscribe()));
            }
        });
        ApiServer { address, state, changed, task }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        state.version += 1;
        change(&mut state);
        let version = state.version;
        drop(state);
        self.changed.send_replace(version);
    }

    /// Makes or changes an object.
    pub(super) fn set(&self, resource: &str, mut object: Value) {
        self.change(|state| {
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let key = key_of(resource, &object);
            let kind = if state.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
            state.log.push((state.version, resource.to_owned(), json!({"type": kind, "object": object})));
            state.objects.insert(key, object);
        });
    }

    /// Removes an object.
    pub(super) fn delete(&self, resource: &str, namespace: &str, name: &str) {
        self.change(|state| {
            let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
            let mut object = state.objects.remove(&key).expect("the test deletes what is there");
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.log.push((state.version, resource.to_owned(), json!({"type": "DELETED", "object": object})));
        });
    }

    /// Tells the watches of a resource how far they are.
    pub(super) fn bookmark(&self, resource: &str) {
        self.change(|state| {
            let object = json!({"kind": "Any", "metadata": {"resourceVersion": state.version.to_string()}});
            state.log.push((state.version, resource.to_owned(), json!({"type": "BOOKMARK", "object": object})));
        });
    }

    /// Tells the watches of a resource that they are too old.
    pub(super) fn expire(&self, resource: &str) {
        self.change(|state| {
            let status =
                json!({"kind": "Status", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410});
            state.log.push((state.version, resource.to_owned(), json!({"type": "ERROR", "object": status})));
            state.oldest = state.version;
        });
    }

    /// Forgets what happened so far: watches that missed something are refused.
    pub(super) fn forget(&self) {
        self.change(|state| state.oldest = state.version);
    }

    /// Cuts all connections off in the middle of their answers.
    pub(super) fn cut_off(&self) {
        self.change(|state| state.generation += 1);
    }

    /// Heads of requests whose first line holds `part`.
    pub(super) fn requests(&self, part: &str) -> Vec<String> {
        let state = self.state.lock();
        let has = |head: &&String| head.lines().next().is_some_and(|line| line.contains(part));
        state.requests.iter().filter(has).cloned().collect()
    }
}

fn key_of(resource: &str, object: &Value) -> (String, String, String) {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (resource.to_owned(), text("namespace"), text("name"))
}

/// What a request asks for.
struct Question {
    resource: String,
    namespace: Option<String>,
    query: BTreeMap<String, String>,
}

impl Question {
    fn of(head: &str) -> Question {
        let target = head.split(' ').nth(1).unwrap();
        let url = reqwest::Url::parse(&format!("http://x{target}")).unwrap();
        let parts: Vec<&str> = url.path().split('/').collect();
        let namespace = parts.iter().position(|part| *part == "namespaces").and_then(|at| parts.get(at + 1));
        Question {
            resource: (*parts.last().unwrap()).to_owned(),
            namespace: namespace.map(|name| (*name).to_owned()),
            query: url.query_pairs().into_owned().collect(),
        }
    }

    fn covers(&self, resource: &str, namespace: &str) -> bool {
        self.resource == resource && self.namespace.as_deref().is_none_or(|own| own == namespace)
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>, mut changed: watch::Receiver<u64>) {
    while let Some(head) = read_head(&mut stream).await {
        let question = Question::of(&head);
        state.lock().requests.push(head);
        if question.query.contains_key("watch") {
            follow(&mut stream, &question, &state, &mut changed).await;
            return;
        }
        let body = page(&question, &state.lock()).to_string();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(bytes).ok()
}

fn page(question: &Question, state: &State) -> Value {
    let from: usize = question.query.get("continue").map_or(0, |text| text.parse().unwrap());
    let all = state.objects.iter().filter(|((resource, namespace, _), _)| question.covers(resource, namespace));
    let items: Vec<&Value> = all.map(|(_, object)| object).collect();
    let end = (from + PAGE).min(items.len());
    let more = if end < items.len() { end.to_string() } else { String::new() };
    json!({"metadata": {"resourceVersion": state.version.to_string(), "continue": more}, "items": items[from..end]})
}

async fn follow(stream: &mut TcpStream, question: &Question, state: &Mutex<State>, changed: &mut watch::Receiver<u64>) {
    let mut seen: u64 = question.query["resourceVersion"].parse().unwrap();
    let (is_too_old, generation) = {
        let state = state.lock();
        (seen < state.oldest, state.generation)
    };
    if is_too_old {
        let head = "HTTP/1.1 410 Gone\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        drop(stream.write_all(head.as_bytes()).await);
        return;
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut text = head.to_owned();
    loop {
        {
            let state = state.lock();
            if state.generation != generation {
                return;
            }
            let before = seen;
            for (version, resource, event) in state.log.iter().filter(|(version, ..)| *version > before) {
                let namespace = event["object"]["metadata"]["namespace"].as_str();
                if question.covers(resource, namespace.or(question.namespace.as_deref()).unwrap_or_default()) {
                    let line = format!("{event}\n");
                    // In two pieces, as lines come over real connections.
                    for piece in [&line[..line.len() / 2], &line[line.len() / 2..]] {
                        text.push_str(&format!("{:x}\r\n{piece}\r\n", piece.len()));
                    }
                }
                seen = *version;
            }
        }
        if stream.write_all(std::mem::take(&mut text).as_bytes()).await.is_err() || changed.changed().await.is_err() {
            return;
        }
    }
}
