//! Certificates as an operator meets them: faults at the start, renewals while clients are connected.

use crate::daemon::{BINARY, Config, Daemon, Folder, PATIENCE, eventually, run_to_end, verb};
use crate::skip::skip;
use crate::start::{NO_OTHER_USER, assert_refused, without_root};
use crate::tls_client::client_config;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const CURRENT: &str = "turnstone_tls_certificate_reload_successful";

#[test]
fn a_self_signed_certificate_has_our_names_and_carries_stun() {
    let config = with_tls("mode = \"self-signed\"").server("name = \"turn.example.org\"");
    let daemon = Daemon::start(&config);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = Client::with_version(daemon.server, "turn.example.org", version);
        client.assert_answered();
        let (_, certificate) = x509_parser::parse_x509_certificate(&client.certificate).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let names = format!("{:?}", names.value.general_names);
        assert!(names.contains("turn.example.org") && names.contains("localhost"), "{names}");
    }
    let end = daemon.metrics().get(&expiry("turn.example.org"));
    assert!(end > 1_700_000_000.0 && daemon.metrics().get(CURRENT) == 1.0);
}

#[test]
fn a_renewed_certificate_is_served_within_seconds_and_no_connection_is_cut() {
    let folder = Folder::new();
    let old = write_pair(&folder, "one", &["turn.example.org"]);
    let daemon = Daemon::start(&with_tls(&files(&folder, "one")));
    let mut before = Client::of(daemon.server, "turn.example.org");
    assert_eq!(before.certificate, old);
    for _ in 0..2 {
        let new = write_pair(&folder, "one", &["turn.example.org", "more.example.org"]);
        eventually(PATIENCE, "the new certificate", || {
            (Client::of(daemon.server, "turn.example.org").certificate == new).then_some(())
        });
        before.assert_answered();
        daemon.await_metric(CURRENT, |value| value == 1.0);
    }
    daemon.await_logged("new certificate in use");
    assert_eq!(faults(&daemon), 0, "a renewal in two steps is no fault: {:#?}", daemon.log());
}

#[test]
fn a_bad_renewal_keeps_the_old_certificate_and_is_told_once() {
    let folder = Folder::new();
    let old = write_pair(&folder, "one", &["turn.example.org"]);
    let daemon = Daemon::start(&with_tls(&files(&folder, "one")));
    let good = std::fs::read(folder.path().join("one.key")).unwrap();
    write_pair(&folder, "other", &["turn.example.org"]);
    std::fs::copy(folder.path().join("other.key"), folder.path().join("one.key")).unwrap();
    daemon.await_metric(CURRENT, |value| value == 0.0);
    daemon.await_logged("does not belong to the certificate");
    Client::of(daemon.server, "turn.example.org").assert_answered();
    assert_eq!(Client::of(daemon.server, "turn.example.org").certificate, old);

    std::fs::remove_file(folder.path().join("one.key")).unwrap();
    eventually(PATIENCE, "the second fault", || (faults(&daemon) == 2).then_some(()));
    daemon.await_logged("No such file");
    assert_eq!(Client::of(daemon.server, "turn.example.org").certificate, old);
    std::fs::write(folder.path().join("one.key"), good).unwrap();
    daemon.await_metric(CURRENT, |value| value == 1.0);
    assert_eq!(faults(&daemon), 2, "{:#?}", daemon.log());
}

#[test]
fn clients_get_the_certificate_of_the_name_that_they_ask_for() {
    let folder = Folder::new();
    let pairs = [("one", "one.example.org"), ("two", "*.two.example.org"), ("three", "three.example.org")];
    let [one, two, three] = pairs.map(|(file, name)| write_pair(&folder, file, &[name]));
    let extra = |name| format!("[[tls.extra]]\n{}", paths(&folder, name));
    let lines = [files(&folder, "one"), extra("two"), extra("three")].concat();
    let daemon = Daemon::start(&with_tls(&lines));
    for (name, certificate) in [
        ("one.example.org", &one),
        ("a.two.example.org", &two),
        ("three.example.org", &three),
        ("four.example.org", &one),
        ("127.0.0.1", &one),
    ] {
        assert_eq!(&Client::of(daemon.server, name).certificate, certificate, "{name}");
    }
    for (_, name) in pairs {
        assert!(daemon.metrics().get(&expiry(name)) > 0.0);
    }
}

#[test]
fn a_reload_takes_other_files_all_of_them_or_none() {
    let folder = Folder::new();
    let old = write_pair(&folder, "one", &["turn.example.org"]);
    let new = write_pair(&folder, "two", &["turn.example.org"]);
    let daemon = Daemon::start(&with_tls(&files(&folder, "one")));
    let reload = |lines: &str| {
        let text = with_tls(lines).text();
        daemon.write_config(&text);
        daemon.signal(libc::SIGHUP);
    };
    reload(&format!("{}[[tls.extra]]\n{}", files(&folder, "two"), paths(&folder, "missing")));
    daemon.await_metric("turnstone_config_last_reload_successful", |value| value == 0.0);
    daemon.await_logged("tls.extra[0].cert");
    assert_eq!(Client::of(daemon.server, "turn.example.org").certificate, old);
    reload(&files(&folder, "two"));
    daemon.await_metric("turnstone_config_last_reload_successful", |value| value == 1.0);
    assert_eq!(Client::of(daemon.server, "turn.example.org").certificate, new);
}

#[test]
fn a_bad_pair_at_the_start_is_one_line_that_names_key_and_file() {
    let folder = Folder::new();
    write_pair(&folder, "one", &["turn.example.org"]);
    write_pair(&folder, "two", &["turn.example.org"]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let lines =
        |cert: &str, key: &str| format!("mode = \"files\"\ncert = \"{}\"\nkey = \"{}\"\n", at(cert), at(key));
    for (cert, key, name, what) in [
        ("one.pem", "two.key", "tls.key", format!("{} does not belong to the certificate in", at("two.key"))),
        ("one.key", "one.pem", "tls.cert", format!("no certificate in {}, but a private key", at("one.key"))),
        ("one.pem", "none", "tls.key", format!("cannot read {} as user", at("none"))),
    ] {
        let config = with_tls(&lines(cert, key)).text();
        assert_refused(&verb(&["run"], &config), name, &what);
        let checked = verb(&["check-config", "--json"], &config);
        assert_eq!(checked.code, 2, "{checked:#?}");
        let report: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
        assert_eq!(report["errors"][0]["key"], name);
        assert!(report["errors"][0]["message"].as_str().is_some_and(|text| text.contains(&what)), "{report}");
    }
    let checked = verb(&["check-config"], &with_tls(&lines("one.pem", "one.key")).text());
    assert_eq!(checked.code, 0, "{checked:#?}");
}

#[test]
fn a_key_that_the_user_cannot_read_is_one_line_that_names_user_owner_and_folder() {
    const NAME: &str = "tls::a_key_that_the_user_cannot_read_is_one_line_that_names_user_owner_and_folder";
    let folder = Folder::new();
    write_pair(&folder, "one", &["turn.example.org"]);
    let key = folder.path().join("one.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o000)).unwrap();
    let config = folder.write("turnstone.toml", &with_tls(&files(&folder, "one")).text());
    let run = || {
        let mut command = without_root()?;
        Some(run_to_end(command.args(["run", "--config"]).arg(&config), PATIENCE))
    };
    let Some(ended) = run() else { return skip(NAME, NO_OTHER_USER) };
    assert_refused(&ended, "tls.key", &format!("cannot read {} as user ", key.display()));
    assert!(ended.stderr.contains("mode 0000)"), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!(":r {}", key.display())), "{}", ended.stderr);

    // As certbot does it: a link into a folder that only root enters.
    let closed = folder.path().join("archive");
    std::fs::create_dir(&closed).unwrap();
    std::fs::remove_file(&key).unwrap();
    std::os::unix::fs::symlink("archive/one.key", &key).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    let ended = run().expect("as before");
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    assert_refused(&ended, "tls.key", &format!("({} belongs to ", closed.display()));
    assert!(ended.stderr.contains(&format!(":x {}", closed.display())), "{}", ended.stderr);
}

#[test]
fn a_tls_door_without_a_certificate_is_one_warning() {
    let config = with_tls("mode = \"off\"");
    let daemon = Daemon::start(&config);
    let warnings = daemon.log().iter().filter(|line| line.contains("doors stay closed")).count();
    assert_eq!(warnings, 1, "{:#?}", daemon.log());
    assert_eq!(daemon.metrics().sum("turnstone_tls_"), 0.0);
    let checked = run_to_end(
        Command::new(BINARY).args(["check-config", "--config"]).arg(daemon.config_path()),
        PATIENCE,
    );
    assert!(checked.stderr.contains("doors stay closed"), "{checked:#?}");
}

fn with_tls(lines: &str) -> Config {
    let sections = format!("[tls]\n{lines}\n");
    Config { transports: "\"udp\", \"tcp\", \"tls\"", sections, ..Config::default() }
}

fn files(folder: &Folder, name: &str) -> String {
    format!("mode = \"files\"\n{}", paths(folder, name))
}

fn paths(folder: &Folder, name: &str) -> String {
    let at = folder.path().join(name).display().to_string();
    format!("cert = \"{at}.pem\"\nkey = \"{at}.key\"\n")
}

/// Writes a new pair as `NAME.pem` and `NAME.key`. Returns the certificate.
fn write_pair(folder: &Folder, name: &str, names: &[&str]) -> Vec<u8> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    folder.write(&format!("{name}.pem"), &made.cert.pem());
    folder.write(&format!("{name}.key"), &made.signing_key.serialize_pem());
    let key = folder.path().join(format!("{name}.key"));
    std::fs::set_permissions(key, PermissionsExt::from_mode(0o600)).unwrap();
    made.cert.der().to_vec()
}

fn expiry(name: &str) -> String {
    format!("turnstone_tls_certificate_expiry_timestamp_seconds{{name=\"{name}\"}}")
}

/// Lines about a certificate that cannot be taken over.
fn faults(daemon: &Daemon) -> usize {
    daemon.log().iter().filter(|line| line.contains("the certificate before it stays in use")).count()
}

/// A connection whose handshake is over.
struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// The server's.
    certificate: Vec<u8>,
}

impl Client {
    fn of(server: SocketAddr, name: &'static str) -> Self {
        Self::with_version(server, name, &rustls::version::TLS13)
    }

    fn with_version(
        server: SocketAddr,
        name: &'static str,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Self {
        let config = client_config(version, &[b"stun.turn"]);
        let mut client = ClientConnection::new(config, ServerName::try_from(name).unwrap()).unwrap();
        let mut socket = TcpStream::connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut socket).unwrap();
        }
        assert_eq!(client.alpn_protocol(), Some(&b"stun.turn"[..]));
        let certificate = client.peer_certificates().unwrap()[0].to_vec();
        Self { stream: StreamOwned::new(client, socket), certificate }
    }

    /// Sends a Binding request (RFC 8489) and reads the success.
    fn assert_answered(&mut self) {
        let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        self.stream.write_all(&request).unwrap();
        let mut head = [0; 20];
        self.stream.read_exact(&mut head).unwrap();
        assert_eq!((&head[..2], &head[8..]), (&[1, 1][..], &request[8..]));
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        self.stream.read_exact(&mut body).unwrap();
    }
}
