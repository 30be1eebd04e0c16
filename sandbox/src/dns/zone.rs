//! The records, and what they say to a question.

use hickory_server::proto::rr::rdata::{CNAME, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Seconds that an answer may be kept: what CoreDNS gives its cluster's names by default.
const TTL: u32 = 5;
/// Aliases that are followed, so that a circle ends.
const ALIASES: usize = 8;

/// Records by name.
#[derive(Default)]
pub(super) struct Zone {
    records: BTreeMap<Name, Vec<RData>>,
}

/// What there is to say.
pub(super) struct Said {
    /// In the answer; empty: nothing of that kind.
    pub answers: Vec<Record>,
    /// The addresses of what the answer names.
    pub additionals: Vec<Record>,
    /// Whether there is such a name at all.
    pub exists: bool,
}

impl Zone {
    pub fn add_srv(&mut self, name: &str, target: &str, port: u16) {
        self.add(name, srv(target, port));
    }

    pub fn remove_srv(&mut self, name: &str, target: &str, port: u16) {
        self.remove(name, &srv(target, port));
    }

    pub fn add_address(&mut self, name: &str, address: IpAddr) {
        self.add(name, RData::from(address));
    }

    pub fn remove_address(&mut self, name: &str, address: IpAddr) {
        self.remove(name, &RData::from(address));
    }

    pub fn add_alias(&mut self, name: &str, target: &str) {
        self.add(name, RData::CNAME(CNAME(full(target))));
    }

    fn add(&mut self, name: &str, data: RData) {
        let there = self.records.entry(full(name)).or_default();
        if !there.contains(&data) {
            there.push(data);
        }
    }

    /// A name goes with its last record.
    fn remove(&mut self, name: &str, data: &RData) {
        let name = full(name);
        if let Some(there) = self.records.get_mut(&name) {
            there.retain(|one| one != data);
            if there.is_empty() {
                self.records.remove(&name);
            }
        }
    }

    /// Everything of this kind under this name, `turn` records turned to the end.
    pub fn say(&self, name: &Name, kind: RecordType, turn: usize) -> Said {
        let mut answers = Vec::new();
        let mut at = name.clone();
        for _ in 0..ALIASES {
            let there = self.records.get(&at).map(Vec::as_slice).unwrap_or_default();
            let alias =
                there.iter().find_map(|data| if let RData::CNAME(to) = data { Some(to.0.clone()) } else { None });
            match alias.filter(|_| kind != RecordType::CNAME) {
                Some(to) => {
                    answers.push(Record::from_rdata(at, TTL, RData::CNAME(CNAME(to.clone()))));
                    at = to;
                }
                None => {
                    answers.extend(turned(self.of_kind(&at, kind), turn));
                    break;
                }
            }
        }
        let named =
            answers.iter().filter_map(|record| if let RData::SRV(to) = &record.data { Some(&to.target) } else { None });
        let both = |target| [RecordType::A, RecordType::AAAA].map(|kind| self.of_kind(target, kind));
        let additionals = named.flat_map(both).flatten().collect();
        // A name under which there are others exists too, though it has no records.
        let exists = self.records.keys().any(|known| name.zone_of(known));
        Said { answers, additionals, exists }
    }

    fn of_kind(&self, name: &Name, kind: RecordType) -> Vec<Record> {
        let there = self.records.get(name).into_iter().flatten().filter(|data| data.record_type() == kind);
        there.map(|data| Record::from_rdata(name.clone(), TTL, data.clone())).collect()
    }
}

/// What goes with the word that there is nothing: it lets resolvers keep that for a while.
pub(super) fn authority() -> Record {
    let name = full("cluster.local");
    Record::from_rdata(
        name.clone(),
        TTL,
        RData::SOA(SOA::new(full("ns.dns.cluster.local"), name, 1, 7200, 1800, 86400, TTL)),
    )
}

fn turned(mut records: Vec<Record>, turn: usize) -> Vec<Record> {
    if !records.is_empty() {
        let by = turn % records.len();
        records.rotate_left(by);
    }
    records
}

fn srv(target: &str, port: u16) -> RData {
    RData::SRV(SRV::new(0, 100, port, full(target)))
}

/// A name that ends at the root, in small letters. What cannot be one becomes the root itself, where nobody asks.
fn full(name: &str) -> Name {
    let mut full = Name::from_ascii(name.to_ascii_lowercase()).unwrap_or_default();
    full.set_fqdn(true);
    full
}
