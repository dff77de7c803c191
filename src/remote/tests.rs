//! The receiver over a store, without sockets and clocks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

use super::content::Version;
use super::message::{LabelV1, MetadataV1, MetadataV2, RequestV1, RequestV2, Sample, SeriesV1, SeriesV2};
use super::{ITEMS_MAX, Receiver, Reply, Written};
use crate::model::{Labels, Matcher, Metadata, MetricKind, Timestamp};
use crate::store::{ExemplarStore, MetadataStore, Store, StoreOptions};

const NOW: Timestamp = Timestamp::from_ms(1_000_000);

struct Fixture {
    store: Arc<Store>,
    metadata: Arc<MetadataStore>,
    receiver: Receiver,
}

fn fixture() -> Fixture {
    let store = Arc::new(Store::new(StoreOptions { retention: Duration::from_secs(3600) }));
    let metadata = Arc::new(MetadataStore::new());
    let receiver = Receiver::new(store.clone(), metadata.clone(), Arc::new(ExemplarStore::new()));
    Fixture { store, metadata, receiver }
}

impl Fixture {
    fn take(&self, version: Version, message: &impl Message) -> Reply {
        self.take_bytes(version, &message.encode_to_vec())
    }

    fn take_bytes(&self, version: Version, message: &[u8]) -> Reply {
        let body = snap::raw::Encoder::new().compress_vec(message).unwrap();
        self.receiver.take(version, &body, NOW)
    }

    fn stored(&self, name: &str) -> Vec<(Labels, Vec<i64>)> {
        let found = self.store.select(&[Matcher::equal("__name__", name)], Timestamp::MIN, Timestamp::MAX);
        let times = |samples: Vec<crate::model::Sample>| samples.iter().map(|sample| sample.at.as_ms()).collect();
        found.into_iter().map(|series| (series.labels, times(series.samples))).collect()
    }
}

fn series(name: &'static str, times: &[i64]) -> SeriesV1 {
    SeriesV1 {
        labels: vec![LabelV1 { name: "__name__".into(), value: name.into() }],
        samples: samples(times),
        ..Default::default()
    }
}

fn samples(times: &[i64]) -> Vec<Sample> {
    times.iter().map(|at| Sample { value: *at as f64, timestamp: *at, start_timestamp: 0 }).collect()
}

#[test]
fn the_good_part_of_a_refused_request_is_kept() {
    let fixture = fixture();
    let request = RequestV1 { series: vec![series("a", &[2, 1, 3]), series("b", &[5])], metadata: Vec::new() };
    let reply = fixture.take(Version::V1, &request);
    assert_eq!(reply, Reply { status: 400, written: None, text: "out of order sample".to_owned() });
    assert_eq!((fixture.stored("a")[0].1.as_slice(), fixture.stored("b")[0].1.as_slice()), (&[2, 3][..], &[5][..]));
}

#[test]
fn nothing_of_a_broken_request_is_kept() {
    let fixture = fixture();
    let mut message = RequestV1 { series: vec![series("a", &[1])], metadata: Vec::new() }.encode_to_vec();
    message.extend(b"\x0a\x05x");
    assert_eq!(fixture.take_bytes(Version::V1, &message).status, 400);
    assert_eq!((fixture.stored("a"), fixture.store.stats().series), (vec![], 0));
}

#[test]
fn metadata_is_kept_by_family() {
    let fixture = fixture();
    let metadata = MetadataV1 { kind: 2, family: "g".into(), help: "A gauge.".into(), unit: "".into() };
    fixture.take(Version::V1, &RequestV1 { series: Vec::new(), metadata: vec![metadata] });
    let symbols = ["", "__name__", "h_bucket", "A histogram.", "seconds"].map(Bytes::from).to_vec();
    let metadata = Some(MetadataV2 { kind: 3, help_ref: 3, unit_ref: 4 });
    let series = SeriesV2 { labels_refs: vec![1, 2], samples: samples(&[1]), metadata, ..Default::default() };
    let reply = fixture.take(Version::V2, &RequestV2 { symbols, series: vec![series] });
    assert_eq!(reply.written, Some(Written { samples: 1, ..Written::default() }));
    let kept = |kind, help: &str, unit: &str| Metadata { kind, help: help.into(), unit: unit.into() };
    assert_eq!(
        fixture.metadata.list(),
        [
            ("g".into(), vec![kept(MetricKind::Gauge, "A gauge.", "")]),
            ("h".into(), vec![kept(MetricKind::Histogram, "A histogram.", "seconds")]),
        ]
    );
}

#[test]
fn start_times_come_from_the_sample_or_else_from_its_series() {
    let fixture = fixture();
    let symbols = ["", "__name__", "c"].map(Bytes::from).to_vec();
    let sample = |timestamp, start_timestamp| Sample { value: 1.0, timestamp, start_timestamp };
    let series = SeriesV2 {
        labels_refs: vec![1, 2],
        samples: vec![sample(10, 0), sample(20, 15)],
        created_timestamp: 5,
        ..Default::default()
    };
    assert_eq!(fixture.take(Version::V2, &RequestV2 { symbols, series: vec![series] }).status, 204);
    let stored = fixture.store.select(&[Matcher::equal("__name__", "c")], Timestamp::MIN, Timestamp::MAX);
    let start = |index| stored[0].starts.get(index).map(|start| start.at().as_ms());
    assert_eq!((start(0), start(1)), (Some(5), Some(15)));
}

#[test]
fn a_request_of_nothing_but_empty_messages_is_refused_before_it_takes_memory() {
    let message: Vec<u8> = b"\x0a\x00".repeat(ITEMS_MAX + 1);
    let reply = fixture().take_bytes(Version::V1, &message);
    assert_eq!(
        (reply.status, reply.text.as_str()),
        (400, "the request has more than 2000000 labels, samples and texts")
    );
}

#[test]
fn a_sample_before_the_retention_time_is_refused() {
    let fixture = fixture();
    fixture.store.truncate(Timestamp::from_ms(10));
    let request = RequestV1 { series: vec![series("a", &[9, 10])], metadata: Vec::new() };
    assert_eq!(fixture.take(Version::V1, &request).text, "out of bounds");
    assert_eq!(fixture.stored("a")[0].1, [10]);
}

proptest! {
    #[test]
    fn no_bytes_break_it(message in prop::collection::vec(any::<u8>(), 0..80), is_second in any::<bool>()) {
        let version = if is_second { Version::V2 } else { Version::V1 };
        let reply = fixture().take_bytes(version, &message);
        prop_assert!([204, 400].contains(&reply.status));
    }

    #[test]
    fn no_change_of_a_good_request_breaks_it(at in 0usize..60, byte in any::<u8>()) {
        let mut message = RequestV1 { series: vec![series("metric", &[1, 2])], metadata: Vec::new() }.encode_to_vec();
        let at = at % message.len();
        message[at] = byte;
        prop_assert!([204, 400].contains(&fixture().take_bytes(Version::V1, &message).status));
    }
}
