//! A web server of a few lines, that behaves well or badly as told; and sums of bytes.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::{Digest, Sha256};

/// SHA-256, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What the server does with a file.
#[derive(Clone)]
pub enum Serve {
    /// All of it, and ranges of it.
    Well(Vec<u8>),
    /// The same, but each answer breaks off after this many bytes.
    BreaksOff(Vec<u8>, usize),
    /// All of it, whatever range is asked for.
    WithoutRanges(Vec<u8>),
    /// The same, and each answer breaks off after this many bytes.
    WithoutRangesBreaksOff(Vec<u8>, usize),
    /// All of it, without saying how long it is.
    WithoutLength(Vec<u8>),
    /// A range that was not asked for.
    WrongRange(Vec<u8>),
    /// An answer with this status.
    Status(u16),
    /// So many bytes of it; who asks for the rest is told that there is none.
    PartThenRefused(Vec<u8>, usize),
    /// It is at this address.
    Redirect(String),
    /// This line, and nothing else.
    Says(String),
    /// A byte of it every so often.
    Drips(Vec<u8>),
    /// A byte of a head every so often, for ever.
    DripsHead,
}

/// A server on a port of its own, until the test ends.
pub struct Server {
    address: String,
    files: Arc<Mutex<HashMap<String, Serve>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let files = Arc::new(Mutex::new(HashMap::new()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (of_server, seen_by_server) = (Arc::clone(&files), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (files, seen) = (Arc::clone(&of_server), Arc::clone(&seen_by_server));
                // A client that hangs up is its own affair.
                std::thread::spawn(move || answer(stream.unwrap(), &files, &seen));
            }
        });
        Self { address, files, seen }
    }

    /// The address of its only folder.
    pub fn base(&self) -> String {
        format!("{}/data/", self.address)
    }

    pub fn put(&self, name: &str, serve: Serve) {
        self.files.lock().unwrap().insert(format!("/data/{name}"), serve);
    }

    /// The requests so far: `NAME` or `NAME from N`.
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// An address at which nobody listens.
pub fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}/data/")
}

fn answer(mut stream: TcpStream, files: &Mutex<HashMap<String, Serve>>, seen: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let path = lines.next().unwrap().unwrap().split(' ').nth(1).unwrap().to_owned();
    let mut from = None;
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
            from = Some(range.trim_end_matches('-').parse::<usize>().unwrap());
        }
    }
    let name = path.rsplit('/').next().unwrap();
    seen.lock().unwrap().push(from.map_or(name.to_owned(), |from| format!("{name} from {from}")));
    let serve = files.lock().unwrap().get(&path).cloned().unwrap_or(Serve::Status(404));
    let from = if matches!(serve, Serve::PartThenRefused(..)) { from.map(|_| usize::MAX) } else { from };
    let (bytes, from, most) = match &serve {
        Serve::Redirect(to) => {
            let _ = write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            return;
        }
        Serve::Says(line) => {
            let _ = write!(stream, "{line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        Serve::Drips(bytes) => {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            drip(&mut stream, bytes);
            return;
        }
        Serve::DripsHead => {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nX-Long: ");
            drip(&mut stream, &[b'a'; 10_000]);
            return;
        }
        Serve::Status(status) => {
            let _ = write!(stream, "HTTP/1.1 {status} So\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        Serve::Well(bytes) | Serve::WrongRange(bytes) => (bytes, from, usize::MAX),
        Serve::BreaksOff(bytes, most) | Serve::PartThenRefused(bytes, most) => (bytes, from, *most),
        Serve::WithoutRanges(bytes) | Serve::WithoutLength(bytes) => (bytes, None, usize::MAX),
        Serve::WithoutRangesBreaksOff(bytes, most) => (bytes, None, *most),
    };
    let start = from.unwrap_or(0);
    if start >= bytes.len() && from.is_some() {
        let _ = write!(stream, "HTTP/1.1 416 Range\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    let rest = &bytes[start..];
    let mut head = match from {
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
        Some(from) => {
            let told = if matches!(serve, Serve::WrongRange(_)) { from + 1 } else { from };
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {told}-{}/{}\r\n",
                bytes.len() - 1,
                bytes.len()
            )
        }
    };
    if !matches!(serve, Serve::WithoutLength(_)) {
        write!(head, "Content-Length: {}\r\n", rest.len()).unwrap();
    }
    head += "Connection: close\r\n\r\n";
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&rest[..most.min(rest.len())]);
}

/// Sends byte by byte, until the client hangs up.
fn drip(stream: &mut TcpStream, bytes: &[u8]) {
    for byte in bytes {
        if stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
