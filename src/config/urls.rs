//! Where clients find signaling, as far as a config can say.

use super::checked::{Config, Transport};
use super::public_address::PublicAddress;
use std::net::IpAddr;

/// What clients of each kind are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalingUrls {
    /// For socket.io-client; the path is its option `path`.
    pub socket_io: Vec<String>,
    /// For a WebSocket with the subprotocol `turnstone.v1.json`.
    pub plain: Vec<String>,
}

impl Config {
    /// The URLs of signaling, at each door that answers them; `None` while it is off. A proxy in front has others.
    pub fn signaling_urls(&self) -> Option<SignalingUrls> {
        if !self.signaling.enabled {
            return None;
        }
        let with_tls = |listen: &&super::Listen| listen.transports.contains(&Transport::Tls);
        let tls = self.listen.iter().filter(with_tls).filter(|_| self.tls.has_certificate());
        let doors = self.http.public.0.map(|door| (false, door)).into_iter();
        let mut urls = SignalingUrls::default();
        for (is_secure, door) in doors.chain(tls.map(|listen| (true, listen.address))) {
            let (scheme, port) = if is_secure { ("s", 443) } else { ("", 80) };
            let host = self.host_of(door.ip());
            let port = if door.port() == port { String::new() } else { format!(":{}", door.port()) };
            let plain = format!("ws{scheme}://{host}{port}/ws");
            // The wildcards of both families are one host.
            if urls.plain.contains(&plain) {
                continue;
            }
            urls.plain.push(plain);
            let paths = self.signaling.socketio_paths.iter();
            urls.socket_io.extend(paths.map(|path| format!("http{scheme}://{host}{port}{path}")));
        }
        Some(urls)
    }

    /// How clients name the host of a door: loopback is itself, else the server's name where it has one.
    fn host_of(&self, ip: IpAddr) -> String {
        let literal = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        match (&self.server.name, &self.server.public_address) {
            _ if ip.is_loopback() => literal(ip),
            (Some(name), _) => name.clone(),
            (None, PublicAddress::Fixed(all)) if let Some(first) = all.first() => literal(first.external),
            _ if ip.is_unspecified() => "SERVER".to_owned(),
            _ => literal(ip),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, parse};

    fn config(sections: &str) -> Config {
        let text = format!("{sections}\n[auth.users]\nbob = \"a-long-password\"");
        parse("t.toml", &text, []).unwrap_or_else(|errors| panic!("{errors}")).config
    }

    #[test]
    fn every_door_of_http_has_its_urls_by_the_name_that_clients_use() {
        let urls = config("").signaling_urls().expect("on");
        assert_eq!(urls.socket_io, ["http://127.0.0.1:8080/socket.io/"]);
        assert_eq!(urls.plain, ["ws://127.0.0.1:8080/ws"]);

        let doors = "[[listen]]\naddress = \"[::]:443\"\ntransports = [\"tls\"]\n[[listen]]\naddress = \"0.0.0.0:443\"\n\
                     transports = [\"tls\"]\n[[listen]]\naddress = \"0.0.0.0:5349\"\ntransports = [\"tcp\", \"tls\"]\n\
                     [http]\npublic = \"0.0.0.0:80\"\n[signaling]\nsocketio_paths = [\"/a\", \"/b/\"]";
        let with = |more: &str| config(&format!("{more}\n{doors}")).signaling_urls().expect("on");
        assert_eq!(with("[tls]\nmode = \"off\"").plain, ["ws://SERVER/ws"], "\"tls\" doors stay closed");
        let name = "[server]\nname = \"t.example.org\"\npublic_address = \"203.0.113.4\"\n[tls]\nmode = \"self-signed\"";
        let urls = with(name);
        let plain = ["ws://t.example.org/ws", "wss://t.example.org/ws", "wss://t.example.org:5349/ws"];
        assert_eq!(urls.plain, plain);
        assert_eq!(
            urls.socket_io[..3],
            ["http://t.example.org/a", "http://t.example.org/b/", "https://t.example.org/a"]
        );
        let address = with("[server]\npublic_address = \"2001:db8::4\"");
        assert_eq!(address.plain, ["ws://[2001:db8::4]/ws"]);
    }

    #[test]
    fn without_signaling_there_are_none() {
        assert_eq!(config("[signaling]\nenabled = false").signaling_urls(), None);
    }
}
