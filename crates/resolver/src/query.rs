//! Queries to one server: over UDP from a random port, over TCP when the answer is truncated.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use wire::dns::{self, Answer, Kind, Name, Resolved};

/// The largest answer over UDP that is read.
const LARGEST: usize = 4096;
/// Good, and no such name: any other code sends the question to the next server.
const SETTLED: [u8; 2] = [0, 3];

/// A query, and its result.
pub struct Query {
    name: Name,
    kind: Kind,
    id: u16,
    /// What the answer says, or its response code.
    pub ending: Option<Result<Resolved, u8>>,
}

impl Query {
    /// A question that was not asked yet.
    #[must_use]
    pub fn new(name: &Name, kind: Kind) -> Query {
        Query { name: name.clone(), kind, id: 0, ending: None }
    }

    /// Whether no other server need be asked.
    #[must_use]
    pub(crate) fn is_answered(&self) -> bool {
        match &self.ending {
            Some(Ok(_)) => true,
            Some(Err(code)) => SETTLED.contains(code),
            None => false,
        }
    }

    /// Whether there are addresses or services.
    #[must_use]
    pub(crate) fn is_useful(&self) -> bool {
        matches!(&self.ending, Some(Ok(found)) if !found.addresses.is_empty() || !found.services.is_empty())
    }

    fn is_answered_by(&self, answer: &Answer) -> bool {
        answer.id == self.id && answer.kind == self.kind && answer.name == self.name
    }

    fn accept(&mut self, answer: &Answer) {
        self.ending = Some(if answer.code == 0 { Ok(answer.found()) } else { Err(answer.code) });
    }

    fn message(&self) -> Vec<u8> {
        dns::question(self.id, &self.name, self.kind)
    }
}

/// Why a server could not be asked: the call that failed, and how.
#[derive(Debug)]
pub struct ServerError {
    /// As nginx names it: `send()`.
    pub call: &'static str,
    /// What it said.
    pub error: io::Error,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed {}", self.call, base::errno::describe(&self.error))
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

fn failed_call(call: &'static str) -> impl FnOnce(io::Error) -> ServerError {
    move |error| ServerError { call, error }
}

/// Asks what is not settled yet. Waits until all of it is answered, well or badly.
///
/// # Errors
/// The server cannot be reached.
pub async fn query(server: SocketAddr, questions: &mut [Query]) -> Result<(), ServerError> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // The kernel picks the port at random, and lets only this server's packets in.
    let socket = UdpSocket::bind((any, 0)).await.map_err(failed_call("bind()"))?;
    socket.connect(server).await.map_err(failed_call("connect()"))?;
    let mut open = 0;
    let mut last = None;
    for question in questions.iter_mut().filter(|question| !question.is_answered()) {
        // Two numbers differ, so that each answer has one question.
        question.id = loop {
            let [first, second, ..] = getrandom::u32().map_err(|error| failed_call("getrandom()")(io::Error::other(error)))?.to_ne_bytes();
            let id = u16::from_ne_bytes([first, second]);
            if last != Some(id) {
                break id;
            }
        };
        last = Some(question.id);
        socket.send(&question.message()).await.map_err(failed_call("send()"))?;
        open += 1;
    }
    let mut asked: Vec<u16> = questions.iter().filter(|question| !question.is_answered()).map(|question| question.id).collect();
    let mut packet = vec![0; LARGEST];
    while open > 0 {
        let length = socket.recv(&mut packet).await.map_err(failed_call("recv()"))?;
        let answer = packet.get(..length).and_then(|message| dns::parse(message).ok());
        let found = answer.as_ref().and_then(|answer| {
            let question = questions.iter_mut().find(|question| question.is_answered_by(answer) && asked.contains(&question.id))?;
            Some((answer, question))
        });
        // Packets that answer nothing are passed over, as many as there are: the true answer may follow, and the look-up has its time.
        let Some((answer, question)) = found else { continue };
        asked.retain(|id| *id != answer.id);
        open -= 1;
        if answer.truncated {
            let whole = query_tcp(server, question).await.map_err(failed_call("asking over TCP"))?;
            question.accept(&whole);
        } else {
            question.accept(answer);
        }
    }
    Ok(())
}

/// Asks over TCP.
async fn query_tcp(server: SocketAddr, question: &Query) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(server).await?;
    let message = question.message();
    let mut framed = u16::try_from(message.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
    framed.extend_from_slice(&message);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut whole = vec![0; usize::from(length)];
    stream.read_exact(&mut whole).await?;
    let answer = dns::parse(&whole).ok().filter(|answer| question.is_answered_by(answer));
    answer.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
