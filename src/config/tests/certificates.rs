//! `[tls]`: which doors open, which files are read, and what is said about bad ones.

use super::*;
use crate::net::tls::testing::{Made, made};
use std::time::{Duration, SystemTime};

fn pair(cert: &TempFile, key: &TempFile) -> PairFiles {
    PairFiles { section: "tls.extra[3]".into(), cert: cert.0.clone(), key: key.0.clone() }
}

/// What is said about a pair with these contents, with the two paths written as CERT and KEY.
fn fault(name: &str, cert: &str, key: &str) -> [String; 3] {
    let (cert, key) = (TempFile::new(&format!("{name}-c"), cert), TempFile::new(&format!("{name}-k"), key));
    let Unservable { key: at, what, help } = pair(&cert, &key).load().expect_err("bad");
    [at, what, help].map(|text| text.replace(&cert.path(), "CERT").replace(&key.path(), "KEY"))
}

#[test]
fn each_fault_of_a_pair_names_file_key_and_mend() {
    let Made { cert, key } = made(&["turn.example.org"]);
    let other = made(&["other"]);
    let cases = [
        (fault("swap", &key, &cert), "cert", "no certificate in CERT, but a private key", "swap"),
        (fault("twice", &cert, &cert), "key", "no private key in KEY, but a certificate", "swap"),
        (fault("empty", "", &key), "cert", "no certificate in CERT", "-----BEGIN"),
        (fault("der", &cert, "0\u{1}"), "key", "no private key in KEY", "openssl pkey -inform der -in KEY"),
        (
            fault("locked", &cert, &key.replace("PRIVATE", "ENCRYPTED PRIVATE")),
            "key",
            "the private key in KEY is encrypted",
            "openssl pkey -in KEY",
        ),
        (
            fault("other", &cert, &other.key),
            "key",
            "the private key in KEY does not belong to the certificate in CERT",
            "requested with",
        ),
        (
            fault("order", &[&other.cert[..], &cert].concat(), &key),
            "cert",
            "the certificate of the key in KEY is not the first one in CERT",
            "server first",
        ),
    ];
    for ([at, what, help], name, wanted, words) in cases {
        assert_eq!((at, &what[..]), (format!("tls.extra[3].{name}"), wanted));
        assert!(help.contains(words), "{help}");
    }
}

#[test]
fn a_missing_file_names_the_file_and_the_user() {
    let files = PairFiles { section: "tls".into(), cert: "/nowhere/c.pem".into(), key: "/k".into() };
    let error = files.load().expect_err("missing");
    assert_eq!(error.key, "tls.cert");
    assert!(error.what.starts_with("cannot read /nowhere/c.pem as user "), "{}", error.what);
}

#[test]
fn a_certificate_near_its_end_and_a_key_for_everybody_are_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let Made { cert, key } = made(&[]);
    let (cert, key) = (TempFile::new("old-c", &cert), TempFile::new("old-k", &key));
    let mode = |mode| std::fs::set_permissions(&key.0, PermissionsExt::from_mode(mode)).expect("ours");
    let files = pair(&cert, &key);
    let certificate = files.load().expect("good");
    let end = Duration::from_secs(u64::try_from(certificate.not_after_unix_s()).expect("after 1970"));
    let warnings = |days_left: u32| -> Vec<String> {
        let now = SystemTime::UNIX_EPOCH + end - Duration::from_secs(86_400) * days_left;
        files.warnings(&certificate, now).into_iter().map(|warning| warning.what).collect()
    };
    mode(0o644);
    let told = warnings(13);
    assert!(told[0].ends_with("expires in 13 days"), "{told:?}");
    assert!(told[1].contains("has no name"), "{told:?}");
    assert!(told[2].starts_with("every user of this machine can read the private key in"), "{told:?}");
    mode(0o640);
    assert_eq!(warnings(15).len(), 1);
    assert!(warnings(0)[0].ends_with("has expired"));
}

#[test]
fn tls_doors_without_a_certificate_stay_closed_with_one_warning() {
    let doors = "[[listen]]\naddress = \"127.0.0.1:1\"\ntransports = [\"udp\", \"tls\"]\n\
                 [[listen]]\naddress = \"127.0.0.1:2\"\ntransports = [\"tls\"]\n";
    for (lines, keys) in [
        ("", &["listen[0].transports[1]"][..]),
        ("[tls]\nmode = \"acme\"", &["listen[0].transports[1]", "tls.mode"]),
        ("[tls]\nmode = \"self-signed\"", &[]),
    ] {
        let loaded = accept(&with_auth(&format!("{doors}{lines}")));
        let warned: Vec<_> = loaded.warnings.iter().filter_map(|warning| warning.key.as_deref()).collect();
        assert_eq!(warned, keys, "{lines}");
    }
}

#[test]
fn relative_paths_start_at_the_folder_of_the_config_file() {
    let Made { cert, key } = made(&["turn.example.org"]);
    let (cert, key) = (TempFile::new("near-c.pem", &cert), TempFile::new("near-k.pem", &key));
    let name = |file: &TempFile| file.0.file_name().expect("a name").display().to_string();
    let lines = format!("[tls]\nmode = \"files\"\ncert = \"{}\"\nkey = \"{}\"", name(&cert), name(&key));
    let file = TempFile::new("near.toml", &with_auth(&lines));
    let loaded = load(&file.0, []).expect("a good config").with_certificates().expect("a good pair");
    assert_eq!(loaded.config.certificate_files()[0].cert, cert.0);
    drop(key);
    let errors = load(&file.0, []).expect("a good config").with_certificates().expect_err("no key");
    assert_eq!(errors.errors()[0].key.as_deref(), Some("tls.key"));
}

#[test]
fn a_certificate_made_here_is_for_every_address_and_the_name() {
    let text = "[server]\nname = \"turn.example.org\"\npublic_address = \"203.0.113.4\"\n[tls]\nmode = \"self-signed\"";
    let config = accept(&with_auth(text)).config;
    let addresses = vec!["10.0.0.5".parse().expect("literal"), "::1".parse().expect("literal")];
    let host = Host { primary: [Some(addresses[0]), None], addresses, cores: 1, has_ipv6: true };
    let plan = resolve(&config, &host).expect("a plan");
    let names = ["turn.example.org", "localhost", "203.0.113.4", "10.0.0.5", "::1"].map(str::to_owned);
    let first = FirstCertificate::SelfSigned(names.to_vec());
    assert_eq!(plan.tls, Some(TlsPlan { first, extra: Vec::new() }));
}

#[test]
fn a_reload_takes_other_certificates_but_switches_tls_neither_on_nor_off() {
    let host = Host {
        addresses: Vec::new(),
        primary: [Some("127.0.0.1".parse().expect("literal")), None],
        cores: 1,
        has_ipv6: true,
    };
    let plan = |lines: &str| resolve(&accept(&with_auth(lines)).config, &host).expect("a plan");
    let (off, made) = (plan(""), plan("[tls]\nmode = \"self-signed\""));
    let files = plan("[tls]\nmode = \"files\"\ncert = \"/c\"\nkey = \"/k\"");
    assert_eq!(files.clone().within(&made).tls, files.tls);
    assert_eq!((off.clone().within(&made).tls, made.clone().within(&off).tls), (made.tls.clone(), None));
    assert_eq!((off.needs_restart(&made), made.needs_restart(&files)), (vec!["tls.mode"], vec![]));
}
