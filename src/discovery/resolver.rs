//! Asking name servers for records of one type.
//!
//! **Invariants.** `Ok` is an answer of a server: the records, or none because the name or the type does not exist. While no
//! server gives an answer it is an error, so that an outage of DNS never looks like an empty list.
//! **Limits.** [`ANSWER_TIME`] for each server and way of transport; answers of up to 64 KiB by TCP.
//! **Why not the system's resolver.** It knows addresses only, mixes in `/etc/hosts` and does not tell a missing name from a
//! missing server. Only messages are coded by a library (hickory-proto, without its resolver and its cache: answers are wanted
//! fresh every refresh interval).
//! **Source.** Prometheus v3.5 `discovery/dns/dns.go`; resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one server may take.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Bytes of an answer by UDP that we offer to take.
const UDP_BYTES: u16 = 4096;
/// Names with fewer dots are tried in the search domains first.
const NDOTS: usize = 1;

/// What `resolv.conf` says about whom to ask for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl ResolvConf {
    /// Reads the text; lines that say nothing to us are passed over. Servers are asked at `port`.
    pub(super) fn parse(text: &str, port: u16) -> ResolvConf {
        let mut conf = ResolvConf { servers: Vec::new(), search: Vec::new(), ndots: NDOTS };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    conf.servers.extend(address.map(|address| SocketAddr::new(address, port)));
                }
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    conf.ndots = ndots.unwrap_or(conf.ndots);
                }
                _ => {}
            }
        }
        conf
    }

    /// The rooted names that `name` may stand for, in the order in which they are tried.
    fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let rooted = format!("{name}.");
        let searched = self.search.iter().map(|domain| match domain.trim_end_matches('.') {
            "" => rooted.clone(),
            domain => format!("{name}.{domain}."),
        });
        let mut names: Vec<String> = searched.collect();
        let has_dots = name.matches('.').count() >= self.ndots;
        names.insert(if has_dots { 0 } else { names.len() }, rooted);
        names
    }

    /// The records of `kind` that `name` has.
    pub(super) async fn look_up(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
        let mut is_certain = true;
        for candidate in self.candidates(name) {
            match self.ask_any(&candidate, kind).await {
                Ok(Some(records)) => return Ok(records),
                Ok(None) => {}
                Err(()) => is_certain = false,
            }
        }
        if is_certain {
            return Ok(Vec::new());
        }
        Err(format!("could not resolve {name:?}: all servers responded with errors to at least one search domain"))
    }

    /// The first answer that is one: records, or `None` where the name does not exist.
    async fn ask_any(&self, name: &str, kind: RecordType) -> Result<Option<Vec<RData>>, ()> {
        for server in &self.servers {
            let reason = match ask(*server, name, kind).await {
                Ok(answer) => match answer.metadata.response_code {
                    ResponseCode::NoError => {
                        return Ok(Some(answer.answers.into_iter().map(|record| record.data).collect()));
                    }
                    ResponseCode::NXDomain => return Ok(None),
                    code => code.to_string(),
                },
                Err(reason) => reason,
            };
            tracing::warn!(%server, name, error = %reason, "DNS resolution failed");
        }
        Err(())
    }
}

/// Asks by UDP, and by TCP if the answer did not fit.
async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> Result<Message, String> {
    let name = Name::from_ascii(name).map_err(|error| error.to_string())?;
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, kind));
    let mut by_udp = message.clone();
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES);
    by_udp.set_edns(edns);
    let in_time = |_| "no answer in time".to_owned();
    let answer = timeout(ANSWER_TIME, ask_udp(server, &by_udp)).await.map_err(in_time)??;
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let answer = timeout(ANSWER_TIME, ask_tcp(server, &message)).await.map_err(in_time)??;
    if answer.metadata.truncation {
        return Err("got truncated message on TCP (64kiB limit exceeded?)".to_owned());
    }
    Ok(answer)
}

async fn ask_udp(server: SocketAddr, message: &Message) -> Result<Message, String> {
    let local: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let socket = UdpSocket::bind((local, 0)).await.map_err(|error| error.to_string())?;
    socket.connect(server).await.map_err(|error| error.to_string())?;
    socket.send(&bytes).await.map_err(|error| error.to_string())?;
    let mut buffer = vec![0; usize::from(UDP_BYTES)];
    loop {
        let len = socket.recv(&mut buffer).await.map_err(|error| error.to_string())?;
        // Anything else is late, lost or forged; the true answer may still come.
        if let Ok(answer) = Message::from_vec(&buffer[..len])
            && answers(&answer, message)
        {
            return Ok(answer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, message: &Message) -> Result<Message, String> {
    let bytes = message.to_vec().map_err(|error| error.to_string())?;
    let length = u16::try_from(bytes.len()).map_err(|_| "the question is too long".to_owned())?;
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let answer: Vec<u8> = exchange.await.map_err(|error: std::io::Error| error.to_string())?;
    let answer = Message::from_vec(&answer).map_err(|error| error.to_string())?;
    if answers(&answer, message) { Ok(answer) } else { Err("the answer is to another question".to_owned()) }
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries == question.queries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_resolv_conf() {
        let conf = ResolvConf::parse(
            "# x\nnameserver 10.0.0.1\nnameserver ::1 ; y\nnameserver bad\ndomain a\nsearch b.c d.\noptions rotate ndots:5\n",
            53,
        );
        assert_eq!(conf.servers, ["10.0.0.1:53".parse().unwrap(), "[::1]:53".parse().unwrap()]);
        assert_eq!((conf.search.len(), conf.ndots), (2, 5));
        assert_eq!(ResolvConf::parse("", 53).ndots, 1);
    }

    #[test]
    fn tries_names_in_order() {
        for (text, name, expected) in [
            ("search s.t u.", "db", vec!["db.s.t.", "db.u.", "db."]),
            ("search s", "db.x", vec!["db.x.", "db.x.s."]),
            ("search s\noptions ndots:2", "db.x", vec!["db.x.s.", "db.x."]),
            ("search s", "db.", vec!["db."]),
            ("search .", "db", vec!["db.", "db."]),
            ("", "db", vec!["db."]),
        ] {
            assert_eq!(ResolvConf::parse(text, 53).candidates(name), expected, "{text} {name}");
        }
    }
}
