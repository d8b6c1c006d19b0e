//! An HTTP client as small as the tests need: one request after another over a connection that stays open.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Talks to one server, under one name.
pub(crate) struct Client {
    address: SocketAddr,
    user_agent: String,
    connection: Option<BufReader<TcpStream>>,
    timeout: Duration,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, user_agent: &str) -> Self {
        Self { address, user_agent: user_agent.to_owned(), connection: None, timeout: TIMEOUT }
    }

    /// Fetches a page. A connection that the server has closed meanwhile is opened anew.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Answer> {
        let was_open = self.connection.is_some();
        match self.try_get(path) {
            Err(_) if was_open => self.try_get(path),
            answer => answer,
        }
    }

    /// Posts a body. The connection may have been closed meanwhile; then that is the error.
    pub(crate) fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address, self.timeout)?,
        };
        let (host, agent, length) = (self.address, &self.user_agent, body.len());
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
        );
        for (name, value) in headers {
            head.extend([*name, ": ", *value, "\r\n"]);
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        connection.get_mut().write_all(&request)?;
        let (answer, stays) = read_answer(&mut connection)?;
        self.connection = stays.then_some(connection);
        Ok(answer)
    }

    /// How long an answer may take from now on.
    pub(crate) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn try_get(&mut self, path: &str) -> io::Result<Answer> {
        // Only an answer that was read to its end leaves the connection fit for the next.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(self.address, self.timeout)?,
        };
        let (host, agent) = (self.address, &self.user_agent);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: text/plain;version=0.0.4, */*;q=0.1\r\n\r\n"
        );
        connection.get_mut().write_all(request.as_bytes())?;
        let (answer, stays) = read_answer(&mut connection)?;
        self.connection = stays.then_some(connection);
        Ok(answer)
    }
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(BufReader::with_capacity(1 << 16, stream))
}

/// Reads an answer, and says whether the connection stays open.
fn read_answer(connection: &mut impl BufRead) -> io::Result<(Answer, bool)> {
    let first = read_line(connection)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| invalid(&first))?;
    let (mut length, mut chunked, mut stays) = (None, false, true);
    let mut headers = BTreeMap::new();
    loop {
        let line = read_line(connection)?;
        let Some((name, value)) = line.split_once(':') else { break };
        let value = value.trim();
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<usize>().map_err(|_| invalid(value))?),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => stays = !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let line = read_line(connection)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| invalid(&line))?;
            read_exactly(connection, size, &mut body)?;
            read_line(connection)?;
            if size == 0 {
                break;
            }
        }
    } else {
        read_exactly(connection, length.ok_or_else(|| invalid("no length"))?, &mut body)?;
    }
    let body = String::from_utf8(body).map_err(|_| invalid("not UTF-8"))?;
    Ok((Answer { status, headers, body }, stays))
}

fn read_line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(line)
}

fn read_exactly(connection: &mut impl Read, size: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let read = connection.take(size as u64).read_to_end(into)?;
    if read == size { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}
