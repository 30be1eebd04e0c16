//! Watches the HTTP/2 frames of a connection go by, to play gRPC Java's policy on keep-alive pings.

use std::time::{Duration, Instant};

/// gRPC Java's `permitKeepAliveTime` when nobody sets it.
const PERMIT_KEEP_ALIVE: Duration = Duration::from_secs(300);
/// Pings that come too soon before the connection is closed.
const MAX_STRIKES: u32 = 2;
/// `PRI * HTTP/2.0 ...`, which a client sends before its first frame.
pub(super) const PREFACE: usize = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const ACK: u8 = 1;

/// Finds the frame headers in a stream of bytes.
#[derive(Debug)]
pub(super) struct Frames {
    skip: usize,
    header: [u8; 9],
    have: usize,
}

impl Frames {
    pub(super) fn new(preface: usize) -> Self {
        Self { skip: preface, header: [0; 9], have: 0 }
    }

    /// Calls `seen(type, flags)` for every frame header that is complete with these bytes.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u8, u8)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let jump = self.skip.min(bytes.len());
                self.skip -= jump;
                bytes = &bytes[jump..];
                continue;
            }
            let take = (self.header.len() - self.have).min(bytes.len());
            self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            bytes = &bytes[take..];
            if self.have == self.header.len() {
                self.have = 0;
                self.skip =
                    usize::from(self.header[0]) << 16 | usize::from(self.header[1]) << 8 | usize::from(self.header[2]);
                seen(self.header[3], self.header[4]);
            }
        }
    }
}

/// Counts pings that come sooner than the server permits.
#[derive(Debug)]
pub(super) struct PingPolice {
    inbound: Frames,
    outbound: Frames,
    last_good: Option<Instant>,
    strikes: u32,
}

impl PingPolice {
    pub(super) fn new() -> Self {
        Self { inbound: Frames::new(PREFACE), outbound: Frames::new(0), last_good: None, strikes: 0 }
    }

    /// Bytes from the client. True: too many pings, close the connection.
    pub(super) fn inbound(&mut self, bytes: &[u8], now: Instant) -> bool {
        let (mut last_good, mut strikes) = (self.last_good, self.strikes);
        self.inbound.pass(bytes, |kind, flags| {
            if kind != PING || flags & ACK != 0 {
                return;
            }
            match last_good {
                Some(at) if now.duration_since(at) < PERMIT_KEEP_ALIVE => strikes += 1,
                _ => last_good = Some(now),
            }
        });
        (self.last_good, self.strikes) = (last_good, strikes);
        strikes > MAX_STRIKES
    }

    /// Bytes to the client: an answer pays for its pings.
    pub(super) fn outbound(&mut self, bytes: &[u8]) {
        let mut answered = false;
        self.outbound.pass(bytes, |kind, _| answered |= kind == DATA || kind == HEADERS);
        if answered {
            (self.last_good, self.strikes) = (None, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![0, (payload >> 8) as u8, payload as u8, kind, flags, 0, 0, 0, 0];
        bytes.resize(9 + payload, 7);
        bytes
    }

    #[test]
    fn frames_are_found_whatever_the_cuts_between_reads() {
        let mut bytes = vec![b'x'; PREFACE];
        for (kind, payload) in [(4, 0), (PING, 8), (DATA, 700), (PING, 8)] {
            bytes.extend(frame(kind, 0, payload));
        }
        for cut in [1, 2, 7, 64, 1000] {
            let mut kinds = Vec::new();
            let mut frames = Frames::new(PREFACE);
            bytes.chunks(cut).for_each(|chunk| frames.pass(chunk, |kind, _| kinds.push(kind)));
            assert_eq!(kinds, [4, PING, DATA, PING], "read {cut} bytes at a time");
        }
    }

    #[test]
    fn the_fourth_ping_without_an_answer_between_is_one_too_many() {
        let mut police = PingPolice::new();
        let now = Instant::now();
        assert!(!police.inbound(&[b'x'; PREFACE], now));
        let ping = frame(PING, 0, 8);
        assert!((0..3).all(|_| !police.inbound(&ping, now)));
        assert!(police.inbound(&ping, now));
    }

    #[test]
    fn acks_and_paid_pings_do_not_count() {
        let mut police = PingPolice::new();
        let now = Instant::now();
        police.inbound(&[b'x'; PREFACE], now);
        for _ in 0..20 {
            assert!(!police.inbound(&frame(PING, ACK, 8), now));
            assert!(!police.inbound(&frame(PING, 0, 8), now));
            police.outbound(&frame(HEADERS, 4, 20));
        }
    }
}
