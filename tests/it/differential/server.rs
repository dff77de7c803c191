//! A connection that stays open over many requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub(super) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(super) fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("timeout");
        stream.set_nodelay(true).expect("no delay");
        Connection(BufReader::new(stream))
    }

    /// Status and body of a GET.
    pub(super) fn get(&mut self, path: &str) -> (u16, String) {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("request");
        let status = self.line().split(' ').nth(1).and_then(|status| status.parse().ok()).expect("status");
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = self.line().to_ascii_lowercase();
            match line.split_once(": ") {
                None => break,
                Some(("content-length", value)) => length = value.parse().expect("length"),
                Some(("transfer-encoding", value)) => is_chunked = value == "chunked",
                Some(_) => {}
            }
        }
        let mut body = Vec::new();
        if is_chunked {
            while let Some(length) = Some(self.chunk_length()).filter(|length| *length > 0) {
                self.read(length, &mut body);
                self.line();
            }
            self.line();
        } else {
            self.read(length, &mut body);
        }
        (status, String::from_utf8(body).expect("text"))
    }

    fn chunk_length(&mut self) -> usize {
        usize::from_str_radix(&self.line(), 16).expect("chunk")
    }

    fn read(&mut self, length: usize, body: &mut Vec<u8>) {
        let start = body.len();
        body.resize(start + length, 0);
        self.0.read_exact(&mut body[start..]).expect("body");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("line");
        line.trim_end().to_owned()
    }
}
