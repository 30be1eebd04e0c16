//! A DNS server: real UDP and TCP on one loopback port, answering as a cluster's does for headless Services, and failing
//! on request. Records can be changed at any time.
//!
//! ```no_run
//! # async fn f() -> std::io::Result<()> {
//! use stillpoint_sandbox::dns::{Dns, Manner};
//! let dns = Dns::start().await?;
//! dns.add_srv("_scalardb._tcp.db.example", "pod-0.db.example", 60051);
//! dns.add_address("pod-0.db.example", [127, 0, 0, 2].into());
//! dns.behave(Manner::ServFail);
//! # Ok(())
//! # }
//! ```

mod answer;
#[cfg(test)]
mod tests;
mod zone;

use crate::pods::mono_ns;
use hickory_server::Server;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use zone::Zone;

/// A TCP connection without a question for this long is closed.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers that wait on one TCP connection.
const TCP_ANSWERS: usize = 64;
/// Ports of which UDP and TCP may be taken by different programs: tries to find one that has both.
const PORT_TRIES: usize = 20;

/// How the server answers from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As the records are.
    #[default]
    Well,
    /// "The server failed", to everything.
    ServFail,
    /// "No such name", to everything.
    NxDomain,
    /// "I will not", to everything.
    Refused,
    /// Over UDP only that the answer is too long; whole over TCP.
    Truncated,
    /// Over UDP only that the answer is too long, over TCP nothing at all.
    TruncatedWithoutTcp,
    /// Not at all.
    Silent,
    /// As the records are when the question comes, after this long.
    Late(Duration),
}

/// What a question came over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name, in small letters, without the last dot.
    pub name: String,
    /// `SRV`, `A`, `AAAA` and so on.
    pub kind: String,
    /// How it came.
    pub over: Over,
    /// When, on CLOCK_MONOTONIC.
    pub at_ns: u64,
}

#[derive(Default)]
struct Shared {
    zone: Zone,
    manner: Manner,
    asked: Vec<Asked>,
    /// Turns the order of records with each answer, as load-balancing servers do.
    turns: usize,
}

/// A running server. It ends when dropped.
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _server: Server<answer::Handler>,
}

impl Dns {
    /// Starts a server without records on a free loopback port; it listens when this returns.
    ///
    /// # Errors
    /// No port is left.
    pub async fn start() -> io::Result<Self> {
        let (udp, tcp) = sockets().await?;
        let address = udp.local_addr()?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let mut server = Server::new(answer::Handler(Arc::clone(&shared)));
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_ANSWERS);
        Ok(Self { address, shared, _server: server })
    }

    /// Where it answers, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a service record. A repeat changes nothing.
    pub fn add_srv(&self, name: &str, target: &str, port: u16) {
        self.lock().zone.add_srv(name, target, port);
    }

    /// Takes a service record away.
    pub fn remove_srv(&self, name: &str, target: &str, port: u16) {
        self.lock().zone.remove_srv(name, target, port);
    }

    /// Adds an address record, A or AAAA. A repeat changes nothing.
    pub fn add_address(&self, name: &str, address: IpAddr) {
        self.lock().zone.add_address(name, address);
    }

    /// Takes an address record away.
    pub fn remove_address(&self, name: &str, address: IpAddr) {
        self.lock().zone.remove_address(name, address);
    }

    /// Replaces an address by another, in one step.
    pub fn move_address(&self, name: &str, from: IpAddr, to: IpAddr) {
        let mut shared = self.lock();
        shared.zone.remove_address(name, from);
        shared.zone.add_address(name, to);
    }

    /// Makes one name stand for another: a CNAME.
    pub fn add_alias(&self, name: &str, target: &str) {
        self.lock().zone.add_alias(name, target);
    }

    /// How it answers from now on. Answers that are on their way stay as they are.
    pub fn behave(&self, manner: Manner) {
        self.lock().manner = manner;
    }

    /// Every question so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self._server.shutdown_token().cancel();
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").field("address", &self.address).finish_non_exhaustive()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sockets() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::from(io::ErrorKind::AddrInUse)))
}
