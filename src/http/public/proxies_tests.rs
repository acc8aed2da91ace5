use super::*;

const PROXY: &str = "10.0.0.1";

/// The client, when `peer` sends these lines and 10.0.0.0/24 and 2001:db8:aa::/48 are trusted.
fn client_of(peer: &str, lines: &[(&'static str, &str)]) -> Client {
    let trusted = ["10.0.0.0/24", "2001:db8:aa::/48"].map(|net| net.parse().expect("a network"));
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, value.parse().expect("a value"));
    }
    let peer = Peer { address: peer.parse().expect("an address"), is_tls: false };
    peer.client(&headers, &trusted)
}

#[track_caller]
fn is_named(lines: &[(&'static str, &str)], wanted: &str) {
    let client = client_of(PROXY, lines).address;
    assert_eq!(client, wanted.parse::<IpAddr>().expect("an address"), "{lines:?}");
}

const XFF: &str = "x-forwarded-for";
const FWD: &str = "forwarded";

#[test]
fn a_stranger_speaks_for_itself_only() {
    for peer in ["192.0.2.9", "10.0.1.1", "2001:db8:ab::1", "127.0.0.1"] {
        let lines =
            [(XFF, "203.0.113.1"), (FWD, "for=203.0.113.1;proto=https"), ("x-forwarded-proto", "https")];
        let client = client_of(peer, &lines);
        assert_eq!(client, Client { address: peer.parse().expect("an address"), is_secure: false });
    }
}

#[test]
fn a_trusted_proxy_names_its_client_with_or_without_a_port() {
    for (value, wanted) in [
        ("203.0.113.1", "203.0.113.1"),
        (" 203.0.113.1:4711 ", "203.0.113.1"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:203.0.113.1", "203.0.113.1"),
    ] {
        is_named(&[(XFF, value)], wanted);
    }
    is_named(&[], PROXY);
}

#[test] // RFC 7239 sections 4, 6 and 7.1
fn forwarded_is_read_as_the_rfc_writes_it() {
    for (value, wanted) in [
        ("for=192.0.2.43", "192.0.2.43"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("by=203.0.113.43 ; FOR = \"192.0.2.60:80\"", "192.0.2.60"),
        (" ; for=192.0.2.60;;", "192.0.2.60"),
        ("for=\"192.0.2.60:_gazonk\"", "192.0.2.60"),
        ("for=192.0.2.43, for=198.51.100.17;by=\"a,b\"", "198.51.100.17"),
    ] {
        is_named(&[(FWD, value)], wanted);
    }
}

#[test]
fn what_stands_left_of_the_nearest_stranger_is_a_claim_and_not_looked_at() {
    for claim in ["1.1.1.1", "unknown", "not an address", "", "\"", "10.0.0.7", "for=\"1.1.1.1"] {
        is_named(&[(XFF, &format!("{claim}, 203.0.113.1"))], "203.0.113.1");
        is_named(&[(XFF, &format!("{claim}, 203.0.113.1, 10.0.0.2 ,2001:db8:aa::9"))], "203.0.113.1");
        is_named(&[(XFF, claim), (XFF, "203.0.113.1")], "203.0.113.1");
        is_named(&[(FWD, &format!("{claim}, for=203.0.113.1"))], "203.0.113.1");
        is_named(&[(FWD, &format!("for=\"{claim}\\\", for=203.0.113.1, for=10.0.0.2"))], "203.0.113.1");
        is_named(&[(FWD, claim), (FWD, "for=203.0.113.1"), (FWD, "for=10.0.0.2")], "203.0.113.1");
    }
}

#[test]
fn a_chain_of_nothing_but_proxies_begins_with_a_request_of_the_farthest() {
    is_named(&[(XFF, "10.0.0.3, 10.0.0.2")], "10.0.0.3");
    is_named(&[(FWD, "for=10.0.0.3"), (FWD, "for=\"[2001:db8:aa::1]\"")], "10.0.0.3");
}

#[test] // RFC 7239 section 6
fn where_a_proxy_does_not_know_or_cannot_write_the_peer_stands_for_its_client() {
    for value in [
        "",
        "unknown",
        "_hidden",
        "203.0.113.1,",
        "203.0.113.1, unknown, 10.0.0.2",
        "203.0.113.1:",
        "203.0.113.1:123456",
        "203.0.113.1:http",
        "203.0.113.001",
        "[2001:db8::7",
        "[2001:db8::7]x",
        "[203.0.113.1]",
        "fe80::1%eth0",
        "app.example.org",
    ] {
        is_named(&[(XFF, value)], PROXY);
    }
    for value in [
        "for=unknown",
        "for=\"_hidden\"",
        "for=_SEVKISEK:80",
        "for=",
        "203.0.113.1",
        "proto=https",
        "for=203.0.113.1;for=203.0.113.1",
        "for=203.0.113.1;proto=https;proto=http",
        "for=\"203.0.113.1",
        "for=203.0.113.1\"",
        "for=203.0.113.1, for=\"\"",
    ] {
        is_named(&[(FWD, value)], PROXY);
    }
    let mut headers = HeaderMap::new();
    headers.append(XFF, axum::http::HeaderValue::from_bytes(b"203.0.113.1\xff").expect("opaque"));
    let peer = Peer { address: PROXY.parse().expect("an address"), is_tls: false };
    assert_eq!(peer.client(&headers, &["10.0.0.1/32".parse().expect("a network")]).address, peer.address);
}

#[test]
fn two_headers_that_disagree_are_both_not_believed() {
    is_named(&[(FWD, "for=203.0.113.1"), (XFF, "203.0.113.1")], "203.0.113.1");
    is_named(&[(FWD, "for=203.0.113.1, for=10.0.0.2"), (XFF, "1.1.1.1, 203.0.113.1")], "203.0.113.1");
    // A proxy that knows only one of them passes the other on as the client made it up.
    is_named(&[(FWD, "for=1.1.1.1"), (XFF, "203.0.113.1")], PROXY);
    is_named(&[(FWD, "for=203.0.113.1"), (XFF, "1.1.1.1")], PROXY);
    is_named(&[(FWD, "for=unknown"), (XFF, "203.0.113.1")], PROXY);
}

#[test]
fn a_trusted_proxy_tells_whether_its_client_came_by_https() {
    let is_secure = |lines: &[(&'static str, &str)]| client_of(PROXY, lines).is_secure;
    assert!(is_secure(&[(FWD, "for=203.0.113.1;proto=https")]));
    assert!(is_secure(&[(FWD, "for=203.0.113.1;proto=HTTPS, for=10.0.0.2;proto=http")]));
    assert!(!is_secure(&[(FWD, "for=203.0.113.1;proto=http"), ("x-forwarded-proto", "https")]));
    assert!(!is_secure(&[(FWD, "for=1.1.1.1;proto=https, for=203.0.113.1;proto=http")]));
    assert!(is_secure(&[(XFF, "203.0.113.1"), ("x-forwarded-proto", "https")]));
    assert!(is_secure(&[("x-forwarded-proto", "https")]));
    assert!(!is_secure(&[(XFF, "203.0.113.1"), ("x-forwarded-proto", "https, http")]));
    assert!(!is_secure(&[(XFF, "203.0.113.1")]));
    let peer = Peer { address: PROXY.parse().expect("an address"), is_tls: true };
    assert!(peer.client(&HeaderMap::new(), &[]).is_secure, "a door with TLS needs nobody to tell");
}
