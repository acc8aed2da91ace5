//! What goes wrong for clients, in plain language: each reason that is counted, what it means, and what to do about it.
//! A reason that is new in `metrics` does not compile until it has its words here.

use crate::metrics::{
    AllocationFailure, AuthFailed, CounterId, Dropped, Label, TokenFailure, allocation_failures,
    auth_failures, dropped, signaling_auth_failures, socket_receive_drops,
};

/// Why a client was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Its TURN credential.
    Credential(AuthFailed),
    /// Its allocation, though the credential was good.
    Allocation(AllocationFailure),
    /// Its token of signaling.
    Token(TokenFailure),
}

/// Words for people.
pub(super) struct Words {
    /// What happened.
    pub(super) title: &'static str,
    /// What to do about it.
    pub(super) what_to_do: &'static str,
}

const fn words(title: &'static str, what_to_do: &'static str) -> Words {
    Words { title, what_to_do }
}

impl Failure {
    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let credentials = AuthFailed::ALL.iter().copied().map(Self::Credential);
        let allocations = AllocationFailure::ALL.iter().copied().map(Self::Allocation);
        let tokens = TokenFailure::ALL.iter().copied().map(Self::Token);
        credentials.chain(allocations).chain(tokens)
    }

    /// Where it is counted.
    pub(super) fn counter(self) -> CounterId {
        match self {
            Self::Credential(reason) => auth_failures(reason),
            Self::Allocation(reason) => allocation_failures(reason),
            Self::Token(reason) => signaling_auth_failures(reason),
        }
    }

    /// What was refused.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Credential(_) => "credential",
            Self::Allocation(_) => "allocation",
            Self::Token(_) => "token",
        }
    }

    /// The label of its counter.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Credential(reason) => AuthFailed::VALUES[reason.index()],
            Self::Allocation(reason) => AllocationFailure::VALUES[reason.index()],
            Self::Token(reason) => TokenFailure::VALUES[reason.index()],
        }
    }

    pub(super) const fn words(self) -> Words {
        match self {
            Self::Credential(reason) => of_credential(reason),
            Self::Allocation(reason) => of_allocation(reason),
            Self::Token(reason) => of_token(reason),
        }
    }
}

const fn of_credential(reason: AuthFailed) -> Words {
    match reason {
        AuthFailed::BadIntegrity => words(
            "Wrong password",
            "The app and the relay do not share the same secret: compare `turnstone secret list` with the app, and try \
             one credential with `turnstone credentials verify`.",
        ),
        AuthFailed::Expired => words(
            "Expired credential",
            "The app has to fetch a new one before half of its time is over; see also `auth.ttl`, and the clocks of \
             both machines.",
        ),
        AuthFailed::UnknownUser => words(
            "Unknown user",
            "The name is neither one of `[auth.users]` and `turnstone user list`, nor one of an app's credentials: it \
             may be of another server.",
        ),
        AuthFailed::StaleNonce => words(
            "Nonce too old",
            "Clients repeat the request with a new one by themselves; many of these at once follow a restart or a \
             change of network.",
        ),
        AuthFailed::Guessing => words(
            "Too many wrong passwords from one address",
            "Somebody guesses passwords, or an app repeats a bad credential without end: block the address in the \
             firewall, or mend the app.",
        ),
        AuthFailed::OtherUser => words(
            "Another user than the one who made the allocation",
            "The app changed its credential in the middle of a session: it has to keep the user, and only renew the \
             password.",
        ),
        AuthFailed::Revoked => words(
            "Revoked credential",
            "Somebody revoked it, or its call has ended: nothing needs to be done, unless it was meant to be good.",
        ),
    }
}

const fn of_allocation(reason: AllocationFailure) -> Words {
    match reason {
        AllocationFailure::Quota => words(
            "One user has too many sessions",
            "See whose with `turnstone sessions`; if the app needs more for each user, raise \
             `limits.allocations_per_user`.",
        ),
        AllocationFailure::Total => {
            words("The relay is full", "Raise `limits.allocations_total`, or add another relay.")
        }
        AllocationFailure::NoPort => words(
            "No relay port is free",
            "Widen `relay.ports` and open them in the firewall, or look whether another program took them.",
        ),
        AllocationFailure::Mismatch => words(
            "The client has an allocation already",
            "Clients come with a new port by themselves; many of these hint at a NAT that gives the same port to more \
             than one of them.",
        ),
        AllocationFailure::Draining => words(
            "The relay drains",
            "New sessions belong on another relay meanwhile; `turnstone undrain` ends it.",
        ),
        AllocationFailure::Family => words(
            "No relay address of the wanted family",
            "A client asked for IPv6, or for IPv4, which this host does not relay: add an address to \
             `relay.addresses`.",
        ),
        AllocationFailure::Token => words(
            "Unknown reservation",
            "A client came for a reserved port too late, or twice: nothing needs to be done.",
        ),
        AllocationFailure::BadRequest => words(
            "Malformed request",
            "A client asks for what the protocol does not allow: see which app this is, and update it.",
        ),
        AllocationFailure::UserBandwidth => words(
            "One user relays more than they may",
            "See whose with `turnstone top`; raise `limits.bandwidth_per_user`, or let `limits.over_total` shape \
             instead of refuse.",
        ),
        AllocationFailure::TotalBandwidth => words(
            "All together relay more than they may",
            "Raise `limits.bandwidth_total`, add another relay, or let `limits.over_total` shape instead of refuse.",
        ),
    }
}

const fn of_token(reason: TokenFailure) -> Words {
    match reason {
        TokenFailure::Missing => words(
            "No token",
            "The app has to send its user's token in the handshake or as `Authorization: Bearer`.",
        ),
        TokenFailure::Malformed => words(
            "Not a token",
            "What came is no JWT, or is too long: see what the app sends in place of its user's token.",
        ),
        TokenFailure::Algorithm => words(
            "Wrong algorithm",
            "The issuer signs with another algorithm than the key of `[auth.jwt]` is for: make the two agree.",
        ),
        TokenFailure::UnknownKey => words(
            "Signed with an unknown key",
            "The token is of another issuer, or its key set cannot be fetched: see `auth.jwt.jwks_url`, and the log.",
        ),
        TokenFailure::Signature => words(
            "Wrong signature",
            "Issuer and relay do not share the same key: compare `[auth.jwt]` with that of the issuer.",
        ),
        TokenFailure::Time => words(
            "Token over, or not begun",
            "The app has to renew it before its end; if it is fresh, compare the clocks of both machines.",
        ),
        TokenFailure::Claims => words(
            "A claim is missing or of somebody else",
            "A token needs `sub` and `exp`, and `iss` and `aud` as `[auth.jwt]` has them.",
        ),
    }
}

/// Why datagrams are dropped: where it is counted, the label of that, and the same for people.
pub(super) fn drops() -> impl Iterator<Item = (CounterId, &'static str, &'static str)> {
    let dropped = Dropped::ALL
        .iter()
        .map(|reason| (dropped(*reason), Dropped::VALUES[reason.index()], of_drop(*reason)));
    dropped.chain([(socket_receive_drops(), UNREAD.0, UNREAD.1)])
}

/// What it means that a datagram was dropped.
const fn of_drop(reason: Dropped) -> &'static str {
    match reason {
        Dropped::NoPermission => "From a peer that the client gave no permission",
        Dropped::NoChannel => "For a channel that is not bound",
        Dropped::NoAllocation => "For a session that is over, or never was",
        Dropped::RateLimit => "Over a limit of bandwidth or of packets",
        Dropped::SendBufferFull => "The network card did not keep up",
        Dropped::Malformed => "No message of the protocol",
        Dropped::UnknownProtocol => "Of another protocol",
        Dropped::ReservedChannel => "For a channel number of old clients (relay.legacy_channels)",
        Dropped::UnknownMethod => "A method that nobody answers here",
        Dropped::BadIndication => "An indication that is not whole",
        Dropped::TooBig => "Too long for a datagram",
        Dropped::Socket => "The kernel refused to send it",
        Dropped::PeerDenied => "For a peer that may not be reached (relay.peers)",
        Dropped::ReplyBudget => "Too many questions of strangers (limits.unauthenticated_replies)",
        Dropped::BadSource => "From a source that cannot be answered",
        Dropped::Pending => "Sent again while it is carried out",
        Dropped::NoDatagrams => "A datagram for a session that relays TCP",
        Dropped::NoSession => "DTLS without a session",
    }
}

/// What it means that the kernel dropped datagrams before they were read: [`crate::metrics::socket_receive_drops`].
const UNREAD: (&str, &str) = ("receive_buffer_full", "They came faster than they were read");

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_words_of_its_own_in_whole_sentences() {
        let (mut titles, mut names) = (BTreeSet::new(), BTreeSet::new());
        for failure in Failure::all() {
            let Words { title, what_to_do } = failure.words();
            assert!(titles.insert(title), "{title} twice");
            assert!(names.insert((failure.kind(), failure.reason())), "{failure:?} twice");
            assert!(title.len() <= 60 && !title.ends_with('.'), "{title}");
            assert!(what_to_do.ends_with('.') && what_to_do.len() <= 200, "{what_to_do}");
        }
        assert_eq!(titles.len(), 24);
        let drops: BTreeSet<_> = Dropped::ALL.iter().map(|reason| of_drop(*reason)).collect();
        assert_eq!(drops.len(), Dropped::ALL.len());
    }

    #[test]
    fn the_keys_that_they_name_are_in_the_config() {
        let file = include_str!("../../../config/turnstone.toml");
        let known = |word: &str| {
            let (section, key) = word.rsplit_once('.').unwrap_or(("", word));
            file.contains(&format!("[{section}]")) && file.contains(&format!("{key} = "))
        };
        let mut seen = 0;
        for failure in Failure::all() {
            let said = failure.words().what_to_do;
            for word in said.split('`').skip(1).step_by(2) {
                if word.contains('.') && !word.starts_with('[') {
                    assert!(known(word), "{word} in {said}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 8, "{seen}");
    }
}
