//! One file over HTTP, resuming a partial download.
//!
//! A server may be slow, broken or hostile. What it sends is read on a separate thread, so that this one can give up
//! at any time; redirects are followed here, to HTTP and HTTPS alone; nothing it says reaches a terminal as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use url::Url;

use super::{Event, FetchOptions, plain};

/// Transfers without progress before the address is given up.
const STALLS: u32 = 3;

/// Bytes of progress, at least, or a server that sends one byte for each request would be asked without end.
const PROGRESS: u64 = 1 << 16;

/// The timeout of a connection.
const CONNECT: Duration = Duration::from_secs(30);

/// Redirects that are followed, one after the other.
const REDIRECTS: usize = 5;

/// Bytes that are read at once, between two progress events.
const STEP: usize = 1 << 16;

/// Pieces that are read ahead of being written.
const AHEAD: usize = 4;

/// The most characters of what a server says that a message shows.
const LONGEST_TEXT: usize = 200;

/// Why an address did not provide its file.
pub(super) enum Failure {
    /// The server is not reachable, refuses, is too slow, or sends another file. Another address may work.
    Server(String),
    /// The file cannot be written here. Another address would not help.
    Disk(io::Error),
}

/// The result of a transfer that may be resumed.
enum Transfer {
    Complete,
    /// It broke off, for this reason.
    BrokenOff(String),
}

/// What comes from a server, in this order: a head, pieces, an end.
enum Message {
    Head(Head),
    Piece(Vec<u8>),
    /// The end of the body, or of the connection, and why.
    End(Option<String>),
    /// There is no answer, for this reason. Where it can be tried again, the connection broke.
    None {
        reason: String,
        again: bool,
    },
}

struct Head {
    status: u16,
    text: String,
    length: Option<u64>,
    range: String,
    location: Option<String>,
}

/// Text from a server, for a person: no control characters, and not too long.
fn printable(text: &str) -> String {
    strict_config::shorten(&plain(text), LONGEST_TEXT)
}

/// An address for a person: without the name and the password that it may hold. Of what is no address, as where the scheme
/// is missing or a password has a slash in it, all before the last `@` may be one.
pub(super) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
    let end = match address(url) {
        Ok(_) => rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()),
        Err(_) => rest.len(),
    };
    let rest = rest[..end].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    printable(&scheme.map_or_else(|| rest.to_owned(), |scheme| format!("{scheme}://{rest}")))
}

/// How much time there is, and how fast bytes come.
pub(super) struct Pace<'o> {
    options: &'o FetchOptions,
    deadline: Instant,
    since: Instant,
    bytes: u64,
}

impl<'o> Pace<'o> {
    /// That of a fetch that begins now.
    pub(super) fn new(options: &'o FetchOptions) -> Self {
        let now = Instant::now();
        // A time that is longer than a clock can count is not a limit.
        let deadline = now.checked_add(options.max_time).unwrap_or(now + Duration::from_secs(1 << 32));
        Self { options, deadline, since: now, bytes: 0 }
    }

    /// The time is over.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    fn restart(&mut self) {
        (self.since, self.bytes) = (Instant::now(), 0);
    }

    /// How long to wait for the next message before the pace is looked at.
    fn patience(&self) -> Duration {
        let window = self.since + self.options.speed_time;
        window.min(self.deadline).saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// Refuses to go on where the time is over, or the server too slow.
    fn check(&mut self) -> Result<(), Failure> {
        if self.is_over() {
            return Err(Failure::Server(format!("takes longer than the fetch may: {:?}", self.options.max_time)));
        }
        let passed = self.since.elapsed();
        if passed < self.options.speed_time {
            return Ok(());
        }
        let (bytes, slowest) = (self.bytes, self.options.min_speed);
        if (bytes as f64) < slowest as f64 * passed.as_secs_f64() {
            let passed = passed.as_secs_f64();
            return Err(Failure::Server(format!("sends {bytes} bytes in {passed:.1} s: less than {slowest} a second")));
        }
        self.restart();
        Ok(())
    }
}

pub(super) struct Client<'p, 'o> {
    pace: &'p mut Pace<'o>,
}

impl<'p, 'o> Client<'p, 'o> {
    pub(super) fn new(pace: &'p mut Pace<'o>) -> Self {
        Self { pace }
    }

    /// Downloads the file at `url`, which has `bytes` bytes, to `part`, resuming from the bytes that are there. On success
    /// `part` has that many bytes, synced to the disk; their checksum is not checked here. On failure they are kept.
    pub(super) fn download(
        &mut self,
        url: &str,
        part: &Path,
        bytes: u64,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Failure> {
        self.pace.restart();
        let (mut stalls, mut most) = (0, length(part));
        loop {
            let reason = match self.transfer(url, part, bytes, watch)? {
                Transfer::Complete => return Ok(()),
                Transfer::BrokenOff(reason) => reason,
            };
            // More than at any time before: a server that makes it start over adds nothing.
            let now = length(part);
            stalls = if now >= most.saturating_add(PROGRESS) { 0 } else { stalls + 1 };
            most = most.max(now);
            if stalls == STALLS {
                return Err(Failure::Server(reason));
            }
            std::thread::sleep(Duration::from_millis(200) * stalls);
        }
    }

    fn transfer(
        &mut self,
        url: &str,
        part: &Path,
        bytes: u64,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Transfer, Failure> {
        super::refuse_link(part).map_err(Failure::Disk)?;
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(part).map_err(Failure::Disk)?;
        let file = &mut file;
        let mut have = length(part);
        if have > bytes {
            // Longer than the file: it is another one.
            restart(file)?;
            have = 0;
        }
        if have < bytes {
            let (head, body) = match self.ask(url, have)? {
                Ok(answer) => answer,
                Err(broken) => return Ok(Transfer::BrokenOff(broken)),
            };
            if head.status == 416 && have > 0 {
                restart(file)?;
                return Ok(Transfer::BrokenOff(format!("it has no bytes from {have} on")));
            }
            let from = starts_at(&head, have, bytes).map_err(Failure::Server)?;
            if from == 0 {
                restart(file)?;
            }
            file.seek(SeekFrom::Start(from)).map_err(Failure::Disk)?;
            watch(Event::Begins { url: &shown(url), bytes, from });
            if let Transfer::BrokenOff(reason) = self.copy(&body, file, from, bytes, watch)? {
                return Ok(Transfer::BrokenOff(reason));
            }
        }
        file.sync_all().map_err(Failure::Disk)?;
        Ok(Transfer::Complete)
    }

    /// Asks for the bytes from `have` on, at `url` and where that leads to. Gives the head of the answer and what follows
    /// it, or why the connection broke.
    fn ask(&mut self, url: &str, have: u64) -> Result<Result<(Head, Receiver<Message>), String>, Failure> {
        let mut target = address(url).map_err(Failure::Server)?;
        for _ in 0..=REDIRECTS {
            let (agent, proxy) = agent(&target, self.pace.options).map_err(Failure::Server)?;
            let by_way_of = |reason| match &proxy {
                Some(proxy) => format!("through the proxy {}: {reason}", shown(proxy)),
                None => reason,
            };
            let answer = on_a_thread(agent, target.to_string(), have)?;
            let head = match self.next(&answer)? {
                Message::Head(head) => head,
                Message::None { reason, again: true } => return Ok(Err(by_way_of(reason))),
                Message::None { reason, .. } => return Err(Failure::Server(by_way_of(reason))),
                Message::Piece(_) | Message::End(_) => return Ok(Err("there is no answer".to_owned())),
            };
            let Some(location) = head.location.as_deref().filter(|_| (300..400).contains(&head.status)) else {
                return Ok(Ok((head, answer)));
            };
            let next = target.join(location).map_err(|error| error.to_string()).and_then(|next| address(next.as_str()));
            target = next.map_err(|why| Failure::Server(format!("leads to {}: {why}", shown(location))))?;
        }
        Err(Failure::Server(format!("leads to another address more than {REDIRECTS} times")))
    }

    /// The next message, within the time that there is.
    fn next(&mut self, messages: &Receiver<Message>) -> Result<Message, Failure> {
        loop {
            match messages.recv_timeout(self.pace.patience()) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) => self.pace.check()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(Message::End(Some("no answer".to_owned()))),
            }
        }
    }

    /// Copies the body of a response, but never more than the file should have.
    fn copy(
        &mut self,
        body: &Receiver<Message>,
        file: &mut File,
        from: u64,
        bytes: u64,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Transfer, Failure> {
        let mut at = from;
        let broken = loop {
            let piece = match self.next(body)? {
                Message::Piece(piece) => piece,
                Message::End(why) => break why,
                Message::Head(_) | Message::None { .. } => break None,
            };
            if at + piece.len() as u64 > bytes {
                return Err(Failure::Server(format!("sends more than the {bytes} bytes of the file")));
            }
            file.write_all(&piece).map_err(Failure::Disk)?;
            at += piece.len() as u64;
            self.pace.bytes += piece.len() as u64;
            watch(Event::At(at));
            self.pace.check()?;
        };
        if at == bytes {
            return Ok(Transfer::Complete);
        }
        let why = broken.map_or_else(String::new, |error| format!(": {error}"));
        Ok(Transfer::BrokenOff(format!("broke off after {at} of {bytes} bytes{why}")))
    }
}

/// An address that can be asked.
fn address(text: &str) -> Result<Url, String> {
    // What stands before the first colon of `name:password@host` is no scheme.
    if !text.contains("://") {
        return Err("no address: one begins with http:// or https://".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("no address: {error}"))?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) if !host.is_empty() => Ok(url),
        ("http" | "https", _) => Err("an address without a host".to_owned()),
        (other, _) => Err(format!("files are fetched over http and https, not {other}")),
    }
}

/// What asks an address, and the proxy that it asks, if any.
fn agent(url: &Url, options: &FetchOptions) -> Result<(ureq::Agent, Option<String>), String> {
    let builder = ureq::AgentBuilder::new()
        .timeout_connect(CONNECT)
        .timeout_read(options.speed_time.max(Duration::from_secs(1)))
        .redirects(0)
        .user_agent(concat!("anneal/", env!("CARGO_PKG_VERSION")));
    let Some(proxy) = proxy_for(url, |name| std::env::var(name).ok()) else { return Ok((builder.build(), None)) };
    Ok((builder.proxy(usable(&proxy)?).build(), Some(proxy)))
}

/// A proxy that can be asked.
fn usable(proxy: &str) -> Result<ureq::Proxy, String> {
    let refused = |why: String| format!("the proxy {} cannot be used: {why}", shown(proxy));
    let whole = if proxy.contains("://") { proxy.to_owned() } else { format!("http://{proxy}") };
    address(&whole).map_err(refused)?;
    ureq::Proxy::new(proxy).map_err(|error| refused(error.kind().to_string()))
}

/// The proxy that the environment names for an address: `http_proxy` or `https_proxy`, else `all_proxy`, in small letters or
/// capitals. A variable that is empty is not set. `no_proxy` lists hosts that are asked directly: `*` for all, a name for
/// itself and what ends in it after a dot, with a port where only that is meant.
fn proxy_for(url: &Url, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name: &str| {
        let either = [name.to_owned(), name.to_uppercase()].into_iter().find_map(|name| variable(&name));
        either.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_lowercase();
    let port = url.port_or_known_default();
    let is_direct = |entry: &str| {
        let entry = entry.trim().to_lowercase();
        let (name, of_port) = match entry.rsplit_once(':') {
            Some((name, digits)) if !name.contains(':') => (name, digits.parse::<u16>().ok()),
            _ => (entry.as_str(), None),
        };
        let name = name.trim_matches(['[', ']']).trim_start_matches("*.").trim_start_matches('.');
        let is_host = host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        entry == "*" || (!name.is_empty() && is_host && (of_port.is_none() || of_port == port))
    };
    if set("no_proxy").is_some_and(|list| list.split(',').any(is_direct)) {
        return None;
    }
    set(&format!("{}_proxy", url.scheme())).or_else(|| set("all_proxy"))
}

/// Sends the request and reads the answer on a thread: a read that takes for ever ends with it, not with the fetch.
fn on_a_thread(agent: ureq::Agent, url: String, have: u64) -> Result<Receiver<Message>, Failure> {
    let (sender, receiver) = sync_channel(AHEAD);
    let run = move || {
        // The receiver is gone once the server has been given up.
        let _ = read_answer(&agent, &url, have, &sender);
    };
    let spawned = std::thread::Builder::new().name("fetch".to_owned()).spawn(run);
    spawned.map_err(|error| Failure::Server(format!("no thread could be started: {error}")))?;
    Ok(receiver)
}

fn read_answer(
    agent: &ureq::Agent,
    url: &str,
    have: u64,
    to: &SyncSender<Message>,
) -> Result<(), std::sync::mpsc::SendError<Message>> {
    let mut request = agent.get(url);
    if have > 0 {
        request = request.set("Range", &format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) | Err(ureq::Error::Status(_, response)) => response,
        Err(ureq::Error::Transport(error)) => return to.send(transport(&error)),
    };
    let header = |name: &str| response.header(name).map(str::trim).map(str::to_owned);
    to.send(Message::Head(Head {
        status: response.status(),
        text: printable(response.status_text()),
        length: header("Content-Length").and_then(|length| length.parse().ok()),
        range: header("Content-Range").unwrap_or_default(),
        location: header("Location"),
    }))?;
    let mut body = response.into_reader();
    loop {
        let mut piece = vec![0; STEP];
        match body.read(&mut piece) {
            Ok(0) => return to.send(Message::End(None)),
            Ok(read) => {
                piece.truncate(read);
                to.send(Message::Piece(piece))?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return to.send(Message::End(Some(printable(&error.to_string())))),
        }
    }
}

/// The length of a file; 0 where there is none.
fn length(part: &Path) -> u64 {
    std::fs::metadata(part).map_or(0, |part| part.len())
}

fn restart(file: &mut File) -> Result<(), Failure> {
    if file.metadata().is_ok_and(|file| file.len() == 0) {
        return Ok(());
    }
    file.set_len(0).map_err(Failure::Disk)
}

/// A connection that broke may be resumed; one that could not be made is an error.
fn transport(error: &ureq::Transport) -> Message {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    let reason = match (error.message(), source) {
        (Some(message), Some(source)) => format!("{}: {message}: {source}", error.kind()),
        (Some(message), None) => format!("{}: {message}", error.kind()),
        (None, Some(source)) => format!("{}: {source}", error.kind()),
        (None, None) => error.kind().to_string(),
    };
    Message::None { reason: printable(&reason), again: error.kind() == ureq::ErrorKind::Io }
}

/// Where the body of a response starts: at the requested byte, or at 0 where the server does not support ranges.
fn starts_at(head: &Head, have: u64, bytes: u64) -> Result<u64, String> {
    let (from, total) = match head.status {
        200 => (0, head.length),
        206 => {
            let parsed = head.range.strip_prefix("bytes ").and_then(|range| {
                let (span, total) = range.split_once('/')?;
                Some((span.split_once('-')?.0.parse::<u64>().ok()?, total.parse::<u64>().ok()))
            });
            let Some((from, total)) = parsed.filter(|&(from, _)| from == have) else {
                let range = printable(&head.range);
                return Err(format!("answers `Content-Range: {range}` where bytes from {have} on were asked for"));
            };
            (from, total)
        }
        other => return Err(format!("HTTP {other} {}", head.text)),
    };
    match total.filter(|&total| total != bytes) {
        Some(found) => Err(format!("has a file of {found} bytes, expected {bytes}")),
        None => Ok(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, expected) in [
            ("http://user:pw@host/a", "http://host/a"),
            ("https://user:p@w@host:8/a@b", "https://host:8/a@b"),
            ("http://host/a@b", "http://host/a@b"),
            ("http://host?x=@", "http://host?x=@"),
            ("no address", "no address"),
            ("user:pw@host/x", "host/x"),
            ("user:p/w@host/x", "host/x"),
            ("http://user:p/w@host/x", "http://host/x"),
            ("//user:pw@host/x", "host/x"),
            ("ftp://user:pw@host/x", "ftp://host/x"),
            ("http:user:pw@host/x", "host/x"),
            ("http://host/\x1b[31m\n", "http://host/\u{fffd}[31m\u{fffd}"),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named() {
        for (proxy, why) in [
            ("socks5://user:pw@h:1", "the proxy socks5://h:1 cannot be used: files are fetched over http and https"),
            (":::", "the proxy ::: cannot be used: "),
        ] {
            let said = usable(proxy).err().unwrap_or_default();
            assert!(said.starts_with(why), "{said}");
        }
        assert!(usable("http://user:pw@h:1").is_ok() && usable("h:1").is_ok());
    }

    #[test]
    fn the_environment_names_the_proxy_and_who_needs_none() {
        let of = |url: &str, set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned());
            proxy_for(&Url::parse(url).unwrap(), variable)
        };
        let proxied = Some("http://p:1".to_owned());
        let all = ("ALL_PROXY", "http://p:1");
        assert_eq!(of("http://a.example/", &[]), None);
        assert_eq!(of("http://a.example/", &[("ALL_PROXY", "")]), None, "empty is not set");
        assert_eq!(of("http://a.example/", &[("HTTP_PROXY", " "), all]), proxied);
        assert_eq!(of("https://a.example/", &[("http_proxy", "http://q:2"), all]), proxied);
        assert_eq!(of("https://a.example/", &[("https_proxy", "http://p:1")]), proxied);
        for (list, is_direct) in [
            ("*", true),
            ("example", true),
            (".example", true),
            ("b.example, A.example", true),
            ("*.example", true),
            ("a.example:80", true),
            ("a.example:81", false),
            ("ample", false),
            ("", false),
            ("b.example", false),
        ] {
            assert_eq!(of("http://a.example/", &[all, ("no_proxy", list)]).is_none(), is_direct, "{list}");
        }
        assert_eq!(of("http://[::1]:8/", &[all, ("NO_PROXY", "::1")]), None);
    }
}
