//! The attributes of RFC 8489, RFC 8656 and RFC 5780: types here, values in the files beside.

mod address;
mod discovery;
mod error;
mod fingerprint;
mod password;
mod relay;
mod text;

pub use address::{decode_address, decode_xor_address};
pub(super) use address::{encode_address, encode_xor_address};
pub use discovery::{ChangeRequest, decode_change_request, decode_response_port};
pub(super) use error::encode_error_code;
pub use error::{ErrorCode, decode_error_code, decode_unknown_attributes};
pub(super) use fingerprint::fingerprint;
pub use password::{PasswordAlgorithm, decode_password_algorithms, encode_password_algorithm};
pub use relay::{
    AddressErrorCode, Icmp, RequestedFamily, decode_address_error_code, decode_channel_number,
    decode_connection_id, decode_even_port, decode_icmp, decode_lifetime, decode_requested_family,
    decode_requested_transport, decode_reservation_token, encode_address_error_code, encode_icmp,
};
pub use text::{decode_nonce, decode_realm, decode_software, decode_userhash, decode_username};

/// The 16-bit type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeType(pub u16);

impl AttributeType {
    /// ADDITIONAL-ADDRESS-FAMILY under the number that coturn's tools used before RFC 8656 settled on
    /// 0x8000. Understood only where legacy clients are let in.
    pub const LEGACY_ADDITIONAL_ADDRESS_FAMILY: Self = Self(0x8032);

    /// Whether a request with this attribute must be refused by who does not know it (0x0000-0x7FFF).
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}

macro_rules! attribute_types {
    ($($name:ident = $number:literal, $source:literal;)*) => {
        impl AttributeType {
            $(#[doc = $source] pub const $name: Self = Self($number);)*

            /// Every type that has a name here.
            pub const KNOWN: &[Self] = &[$(Self::$name),*];

            /// Whether the type has a name here.
            pub const fn is_known(self) -> bool {
                matches!(self, $(Self::$name)|*)
            }
        }
    };
}

attribute_types! {
    MAPPED_ADDRESS = 0x0001, "RFC 8489 section 14.1";
    CHANGE_REQUEST = 0x0003, "RFC 5780 section 7.2";
    USERNAME = 0x0006, "RFC 8489 section 14.3";
    MESSAGE_INTEGRITY = 0x0008, "RFC 8489 section 14.5";
    ERROR_CODE = 0x0009, "RFC 8489 section 14.8";
    UNKNOWN_ATTRIBUTES = 0x000A, "RFC 8489 section 14.13";
    CHANNEL_NUMBER = 0x000C, "RFC 8656 section 18.1";
    LIFETIME = 0x000D, "RFC 8656 section 18.2";
    XOR_PEER_ADDRESS = 0x0012, "RFC 8656 section 18.3";
    DATA = 0x0013, "RFC 8656 section 18.4";
    REALM = 0x0014, "RFC 8489 section 14.9";
    NONCE = 0x0015, "RFC 8489 section 14.10";
    XOR_RELAYED_ADDRESS = 0x0016, "RFC 8656 section 18.5";
    REQUESTED_ADDRESS_FAMILY = 0x0017, "RFC 8656 section 18.6";
    EVEN_PORT = 0x0018, "RFC 8656 section 18.7";
    REQUESTED_TRANSPORT = 0x0019, "RFC 8656 section 18.8";
    DONT_FRAGMENT = 0x001A, "RFC 8656 section 18.9";
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "RFC 8489 section 14.6";
    PASSWORD_ALGORITHM = 0x001D, "RFC 8489 section 14.12";
    USERHASH = 0x001E, "RFC 8489 section 14.4";
    XOR_MAPPED_ADDRESS = 0x0020, "RFC 8489 section 14.2";
    RESERVATION_TOKEN = 0x0022, "RFC 8656 section 18.10";
    PADDING = 0x0026, "RFC 5780 section 7.6";
    RESPONSE_PORT = 0x0027, "RFC 5780 section 7.5";
    CONNECTION_ID = 0x002A, "RFC 6062 section 6.2.1";
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "RFC 8656 section 18.11";
    ADDRESS_ERROR_CODE = 0x8001, "RFC 8656 section 18.12";
    PASSWORD_ALGORITHMS = 0x8002, "RFC 8489 section 14.11";
    ALTERNATE_DOMAIN = 0x8003, "RFC 8489 section 14.16";
    ICMP = 0x8004, "RFC 8656 section 18.13";
    SOFTWARE = 0x8022, "RFC 8489 section 14.14";
    ALTERNATE_SERVER = 0x8023, "RFC 8489 section 14.15";
    FINGERPRINT = 0x8028, "RFC 8489 section 14.7";
    RESPONSE_ORIGIN = 0x802B, "RFC 5780 section 7.3";
    OTHER_ADDRESS = 0x802C, "RFC 5780 section 7.4";
}
