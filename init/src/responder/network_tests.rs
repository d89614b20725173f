use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use protocol::responder::{QUESTION, question, read_head};
use rustix::net::{AddressFamily, SocketType};

use super::*;
use crate::responder::listen::tcp_on;

/// A network side on loopback, and the reporter's end of its socket pair.
struct Served {
    address: SocketAddr,
    reporter: Option<OwnedFd>,
    thread: JoinHandle<io::Result<()>>,
}

fn serve() -> Served {
    let flags = SocketFlags::CLOEXEC;
    let (near, far) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let listener = tcp_on((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = rustix::net::getsockname(&listener).unwrap().try_into().unwrap();
    let thread =
        std::thread::spawn(move || Network::new(far.as_fd(), vec![listener.as_fd()]).serve());
    Served { address, reporter: Some(near), thread }
}

impl Served {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        // A test that would wait for ever fails instead.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Answers `count` nonces with themselves, repeated to `length` bytes.
    fn echo(&self, count: usize, length: usize) -> JoinHandle<()> {
        let reporter = self.reporter.as_ref().unwrap().try_clone().unwrap();
        std::thread::spawn(move || {
            for _ in 0..count {
                let nonce = hear(&reporter);
                tell(&reporter, &evidence(&nonce, length));
            }
        })
    }

    /// Ends the reporter, with which the network side has to end.
    fn end(mut self) {
        self.reporter = None;
        self.thread.join().unwrap().unwrap();
    }
}

fn hear(reporter: &OwnedFd) -> Vec<u8> {
    let mut message = [0; 64];
    let (_, length) = rustix::net::recv(reporter, &mut message, RecvFlags::empty()).unwrap();
    assert_eq!(length, 32, "a nonce");
    message[..length].to_vec()
}

fn tell(reporter: &OwnedFd, message: &[u8]) {
    rustix::net::send(reporter, message, SendFlags::NOSIGNAL).unwrap();
}

fn evidence(nonce: &[u8], length: usize) -> Vec<u8> {
    [0].into_iter().chain(nonce.iter().copied().cycle().take(length)).collect()
}

/// The whole answer, up to the end of the connection.
fn take(stream: &mut TcpStream) -> (Status, Vec<u8>) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let (head, body) = answer.split_first_chunk::<HEAD>().unwrap();
    let (status, length) = read_head(head).unwrap();
    assert_eq!(body.len(), length);
    (status, body.to_vec())
}

/// Whether the connection was ended without an answer.
fn dropped(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_question_is_answered_whole() {
    let served = serve();
    for length in [1, 1300, MAX_BODY] {
        let reporter = served.echo(1, length);
        let mut client = served.connect();
        client.write_all(&question(&[7; 32])).unwrap();
        assert_eq!(take(&mut client), (Status::Evidence, vec![7; length]));
        reporter.join().unwrap();
    }
    served.end();
}

#[test]
fn a_question_may_come_byte_by_byte_and_end_the_sending() {
    let served = serve();
    let reporter = served.echo(1, 1300);
    let mut client = served.connect();
    client.set_nodelay(true).unwrap();
    for byte in question(&[7; 32]) {
        client.write_all(&[byte]).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(take(&mut client), (Status::Evidence, vec![7; 1300]));
    reporter.join().unwrap();
    served.end();
}

#[test]
fn half_a_question_is_none() {
    let served = serve();
    for length in [0, 1, 8, 39] {
        let mut client = served.connect();
        client.write_all(&question(&[7; 32])[..length]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(dropped(&mut client), "{length}");
    }
    served.end();
}

/// Silence ends by the network side's own deadline.
#[test]
fn who_asks_nothing_is_dropped_in_the_end() {
    let served = serve();
    let mut clients = [served.connect(), served.connect()];
    clients[1].write_all(&question(&[7; 32])[..39]).unwrap();
    for client in &mut clients {
        assert!(dropped(client));
    }
    served.end();
}

#[test]
fn garbage_is_named_and_the_connection_closed() {
    let served = serve();
    let long = [b'x'; 3000];
    let other_version = [b"ravelin\x02".as_slice(), &[0; 32]].concat();
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\0", &other_version, &long] {
        let mut client = served.connect();
        client.write_all(garbage).unwrap();
        assert_eq!(take(&mut client), (Status::Malformed, Vec::new()), "{garbage:?}");
    }
    served.end();
}

#[test]
fn questions_are_rationed() {
    let served = serve();
    let mut clients: Vec<_> = (0..40).map(|_| served.connect()).collect();
    for client in &mut clients {
        client.write_all(&question(&[7; 32])).unwrap();
    }
    let reporter = served.reporter.as_ref().unwrap().try_clone().unwrap();
    let answering = std::thread::spawn(move || {
        let mut asked = 0;
        let mut message = [0; 64];
        while let Ok((_, 32)) = rustix::net::recv(&reporter, &mut message, RecvFlags::empty()) {
            asked += 1;
            tell(&reporter, &evidence(&message[..32], 10));
        }
        asked
    });
    let answers: Vec<_> = clients.iter_mut().map(|client| take(client).0).collect();
    let evidence = answers.iter().filter(|status| **status == Status::Evidence).count();
    let busy = answers.iter().filter(|status| **status == Status::Busy).count();
    assert!(evidence >= 8, "{answers:?}");
    assert!(busy >= 1, "{answers:?}");
    assert_eq!(evidence + busy, 40);
    // Shut down instead of closed: the other thread has a copy of the end.
    let near = served.reporter.as_ref().unwrap();
    rustix::net::shutdown(near, rustix::net::Shutdown::Both).unwrap();
    assert_eq!(answering.join().unwrap(), evidence);
    served.thread.join().unwrap().unwrap();
}

#[test]
fn a_thousand_idle_connections_keep_nobody_out() {
    let served = serve();
    let idle: Vec<_> = (0..1000_u32)
        .map(|number| {
            let mut client = served.connect();
            // Every second one has begun a question.
            let begun = if number % 2 == 0 { 0 } else { QUESTION - 1 };
            let _dropped = client.write_all(&question(&[0; 32])[..begun]);
            client
        })
        .collect();
    let reporter = served.echo(1, 1300);
    let mut client = served.connect();
    client.write_all(&question(&[7; 32])).unwrap();
    assert_eq!(take(&mut client), (Status::Evidence, vec![7; 1300]));
    reporter.join().unwrap();
    drop(idle);
    served.end();
}

/// While others connect as fast as they can.
#[test]
fn a_flood_of_connections_keeps_nobody_out() {
    let served = serve();
    let (stop, stopped): (Sender<()>, Receiver<()>) = channel();
    let address = served.address;
    let flood = std::thread::spawn(move || {
        let mut kept = std::collections::VecDeque::new();
        let mut made = 0;
        while stopped.try_recv().is_err() {
            if let Ok(client) = TcpStream::connect(address) {
                made += 1;
                kept.push_back(client);
            }
            if kept.len() > 500 {
                kept.pop_front();
            }
        }
        made
    });
    for _ in 0..5 {
        let reporter = served.echo(1, 100);
        let mut client = served.connect();
        client.write_all(&question(&[7; 32])).unwrap();
        assert_eq!(take(&mut client), (Status::Evidence, vec![7; 100]));
        reporter.join().unwrap();
    }
    stop.send(()).unwrap();
    assert!(flood.join().unwrap() > 0);
    served.end();
}

#[test]
fn an_asker_who_leaves_gives_its_answer_to_nobody() {
    let served = serve();
    let reporter = served.reporter.as_ref().unwrap();
    let mut gone = served.connect();
    gone.write_all(&question(&[1; 32])).unwrap();
    let first = hear(reporter);
    assert_eq!(first, [1; 32]);
    let mut stays = served.connect();
    stays.write_all(&question(&[2; 32])).unwrap();
    drop(gone);
    tell(reporter, &evidence(&first, 100));
    let second = hear(reporter);
    tell(reporter, &evidence(&second, 100));
    assert_eq!(take(&mut stays), (Status::Evidence, vec![2; 100]));
    served.end();
}

#[test]
fn what_is_no_evidence_is_unavailable() {
    let served = serve();
    let reporter = served.reporter.as_ref().unwrap();
    let too_long = evidence(&[7], MAX_BODY + 1);
    for answer in [[1].as_slice(), &[0], &[9, 9], &too_long] {
        let mut client = served.connect();
        client.write_all(&question(&[7; 32])).unwrap();
        hear(reporter);
        tell(reporter, answer);
        assert_eq!(take(&mut client), (Status::Unavailable, Vec::new()), "{}", answer.len());
    }
    // What nobody asked for is not kept for the next one.
    tell(reporter, &evidence(&[1], 100));
    let echo = served.echo(1, 100);
    let mut client = served.connect();
    client.write_all(&question(&[7; 32])).unwrap();
    assert_eq!(take(&mut client), (Status::Evidence, vec![7; 100]));
    echo.join().unwrap();
    served.end();
}

#[test]
fn the_reporters_end_is_the_network_sides() {
    let served = serve();
    let mut client = served.connect();
    client.write_all(&question(&[7; 32])).unwrap();
    hear(served.reporter.as_ref().unwrap());
    served.end();
    assert!(dropped(&mut client));
}
