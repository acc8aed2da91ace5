//! Rules of the `dtls` transport.

use super::checked::{Config, TlsMode, Transport};
use super::report::Report;
#[cfg(feature = "dtls")]
use crate::net::dtls::Limits;

/// DTLS sessions of one stream runtime at most, in this build.
#[cfg(feature = "dtls")]
pub(super) const SESSIONS_MAX: u64 = Limits::DEFAULT.sessions as u64;
#[cfg(not(feature = "dtls"))]
pub(super) const SESSIONS_MAX: u64 = 0;

/// Bytes of the greediest session, with its share of the half-open ones.
#[cfg(feature = "dtls")]
pub(super) const SESSION_BYTES_MAX: u64 = (Limits::SESSION_BYTES_MAX
    + Limits::HALF_OPEN_BYTES_MAX * Limits::DEFAULT.half_open / Limits::DEFAULT.sessions)
    as u64;
#[cfg(not(feature = "dtls"))]
pub(super) const SESSION_BYTES_MAX: u64 = 0;

/// Reports DTLS beside UDP on one address, and warns once of DTLS that stays closed.
pub(super) fn check(config: &Config, report: &mut Report) {
    let doors = || {
        config.listen.iter().enumerate().filter_map(|(i, listen)| {
            let at = listen.transports.iter().position(|transport| *transport == Transport::Dtls)?;
            Some((listen.address, format!("listen[{i}].transports[{at}]")))
        })
    };
    for (address, place) in doors() {
        let is_udp = |listen: &super::checked::Listen| {
            listen.address == address && listen.transports.contains(&Transport::Udp)
        };
        if address.port() != 0 && config.listen.iter().any(is_udp) {
            // Each would get a share of the other's datagrams.
            let message = format!("`{place}`: {address} is taken by \"udp\", and DTLS is UDP, too");
            report.error_at(&place, message, "give DTLS a [[listen]] of its own, usually on port 5349");
        }
    }
    if let (Some((_, place)), Some((why, help))) = (doors().next(), why_closed(config.tls.mode)) {
        report.warn_at(&place, format!("`{place}`: the door stays closed, because {why}"), help);
    }
}

/// Why DTLS is not served with this mode, and what to do about it.
fn why_closed(mode: TlsMode) -> Option<(&'static str, &'static str)> {
    match mode {
        _ if !cfg!(feature = "dtls") => Some((
            "this build has no DTLS",
            "build it with `cargo build --release --features dtls`, or delete the word",
        )),
        TlsMode::Files => None,
        TlsMode::Off => Some((
            "DTLS needs a certificate and `tls.mode` is \"off\"",
            "write mode = \"files\" with an ECDSA certificate and its key in [tls]",
        )),
        TlsMode::SelfSigned | TlsMode::Acme => Some((
            "DTLS takes its certificate from files",
            "write mode = \"files\" with an ECDSA certificate and its key in [tls]",
        )),
    }
}

#[cfg(test)]
mod tests {
    const AUTH: &str = "[auth]\nsecrets = [\"a-secret-of-at-least-32-characters-00001\"]\n";
    const FILES: &str = "[tls]\nmode = \"files\"\ncert = \"/c.pem\"\nkey = \"/k.pem\"\n";

    #[test]
    fn dtls_and_udp_share_no_address() {
        let both = "[[listen]]\naddress = \"127.0.0.1:5349\"\ntransports = [\"udp\", \"dtls\"]\n";
        let two = "[[listen]]\naddress = \"127.0.0.1:5349\"\ntransports = [\"dtls\"]\n\
                   [[listen]]\naddress = \"127.0.0.1:5349\"\ntransports = [\"udp\"]\n";
        for listen in [both, two] {
            let text = format!("{listen}{AUTH}{FILES}");
            let errors = super::super::parse("test.toml", &text, []).expect_err("one port for both");
            assert!(errors.render(false).contains("taken by \"udp\""), "{}", errors.render(false));
        }
    }

    #[test]
    fn a_door_that_stays_closed_is_warned_of_once() {
        let door = |port| format!("[[listen]]\naddress = \"127.0.0.1:{port}\"\ntransports = [\"dtls\"]\n");
        let warnings = |tls: &str| {
            let text = format!("{}{}{AUTH}{tls}", door(1), door(2));
            let loaded = super::super::parse("test.toml", &text, []).expect("a good config");
            let of_dtls =
                loaded.warnings.into_iter().filter(|warning| warning.message.contains("stays closed"));
            of_dtls.map(|warning| warning.message).collect::<Vec<_>>()
        };
        let reason = if cfg!(feature = "dtls") { "`tls.mode` is \"off\"" } else { "this build has no DTLS" };
        let off = warnings("");
        assert!(off.len() == 1 && off[0].contains(reason), "{off:?}");
        assert_eq!(warnings(FILES).len(), usize::from(!cfg!(feature = "dtls")));
    }
}
