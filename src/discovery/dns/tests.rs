//! Looking up against a name server of the test.

use std::net::SocketAddr;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SRV};
use hickory_proto::rr::{Name, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// A name server on one port by UDP and TCP. `big.` is truncated by UDP; `down.` fails; unknown names do not exist.
struct Server {
    address: SocketAddr,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Server {
    async fn start() -> Server {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (tcp, udp);
            }
        };
        let address = tcp.local_addr().unwrap();
        let by_udp = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((len, peer)) = udp.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..len]).unwrap();
                // Somebody else's answer comes first and must not count.
                let mut forged = answer(&question, Transport::Udp);
                forged.metadata.id = question.metadata.id.wrapping_add(1);
                forged.answers.clear();
                for message in [forged, answer(&question, Transport::Udp)] {
                    udp.send_to(&message.to_vec().unwrap(), peer).await.unwrap();
                }
            }
        });
        let by_tcp = tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut bytes).await.unwrap();
                let bytes = answer(&Message::from_vec(&bytes).unwrap(), Transport::Tcp).to_vec().unwrap();
                stream.write_u16(bytes.len() as u16).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
            }
        });
        Server { address, tasks: [by_udp, by_tcp] }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Transport {
    Udp,
    Tcp,
}

fn answer(question: &Message, transport: Transport) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    assert_eq!(answer.metadata.message_type, MessageType::Response);
    let query = question.queries[0].clone();
    answer.add_query(query.clone());
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let srv = |port, host| RData::SRV(SRV::new(0, 0, port, name(host)));
    let records = match (query.name().to_ascii().as_str(), query.query_type()) {
        ("_web._tcp.example.org.", RecordType::SRV) => vec![srv(9100, "a.example.org."), srv(9101, "b.example.org.")],
        ("db.corp.", RecordType::A) => {
            vec![RData::CNAME(CNAME(name("x.corp."))), RData::A(A("10.0.0.7".parse().unwrap()))]
        }
        ("db.corp.", RecordType::AAAA) => vec![RData::AAAA(AAAA("fd00::7".parse().unwrap()))],
        ("corp.", RecordType::MX) => vec![RData::MX(MX::new(10, name("mail.corp.")))],
        ("corp.", RecordType::NS) => vec![RData::NS(NS(name("ns.corp.")))],
        ("big.", RecordType::A) if transport == Transport::Udp => {
            answer.metadata.truncation = true;
            Vec::new()
        }
        ("big.", RecordType::A) => (0..500_u16).map(|n| RData::A(A::new(10, 1, (n >> 8) as u8, n as u8))).collect(),
        ("corp.", _) => Vec::new(),
        ("down.", _) => {
            answer.metadata.response_code = ResponseCode::ServFail;
            Vec::new()
        }
        _ => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            Vec::new()
        }
    };
    for record in records {
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, record));
    }
    answer
}

struct Fixture {
    server: Server,
    directory: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let fixture = Fixture { server: Server::start().await, directory: tempfile::tempdir().unwrap() };
        fixture.write("search corp\nnameserver 127.0.0.1\n");
        fixture
    }

    fn write(&self, text: &str) {
        fs::write(self.directory.path().join("resolv.conf"), text).unwrap();
    }

    fn source(&self, record_type: DnsRecordType, names: &[&str]) -> DnsSource {
        let config = DnsSdConfig {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            refresh_interval: REFRESH_INTERVAL,
            record_type,
            port: 80,
        };
        let resolv_conf = self.directory.path().join("resolv.conf");
        let port = self.server.address.port();
        DnsSource { resolv_conf, port, ..DnsSource::new(config, Arc::default()) }
    }
}

fn shown(groups: &[TargetGroup]) -> Vec<String> {
    groups.iter().flat_map(|group| &group.targets).map(ToString::to_string).collect()
}

#[tokio::test]
async fn makes_targets_of_every_type() {
    let fixture = Fixture::new().await;
    let check = async |record_type, name: &str, expected: &[&str]| {
        let groups = fixture.source(record_type, &[name]).refresh().await.unwrap();
        assert_eq!(shown(&groups), expected, "{name} {record_type:?}");
        assert_eq!((groups.len(), groups[0].source.as_str()), (1, name));
    };
    let web = "_web._tcp.example.org";
    check(
        DnsRecordType::Srv,
        web,
        &[
            r#"{__address__="a.example.org:9100",__meta_dns_name="_web._tcp.example.org",__meta_dns_srv_record_port="9100",__meta_dns_srv_record_target="a.example.org."}"#,
            r#"{__address__="b.example.org:9101",__meta_dns_name="_web._tcp.example.org",__meta_dns_srv_record_port="9101",__meta_dns_srv_record_target="b.example.org."}"#,
        ],
    )
    .await;
    check(DnsRecordType::A, "db", &[r#"{__address__="10.0.0.7:80",__meta_dns_name="db"}"#]).await;
    check(DnsRecordType::Aaaa, "db", &[r#"{__address__="[fd00::7]:80",__meta_dns_name="db"}"#]).await;
    let mx = r#"{__address__="mail.corp:80",__meta_dns_mx_record_target="mail.corp.",__meta_dns_name="corp."}"#;
    check(DnsRecordType::Mx, "corp.", &[mx]).await;
    let ns = r#"{__address__="ns.corp:80",__meta_dns_name="corp.",__meta_dns_ns_record_target="ns.corp."}"#;
    check(DnsRecordType::Ns, "corp.", &[ns]).await;
    check(DnsRecordType::Srv, "nowhere", &[]).await;
    check(DnsRecordType::A, "corp.", &[]).await;
}

#[tokio::test]
async fn asks_by_tcp_when_the_answer_does_not_fit() {
    let fixture = Fixture::new().await;
    let groups = fixture.source(DnsRecordType::A, &["big."]).refresh().await.unwrap();
    assert_eq!(groups[0].targets.len(), 500);
    assert_eq!(groups[0].targets[499].get(ADDRESS), Some("10.1.1.243:80"));
}

#[tokio::test]
async fn a_name_that_fails_keeps_its_targets() {
    let fixture = Fixture::new().await;
    let mut source = fixture.source(DnsRecordType::A, &["big.", "db"]);
    assert_eq!(shown(&source.refresh().await.unwrap()).len(), 501);
    // Servers that are named but do not answer: a port where nobody listens.
    source.port = 9;
    assert_eq!(shown(&source.refresh().await.unwrap()).len(), 501);
    assert_eq!(source.metrics.dns_failures.load(Ordering::Relaxed), 2);
    assert_eq!(source.metrics.dns_lookups.load(Ordering::Relaxed), 4);
    let mut source = fixture.source(DnsRecordType::A, &["down.", "db"]);
    assert_eq!(shown(&source.refresh().await.unwrap()).len(), 1, "one failure does not hold up the other name");
    assert_eq!(source.metrics.dns_failures.load(Ordering::Relaxed), 1);
    fs::remove_file(&source.resolv_conf).unwrap();
    assert_eq!(shown(&source.refresh().await.unwrap()).len(), 1);
}

#[tokio::test]
async fn goes_on_to_the_next_server() {
    let fixture = Fixture::new().await;
    // 127.0.0.2 is loopback too, and nobody listens there.
    fixture.write("nameserver 127.0.0.2\nnameserver 127.0.0.1\nsearch corp\n");
    let groups = fixture.source(DnsRecordType::A, &["db"]).refresh().await.unwrap();
    assert_eq!(shown(&groups).len(), 1);
}
