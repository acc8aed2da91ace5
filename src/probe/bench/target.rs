//! The servers that are measured.

use super::BenchFailed;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr;
use tokio::runtime::Runtime;

/// A server, as the command line names it: `[NAME=]HOST:PORT[,pid=N][,plain]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How results call it.
    pub name: String,
    /// Host and port.
    pub place: String,
    /// The process that is looked at.
    pub pid: Option<u32>,
    /// It is no TURN server but a bare forwarder, which is told its peers without any protocol.
    pub plain: bool,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        let (name, place) = first.split_once('=').unwrap_or((first, first));
        let port = place.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if name.is_empty() || !matches!(port, Some(Ok(1..))) {
            return Err(format!("`{first}` is no [NAME=]HOST:PORT"));
        }
        let mut target = Self { name: name.into(), place: place.into(), pid: None, plain: false };
        for part in parts {
            match part.split_once('=') {
                None if part == "plain" => target.plain = true,
                Some(("pid", number)) => {
                    target.pid = Some(number.parse().map_err(|_| format!("`{number}` is no process id"))?);
                }
                _ => return Err(format!("`{part}` is neither `pid=N` nor `plain`")),
            }
        }
        Ok(target)
    }
}

impl Target {
    /// The host without its port; what a certificate is made out to.
    pub(super) fn host(&self) -> &str {
        let host = self.place.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Asks the resolver; the first address that this machine has a way to, and its own address on that way.
    pub(super) fn find(&self, runtime: &Runtime) -> Result<(SocketAddr, IpAddr), BenchFailed> {
        let unreachable = |why: String| BenchFailed::Unreachable(format!("{}: {why}", self.place));
        let found = runtime.block_on(tokio::net::lookup_host(&self.place));
        let found = found.map_err(|error| unreachable(error.to_string()))?;
        let ways = found.map(|address| own_address(address).map(|own| (address, own)));
        let mut refusal = "the name has no address".to_owned();
        for way in ways {
            match way {
                Ok(way) => return Ok(way),
                Err(error) => refusal = error.to_string(),
            }
        }
        Err(unreachable(refusal))
    }
}

/// From where this machine would send to `address`.
fn own_address(address: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }
        .parse()
        .map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn a_target_has_a_name_a_place_and_maybe_a_process() {
        let plain = Target {
            name: "turn.example.org:3478".into(),
            place: "turn.example.org:3478".into(),
            pid: None,
            plain: false,
        };
        assert_eq!(target("turn.example.org:3478"), plain);
        let floor = target("floor=[::1]:3478,pid=17,plain");
        assert_eq!(
            (&*floor.name, &*floor.place, floor.pid, floor.plain),
            ("floor", "[::1]:3478", Some(17), true)
        );
        assert_eq!((floor.host(), plain.host()), ("::1", "turn.example.org"));
    }

    #[test]
    fn what_is_no_target_is_refused_with_its_reason() {
        for (text, word) in [
            ("turn.example.org", "HOST:PORT"),
            ("a:0", "HOST:PORT"),
            ("=a:1", "HOST:PORT"),
            ("a:1,pid=x", "process id"),
            ("a:1,tls", "`tls`"),
        ] {
            let why = text.parse::<Target>().unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}
