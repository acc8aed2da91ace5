//! A client with a time-limited credential of its own.

use crate::caller::Caller;
use crate::daemon::SECRET;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::base::UnixTime;

pub(crate) struct Party {
    pub(crate) caller: Caller,
}

impl Party {
    pub(crate) fn labelled(server: SocketAddr, n: usize, label: &str) -> Self {
        Self::of(server, n, |request| request.label = Some(label))
    }

    pub(crate) fn in_call(server: SocketAddr, n: usize, call_id: &str) -> Self {
        Self::of(server, n, |request| request.call_id = Some(call_id))
    }

    fn of<'a>(server: SocketAddr, n: usize, fill: impl FnOnce(&mut MintRequest<'a>)) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let subject = n.to_string();
        // Shorter than the borrow of what is filled in, so it is set at the end.
        let mut request = MintRequest::new(UnixTime(now.as_secs()), Duration::from_secs(3600), "");
        fill(&mut request);
        let request = MintRequest { subject: &subject, ..request };
        let credential = mint(&Secret::new(SECRET), Variant::Sha1, &request).unwrap();
        Self { caller: Caller::of(server, &credential.username, credential.password.expose()) }
    }
}
