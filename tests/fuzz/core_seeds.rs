//! Inputs for the targets of the core, by name; the bodies say how they are read.

use std::net::IpAddr;

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// Seeds of `peer_policy`.
pub(crate) fn peer_policy() -> Seeds {
    const RECOMMENDED: u8 = 1;
    const NAT: u8 = 2;
    const LIVE: u8 = 4;
    let allow = |net| rule(2, net);
    let deny = |net| rule(0, net);
    vec![
        ("empty", Vec::new()),
        ("public", peer(RECOMMENDED, "::ffff:8.8.8.8", 5000, &[])),
        ("public-v6", peer(RECOMMENDED, "2606:4700::1111", 5000, &[])),
        ("private", peer(RECOMMENDED, "::ffff:10.0.0.5", 80, &[])),
        ("private-translated", peer(RECOMMENDED, "64:ff9b::a00:5", 80, &[])),
        ("private-compatible", peer(RECOMMENDED, "::10.0.0.5", 80, &[])),
        ("private-siit", peer(RECOMMENDED, "::ffff:0:10.0.0.5", 80, &[])),
        ("private-allowed", peer(RECOMMENDED, "::ffff:10.0.0.5", 80, &[allow("10.0.0.0/8")])),
        ("private-allowed-in-v6", peer(RECOMMENDED, "::ffff:10.0.0.5", 80, &[allow("::ffff:10.0.0.0/104")])),
        ("private-without-recommended", peer(0, "::ffff:172.16.1.1", 80, &[])),
        ("metadata", peer(RECOMMENDED, "::ffff:169.254.169.254", 80, &[allow("169.254.0.0/16")])),
        ("metadata-v6", peer(0, "fd00:ec2::254", 80, &[allow("::/0")])),
        ("metadata-translated", peer(0, "64:ff9b::a9fe:a9fe", 80, &[allow("0.0.0.0/0")])),
        ("multicast", peer(0, "ff02::1", 5353, &[allow("ff00::/8")])),
        ("multicast-v4", peer(0, "::ffff:224.0.0.251", 5353, &[allow("224.0.0.0/4")])),
        ("broadcast", peer(0, "::ffff:255.255.255.255", 9, &[])),
        ("zero", peer(0, "::", 9, &[])),
        ("zero-v4", peer(0, "::ffff:0.1.2.3", 9, &[])),
        ("loopback", peer(0, "::1", 3478, &[allow("::1/128")])),
        ("loopback-v4", peer(0, "::ffff:127.9.9.9", 3478, &[allow("127.0.0.0/8")])),
        ("teredo", peer(0, "2001:0:53aa:64c::1", 9, &[allow("2001::/16")])),
        ("six-to-four", peer(0, "2002:7f00:1::1", 9, &[allow("2002::/16")])),
        ("own-relay-live", peer(RECOMMENDED | LIVE, "::ffff:203.0.113.9", 50_000, &[])),
        ("own-relay-dead", peer(RECOMMENDED, "::ffff:203.0.113.9", 50_000, &[])),
        ("own-relay-inside", peer(RECOMMENDED | NAT | LIVE, "::ffff:192.168.7.7", 50_000, &[])),
        ("own-relay-listener", peer(RECOMMENDED | NAT, "::ffff:192.168.7.7", 3478, &[allow("0.0.0.0/0")])),
        ("back-end", peer(0, "::ffff:10.1.1.1", 6379, &[allow("10.0.0.0/8")])),
        ("denied", peer(0, "::ffff:8.8.4.4", 9, &[deny("8.8.4.0/24")])),
        ("denied-and-allowed", peer(0, "::ffff:8.8.4.4", 9, &[deny("8.8.4.0/24"), allow("8.8.4.4/32")])),
        ("denied-by-its-encoding", peer(0, "::ffff:8.8.4.4", 9, &[deny("::ffff:0:0/96")])),
        ("port-zero", peer(0, "::ffff:8.8.8.8", 0, &[])),
    ]
}

/// Seeds of `state_machine`.
pub(crate) fn state_machine() -> Seeds {
    const PERMIT: &[u8] = &[5, 0, 1, 0, 0, 0, 0];
    const BIND: &[u8] = &[6, 0, 0, 0, 0, 0, 0, 0];
    const SEND: &[u8] = &[7, 0, 0, 3, b'a', b'b', b'c'];
    const CHANNEL: &[u8] = &[8, 0, b'x', b'y', b'z', 0, 0];
    const FROM_PEER: &[u8] = &[9, 0, 0, 2, b'h', b'i'];
    const REFRESH: &[u8] = &[4, 0, 60, 0, 0, 0];
    const MODERN: &[u8] = &[12, 4, 1];
    const HOUR: &[u8] = &[11, 35, 105];
    const MINUTE: &[u8] = &[11, 30, 56];
    let joined = |world: u8, inputs: &[&[u8]]| [&[world], &inputs.concat()[..]].concat();
    let both = |n: u8, choice: u8| [challenge(n), allocate(n, choice)].concat();
    let alice = &both(0, 0)[..];
    // A Connect of client 4 to the first public peer, and a ConnectionBind of client 6 for the first one.
    const CONNECT: &[u8] = &[15, 5, 4, 0, 0, 0, 0];
    const COME: &[u8] = &[15, 3, 0, 6, 0, 0, 0];
    let tcp = &both(4, 64)[..];
    let lives = |more: &[&[u8]]| joined(0, &[&[alice], more].concat());
    vec![
        ("empty", Vec::new()),
        ("challenge", joined(0, &[&challenge(0)])),
        ("allocate", lives(&[])),
        ("allocate-behind-nat", joined(1, &[alice, PERMIT, SEND])),
        ("allocate-dual", joined(0, &[&both(0, 1)])),
        ("allocate-dual-without-v6", joined(4, &[&both(0, 1)])),
        ("allocate-v6", joined(0, &[&both(0, 0x82), &[5, 0, 1, 3, 0, 0, 0], &[7, 0, 3, 1, 9]])),
        ("allocate-even", joined(0, &[&both(0, 4)])),
        ("allocate-and-redeem", joined(0, &[&both(0, 0x44), &challenge(2), &allocate(2, 8)])),
        ("allocate-and-steal", joined(0, &[&both(0, 0x44), &both(1, 8)])),
        ("allocate-nonsense", joined(0, &[&both(0, 0x4F)])),
        ("allocate-twice", lives(&[&allocate(0, 0)])),
        ("allocate-over-quota", joined(8 | 16, &[alice, &both(1, 0), &both(2, 0), &both(2, 0)])),
        (
            "allocate-evicts",
            lives(&[MINUTE, &both(2, 0), MINUTE, &challenge(2), &allocate(2, 0), &[12, 2, 1, 0]]),
        ),
        ("allocate-as-nobody", joined(0, &[&both(3, 0)])),
        ("allocate-retransmitted", lives(&[&[13, 0], &[13, 0]])),
        ("allocate-torn", lives(&[&[14, 0, 9]])),
        ("allocate-changed", joined(0, &[&challenge(0), &[2, 0, 0, 1, 30, 0xFF]])),
        ("replayed-by-another", lives(&[&[13, 1]])),
        ("refresh", lives(&[&[4, 0, 60, 0, 0, 0], HOUR])),
        ("refresh-zero", lives(&[&[4, 0, 0, 0, 0, 0], &[4, 0, 0, 0, 0, 0]])),
        ("permit-and-send", lives(&[PERMIT, SEND, FROM_PEER])),
        ("permit-denied", lives(&[&[5, 0, 2, 0, 4, 0, 0, 0], SEND])),
        (
            "permit-any",
            lives(&[&[5, 0, 1, 7, 0x13, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 9, 9, 9, 9]]),
        ),
        ("bind-and-relay", lives(&[BIND, CHANNEL, FROM_PEER])),
        ("bind-twice", lives(&[BIND, &[6, 0, 8, 0, 0, 0, 0, 0], BIND])),
        ("bind-and-lapse", lives(&[&[4, 0, 200, 0, 0, 0], BIND, &[MINUTE; 5].concat(), CHANNEL, FROM_PEER])),
        ("icmp", lives(&[PERMIT, &[10, 0, 0, 3, 1]])),
        ("relay-to-relay", lives(&[&both(1, 0), &[5, 0, 1, 5, 1, 0, 0, 0], &[7, 0, 5, 1, 1, 7]])),
        ("send-to-a-dead-relay-port", lives(&[&[5, 0, 1, 78, 0, 0, 0], &[7, 0, 78, 1, 9]])),
        (
            "tuple-of-the-past",
            lives(&[&[4, 0, 0, 0, 0, 0], &both(1, 0), &[5, 1, 1, 0, 0, 0, 0], SEND, FROM_PEER]),
        ),
        ("held", joined(0, &[&challenge(0), &[15, 1], &allocate(0, 0), &[13, 0], SEND, &[15, 0]])),
        ("held-to-the-end", joined(0, &[&challenge(0), &[15, 1], &allocate(0, 0)])),
        (
            "discover",
            joined(0, &[&[16, 0, 0x10, 0, 0, 0, 0], &[16, 0, 0x11, 6, 0, 0, 0], &[16, 1, 0x03, 6, 9, 9, 0]]),
        ),
        ("discover-padded", joined(0, &[&[16, 0, 0x24, 7, 0, 0, 187], &[16, 0, 0x27, 7, 9, 9, 187]])),
        ("discover-another-port", joined(0, &[&[16, 0, 0x33, 4, 9, 9, 0], &[16, 0, 0x42, 0, 0, 0, 0]])),
        ("discover-nonsense", joined(0, &[&[16, 0, 0x91, 2, 0, 0, 0], &[16, 3, 0x97, 0, 0, 0, 255]])),
        ("drain", joined(0, &[&challenge(0), &[12, 0, 1], &allocate(0, 0)])),
        ("refused", joined(0, &[&challenge(0), &[12, 1, 1], &allocate(0, 0)])),
        ("reload", lives(&[BIND, &[12, 3, 0xFF, 0], CHANNEL, FROM_PEER])),
        ("modern", joined(0, &[MODERN, &both(1, 0), &[5, 1, 1, 0, 0, 0, 0], &[7, 1, 0, 1, 9], &both(2, 0)])),
        ("modern-changed", joined(0, &[MODERN, &challenge(1), &[2, 1, 0, 1, 100, 0xFF], &allocate(1, 0)])),
        ("modern-on-and-off", lives(&[MODERN, REFRESH, REFRESH, &both(2, 0), &[12, 4, 0], REFRESH, REFRESH])),
        ("run-out", lives(&[PERMIT, HOUR, SEND, FROM_PEER])),
        ("tcp-connect-and-bind", joined(0, &[tcp, CONNECT, &[15, 6, 1], COME, &[15, 4]])),
        ("tcp-connect-fails", joined(0, &[tcp, CONNECT, &[15, 6, 0], CONNECT, MINUTE])),
        ("tcp-connect-and-close", joined(0, &[tcp, CONNECT, &[15, 6, 1], &[4, 4, 0, 0, 0, 0]])),
        ("tcp-control-closes", joined(0, &[tcp, &[15, 6, 4]])),
        ("tcp-peer-connects", joined(0, &[tcp, &[5, 4, 1, 0, 0, 0, 0], &[15, 2, 0, 0], COME])),
        ("tcp-nobody-comes", joined(0, &[tcp, CONNECT, &[15, 6, 1], MINUTE, COME])),
        ("tcp-switched-off", joined(0, &[tcp, CONNECT, &[12, 3, 0, 16], COME])),
        ("tcp-relay-to-relay", joined(1, &[tcp, &both(5, 64), &[15, 5, 4, 13, 0, 0, 0], &[15, 6, 1]])),
        ("tcp-over-udp", joined(0, &[&both(0, 64)])),
        ("raw", lives(&[&[0, 0, 4, 0x40, 0, 0, 0], &[0, 1, 2, 0, 1], &[0, 0, 1, 0xFF], &[0, 0, 0]])),
    ]
}

fn challenge(client: u8) -> Vec<u8> {
    vec![1, client]
}

fn allocate(client: u8, choice: u8) -> Vec<u8> {
    vec![2, client, choice, 0, 0, 0]
}

fn peer(flags: u8, ip: &str, port: u16, rules: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![flags];
    bytes.extend_from_slice(&port.to_be_bytes());
    bytes.extend(octets(ip));
    bytes.extend_from_slice(&[0, 1]);
    bytes.extend(rules.concat());
    bytes
}

fn rule(kind: u8, net: &str) -> Vec<u8> {
    let (ip, length) = net.split_once('/').expect("a literal network");
    let octets = octets(ip);
    let length = length.parse().expect("a literal length");
    [&[kind | u8::from(octets.len() == 16)], &octets[..], &[length]].concat()
}

fn octets(ip: &str) -> Vec<u8> {
    match ip.parse().expect("a literal address") {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
