//! A real Prometheus and our own daemon side by side, each with an empty store of its own, and a sender of remote writes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use prost::Message;
use tempfile::TempDir;

use crate::peers::peer;
use crate::real::process::{Running, almenara, free_port, get, wait_for};

/// Both take remote writes. They end with the test.
pub(crate) struct Pair {
    pub(crate) theirs: u16,
    pub(crate) ours: u16,
    _processes: [Running; 2],
    _folder: TempDir,
}

impl Pair {
    /// `None` where there is no Prometheus to compare with. Each has its own `--enable-feature`.
    pub(crate) fn start(their_features: &str, our_features: &str) -> Option<Pair> {
        Pair::configured("{}", their_features, our_features)
    }

    /// Likewise, both with this configuration.
    pub(crate) fn configured(configuration: &str, their_features: &str, our_features: &str) -> Option<Pair> {
        let prometheus = peer("prometheus")?;
        let folder = tempfile::tempdir().expect("folder");
        std::fs::write(folder.path().join("both.yml"), configuration).expect("file");
        let (theirs, ours) = (free_port(), free_port());
        let their_process = Running::start(
            Command::new(prometheus)
                .args(["--config.file=both.yml", "--storage.tsdb.path=theirs", "--storage.tsdb.retention.time=100y"])
                .args(["--web.enable-remote-write-receiver", &format!("--enable-feature={their_features}")])
                .args(["--query.max-samples=5000000", &format!("--web.listen-address=127.0.0.1:{theirs}")])
                .current_dir(folder.path()),
            &folder.path().join("theirs.log"),
        );
        let our_process = Running::start(
            almenara()
                .args(["serve", "--config.file=both.yml", "--storage.path=ours", "--storage.tsdb.retention.time=100y"])
                .arg(format!("--enable-feature={our_features}"))
                .args(["--query.max-samples=5000000", &format!("--web.listen-address=127.0.0.1:{ours}")])
                .current_dir(folder.path()),
            &folder.path().join("ours.log"),
        );
        for port in [theirs, ours] {
            wait_for("both to be ready", || (get(port, "/-/ready").0 == 200).then_some(()));
        }
        Some(Pair { theirs, ours, _processes: [their_process, our_process], _folder: folder })
    }
}

/// What a request got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) status: u16,
    /// Content type, and what starts with `X-`, in order of name.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

/// The headers of a version.
pub(crate) const V1: &str = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n";
pub(crate) const V2: &str =
    "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\nContent-Encoding: snappy\r\n";

/// A message as it stands in a body.
pub(crate) fn pack(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).expect("snappy")
}

/// Posts to `/api/v1/write`. Status 0: the connection was broken.
pub(crate) fn send(port: u16, headers: &str, body: &[u8]) -> Sent {
    exchange(port, headers, body).unwrap_or(Sent { status: 0, headers: Vec::new(), body: String::new() })
}

/// Without `Connection: close`, with which a server that leaves the body unread would reset the connection under its own answer.
fn exchange(port: u16, headers: &str, body: &[u8]) -> std::io::Result<Sent> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let length = body.len();
    let mut request =
        format!("POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    request.extend(body);
    stream.write_all(&request)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "content-type" => headers.push(format!("{name}: {value}")),
            name if name.starts_with("x-") => headers.push(format!("{name}: {value}")),
            _ => {}
        }
    }
    headers.sort();
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Sent { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
