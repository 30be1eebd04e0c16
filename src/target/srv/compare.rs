//! Two looks at DNS, and what changed between them. Asks nobody.

use crate::window::protocol::PodsChange;
use crate::window::violation::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// One service record: a host and the port that it is to be asked on. Priorities and weights choose among pods, and
/// here all are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// The host's name, in small letters, without the last dot.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Every service record of a name, with every address of its host. Order and lifetimes of answers do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(pub BTreeMap<Record, BTreeSet<IpAddr>>);

impl Records {
    /// Each address and port once, with the first record that leads there.
    pub fn pods(&self) -> BTreeMap<SocketAddr, Record> {
        let mut pods = BTreeMap::new();
        for (record, ips) in &self.0 {
            for ip in ips {
                pods.entry(SocketAddr::new(*ip, record.port)).or_insert_with(|| record.clone());
            }
        }
        pods
    }

    /// Records whose host has no address.
    pub fn without_address(&self) -> impl Iterator<Item = &Record> {
        self.0.iter().filter(|(_, ips)| ips.is_empty()).map(|(record, _)| record)
    }
}

/// What makes a window prove nothing when `before` has become `now`; nothing where they are the same.
pub fn changes(before: &Records, now: &Records) -> Vec<PodsChange> {
    let mut changes = Vec::new();
    for (record, were) in &before.0 {
        match now.0.get(record) {
            None => changes.extend(each(Name::PodRemoved, record, were, "its service record is gone")),
            Some(are) if are != were => changes.extend(of_host(record, were, are)),
            Some(_) => {}
        }
    }
    for (record, are) in &now.0 {
        if !before.0.contains_key(record) {
            changes.extend(each(Name::PodAdded, record, are, "a service record of it has come"));
        }
    }
    changes
}

/// A record that stayed, and whose host has other addresses.
fn of_host(record: &Record, were: &BTreeSet<IpAddr>, are: &BTreeSet<IpAddr>) -> Vec<PodsChange> {
    if are.is_empty() {
        let detail = format!("a service record names it, and it has no address any more; it had {}", list(were));
        return vec![PodsChange { name: Name::SetsDisagree, subject: record.to_string(), detail }];
    }
    let gone: BTreeSet<IpAddr> = were.difference(are).copied().collect();
    let came: BTreeSet<IpAddr> = are.difference(were).copied().collect();
    if came.is_empty() {
        return each(Name::PodRemoved, record, &gone, "its host no longer has this address").collect();
    }
    if gone.is_empty() {
        return each(Name::PodAdded, record, &came, "its host has this address too").collect();
    }
    let replaced = |ip: &IpAddr| PodsChange {
        name: Name::PodReplaced,
        subject: SocketAddr::new(*ip, record.port).to_string(),
        detail: format!("{record} is at {} now", list(&came)),
    };
    gone.iter().map(replaced).collect()
}

/// One change for each address; one for the host where it has none.
fn each<'a>(
    name: Name,
    record: &'a Record,
    ips: &'a BTreeSet<IpAddr>,
    why: &'a str,
) -> impl Iterator<Item = PodsChange> + 'a {
    let bare = ips.is_empty().then(|| PodsChange {
        name,
        subject: record.to_string(),
        detail: format!("{why}, without an address"),
    });
    let named = move |ip: &IpAddr| PodsChange {
        name,
        subject: SocketAddr::new(*ip, record.port).to_string(),
        detail: format!("{record}: {why}"),
    };
    ips.iter().map(named).chain(bare)
}

fn list(ips: &BTreeSet<IpAddr>) -> String {
    ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
