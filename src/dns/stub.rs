//! An authority of our own on loopback, for tests: UDP and TCP, as silent or as broken as a test wants it.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

/// What it does for a name and a type (`A`, `TXT`, …; `*` for all types).
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Records of that type, in their text form: `192.0.2.1`, `10 mail.test`, any text.
    Records(Vec<Vec<u8>>),
    /// It says nothing.
    Silence,
    /// SERVFAIL.
    Failure,
}

#[derive(Debug, Default)]
struct Zone {
    replies: HashMap<(String, String), Reply>,
    asked: Vec<(String, String)>,
    dead: bool,
}

/// The server; it ends with the test program.
#[derive(Debug, Clone)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
}

impl Stub {
    /// Starts it on a free port. What is not told it answers with NXDOMAIN, or without records if the name is known.
    pub(crate) fn start() -> Self {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let stub = Self { address: udp.local_addr().unwrap(), zone: Arc::default() };
        let here = stub.clone();
        std::thread::spawn(move || {
            let mut packet = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut packet) {
                if let Some(reply) = here.reply(&packet[..length], 1232) {
                    let _ = udp.send_to(&reply, from);
                }
            }
        });
        let here = stub.clone();
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let here = here.clone();
                std::thread::spawn(move || here.serve(stream));
            }
        });
        stub
    }

    fn serve(&self, mut stream: std::net::TcpStream) {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).is_ok() {
            let mut packet = vec![0; u16::from_be_bytes(length).into()];
            if stream.read_exact(&mut packet).is_err() {
                return;
            }
            let Some(reply) = self.reply(&packet, usize::from(u16::MAX)) else { return };
            let size = u16::try_from(reply.len()).unwrap().to_be_bytes();
            if stream.write_all(&[&size[..], &reply].concat()).is_err() {
                return;
            }
        }
    }

    /// Says what to answer with.
    pub(crate) fn set(&self, name: &str, kind: &str, reply: Reply) {
        let key = (name.to_lowercase(), kind.to_owned());
        self.zone.lock().unwrap().replies.insert(key, reply);
    }

    /// Records in their text form.
    pub(crate) fn add(&self, name: &str, kind: &str, records: &[&str]) {
        let records = records.iter().map(|record| record.as_bytes().to_vec()).collect();
        self.set(name, kind, Reply::Records(records));
    }

    /// From now on it says nothing at all.
    pub(crate) fn die(&self) {
        self.zone.lock().unwrap().dead = true;
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<(String, String)> {
        self.zone.lock().unwrap().asked.clone()
    }

    fn reply(&self, packet: &[u8], size_max: usize) -> Option<Vec<u8>> {
        let (name, kind, end) = question(packet)?;
        let mut zone = self.zone.lock().unwrap();
        zone.asked.push((name.clone(), kind.to_owned()));
        if zone.dead {
            return None;
        }
        let known = zone.replies.keys().any(|(known, _)| *known == name);
        let find = |kind: &str| zone.replies.get(&(name.clone(), kind.to_owned())).cloned();
        let mut records = Vec::new();
        let code = match find(kind).or_else(|| find("*")) {
            Some(Reply::Silence) => return None,
            Some(Reply::Failure) => 2,
            Some(Reply::Records(found)) => {
                records = found;
                0
            }
            None => match find("CNAME") {
                Some(Reply::Records(target)) => {
                    // Enough for one step, which is all that tests need.
                    let target = String::from_utf8(target[0].clone()).unwrap();
                    let behind = zone.replies.get(&(target.clone(), kind.to_owned())).cloned();
                    let mut out = header(packet, end, 0, 1);
                    out.extend(record(5, &encode(&target)));
                    if let Some(Reply::Records(found)) = behind {
                        out[7] = u8::try_from(1 + found.len()).unwrap();
                        for one in &found {
                            let data = data(kind, one);
                            let mut whole = encode(&target);
                            whole.extend(&record(number(kind), &data)[2..]);
                            out.extend(whole);
                        }
                    }
                    return Some(out);
                }
                _ if known => 0,
                _ => 3,
            },
        };
        let mut out = header(packet, end, code, u8::try_from(records.len()).unwrap());
        for one in &records {
            out.extend(record(number(kind), &data(kind, one)));
        }
        if out.len() > size_max {
            out = header(packet, end, 0, 0);
            out[2] |= 2;
        }
        Some(out)
    }
}

const KINDS: [(u16, &str); 8] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (99, "SPF"),
];

fn number(kind: &str) -> u16 {
    KINDS.iter().find(|(_, known)| *known == kind).unwrap().0
}

fn question(packet: &[u8]) -> Option<(String, &'static str, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
    let kind = KINDS.iter().find(|(number, _)| *number == kind).map_or("?", |(_, name)| name);
    Some((labels.join("."), kind, at + 4))
}

fn header(packet: &[u8], end: usize, code: u8, count: u8) -> Vec<u8> {
    let mut out = vec![packet[0], packet[1], 0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    out.extend(&packet[12..end]);
    out
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc0, 12];
    out.extend(kind.to_be_bytes());
    out.extend([0, 1, 0, 0, 0, 60]);
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

fn encode(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn data(kind: &str, text: &[u8]) -> Vec<u8> {
    let words = || String::from_utf8(text.to_vec()).unwrap();
    match kind {
        "A" => words().parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec(),
        "AAAA" => words().parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec(),
        "MX" => {
            let words = words();
            let (preference, host) = words.split_once(' ').unwrap();
            let mut out = preference.parse::<u16>().unwrap().to_be_bytes().to_vec();
            out.extend(encode(host));
            out
        }
        "NS" | "PTR" | "CNAME" => encode(&words()),
        // Parts of a text are told apart by 0x1f.
        _ => {
            let mut out = Vec::new();
            for part in text.split(|octet| *octet == 0x1f) {
                let chunks = part.chunks(255);
                for chunk in if part.is_empty() { vec![&[][..]] } else { chunks.collect() } {
                    out.push(u8::try_from(chunk.len()).unwrap());
                    out.extend(chunk);
                }
            }
            out
        }
    }
}
