//! Asks ourselves over a socket, and reads what is cut, spoilt or too much.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::frames::{BadFrame, FrameReader};
use super::message::{Chunk, Chunked, ChunkedSeries, QueryResult, Response};
use super::*;
use crate::http::ClientConfig;
use crate::model::{Histogram, HistogramSpan, Labels, METRIC_NAME, Matcher, Series, Timestamp, Value, stale_nan};
use crate::remote::message::LabelV1;
use crate::store::{Row, Store, StoreOptions};

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

fn store() -> Arc<Store> {
    let store = Store::new(StoreOptions { retention: Duration::MAX });
    let histogram = Histogram {
        count: 3.0,
        sum: 1.5,
        schema: 3,
        positive_spans: vec![HistogramSpan { offset: -2, length: 2 }],
        positive_buckets: vec![1.0, 2.0],
        ..Histogram::default()
    };
    let mut rows = Vec::new();
    for step in 0..10 {
        let named =
            |name: &str, extra: &str| store.series_ref(&Labels::from_pairs([(METRIC_NAME, name), ("x", extra)]));
        rows.push(Row::new(named("a", "1"), at(step * 1000), step as f64));
        rows.push(Row::new(named("a", "2"), at(step * 1000), if step == 5 { stale_nan() } else { 0.1 }));
        rows.push(Row::new(named("h", "1"), at(step * 1000), Value::Histogram(histogram.clone().into())));
    }
    assert_eq!(store.commit(&rows).refused, []);
    Arc::new(store)
}

/// A server that gives these answers, one to each connection; gives back the bodies that it was sent.
async fn serve(answers: Vec<(String, Vec<u8>)>) -> (String, tokio::task::JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/read", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for (kind, body) in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            loop {
                socket.read_buf(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let Some(head) = text.split_once("\r\n\r\n").map(|(head, _)| head.to_owned()) else { continue };
                let start = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                let len: usize =
                    head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
                if request.len() >= start + len {
                    bodies.push(request[start..].to_vec());
                    break;
                }
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&body).await.unwrap();
        }
        bodies
    });
    (url, task)
}

async fn read(url: String, matchers: &[Matcher]) -> (Result<ReadStats, ReadError>, Vec<Series>) {
    let client = ReadClient::new(url, ClientConfig::default(), "test", Duration::from_secs(10)).unwrap();
    let mut series = Vec::new();
    let stats = client.read(matchers, (at(2000), at(7000)), |one| series.push(one)).await;
    (stats, series)
}

fn frame(message: &Chunked) -> Vec<u8> {
    let message = message.encode_to_vec();
    let mut frame = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut frame);
    frame.extend(crc32c::checksum(&message).to_be_bytes());
    frame.extend(message);
    frame
}

fn chunked(encoding: i32) -> Chunked {
    // Two samples, (2000, 1.0) and (9000, 1.0), of which the second lies beyond what is asked for.
    let mut data = vec![0, 2, 0xa0, 0x1f];
    data.extend(1f64.to_bits().to_be_bytes());
    data.extend([0xd8, 0x36, 0]);
    let label = |name: &'static str, value: &'static str| LabelV1 { name: name.into(), value: value.into() };
    let chunks = vec![Chunk { min_ms: 2000, max_ms: 9000, encoding, data: data.into() }];
    Chunked { series: vec![ChunkedSeries { labels: vec![label("__name__", "a")], chunks }], query_index: 0 }
}

const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

#[tokio::test]
async fn what_we_answer_we_read() {
    let store = store();
    let answering =
        Answering { store: store.clone(), external_labels: Labels::from_pairs([("region", "eu"), ("x", "no")]) };
    let any = [Matcher::equal("region", "eu")];
    let expected: Vec<Series> = store
        .select(&[], at(2000), at(7000))
        .into_iter()
        .map(|series| Series { labels: series.labels.to_builder().set("region", "eu").build(), ..series })
        .collect();

    // Asks once to see the request, then with the answer to it.
    let (url, server) = serve(vec![("application/x-protobuf".to_owned(), snapped(&Response::default()))]).await;
    let (stats, series) = read(url, &any).await;
    assert_eq!((stats.unwrap().samples, series), (0, vec![]));
    let request = server.await.unwrap().remove(0);
    let body = answering.answer(&request).unwrap();
    let (url, _server) = serve(vec![("application/x-protobuf".to_owned(), body)]).await;
    let (stats, series) = read(url, &any).await;
    assert_eq!(stats.unwrap().samples, 18);
    // NaN differs from itself, its text does not.
    assert_eq!(format!("{series:?}"), format!("{expected:?}"));
    assert_eq!(answering.answer(b"nonsense").unwrap_err().0, 400);
}

fn snapped(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

#[tokio::test]
async fn chunks_are_read_and_histograms_asked_for_as_samples() {
    let (url, _server) = serve(vec![(STREAMED.to_owned(), [frame(&chunked(1)), frame(&chunked(1))].concat())]).await;
    let (stats, series) = read(url, &[]).await;
    assert_eq!(stats.unwrap().samples, 2);
    assert!(series.iter().all(|series| series.samples.len() == 1 && series.samples[0].at == at(2000)), "{series:?}");

    let sampled = Response { results: vec![QueryResult::default()] };
    let answers =
        vec![(STREAMED.to_owned(), frame(&chunked(2))), ("application/x-protobuf".to_owned(), snapped(&sampled))];
    let (url, server) = serve(answers).await;
    assert!(read(url, &[]).await.0.is_ok());
    let accepted: Vec<Vec<i32>> = server
        .await
        .unwrap()
        .iter()
        .map(|body| {
            let message = snap::raw::Decoder::new().decompress_vec(body).unwrap();
            message::Request::decode(Bytes::from(message)).unwrap().accepted
        })
        .collect();
    assert_eq!(accepted, [vec![1, 0], vec![0]]);
}

#[tokio::test]
async fn what_is_cut_or_spoilt_is_an_error() {
    let whole = frame(&chunked(1));
    let mut spoilt = whole.clone();
    *spoilt.last_mut().unwrap() ^= 1;
    for (kind, body, words) in [
        (STREAMED, whole[..whole.len() - 1].to_vec(), "ends within a frame"),
        (STREAMED, spoilt, "checksum"),
        (STREAMED, vec![0xff; 20], "too long"),
        ("application/x-protobuf", vec![1, 2, 3], "malformed"),
    ] {
        let (url, _server) = serve(vec![(kind.to_owned(), body)]).await;
        let error = read(url, &[]).await.0.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn frames_come_in_any_pieces() {
    let stream = [frame(&chunked(1)), frame(&Chunked::default()), frame(&chunked(1))].concat();
    for size in 1..20 {
        let mut reader = FrameReader::default();
        let mut count = 0;
        for piece in stream.chunks(size) {
            reader.push(piece);
            while reader.next().unwrap().is_some() {
                count += 1;
            }
        }
        assert_eq!((count, reader.is_empty()), (3, true), "{size}");
    }
    let mut reader = FrameReader::default();
    reader.push(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(reader.next(), Err(BadFrame::Length));
}
