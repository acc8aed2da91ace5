//! The 20-byte header (RFC 8489 section 5).
//!
//! ```text
//! |0 0|     STUN Message Type     |         Message Length        |
//! |                         Magic Cookie                          |
//! |                     Transaction ID (96 bits)                  |
//! ```

/// Bytes of the header.
pub const HEADER_BYTES: usize = 20;

/// The fixed second word, which tells RFC 5389 and later from RFC 3489.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// The 96-bit id that ties a response to its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 12]);

/// What a message is (two bits of its type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Wants a response.
    Request,
    /// Wants none.
    Indication,
    /// The request was carried out.
    Success,
    /// The request was refused; ERROR-CODE says why.
    Error,
}

/// What a message is about (twelve bits of its type).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u16);

impl Method {
    /// RFC 8489 section 3.
    pub const BINDING: Self = Self(0x001);
    /// RFC 8656 section 17, like those that follow.
    pub const ALLOCATE: Self = Self(0x003);
    /// Refresh.
    pub const REFRESH: Self = Self(0x004);
    /// Send, an indication from the client.
    pub const SEND: Self = Self(0x006);
    /// Data, an indication from the server.
    pub const DATA: Self = Self(0x007);
    /// CreatePermission.
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// ChannelBind.
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Connect (RFC 6062 section 6.1).
    pub const CONNECT: Self = Self(0x00A);
    /// ConnectionBind (RFC 6062).
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// ConnectionAttempt, an indication (RFC 6062).
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);

    /// The method with this number, 0 to 0xFFF; higher bits are cut.
    pub const fn new(number: u16) -> Self {
        Self(number & 0xFFF)
    }

    /// The number, 0 to 0xFFF.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The 14-bit message type: the class bits lie between the method bits.
pub(super) const fn message_type(class: Class, method: Method) -> u16 {
    let m = method.0;
    let class = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    (m & 0x00F) | ((m & 0x070) << 1) | ((m & 0xF80) << 2) | class
}

/// Takes a message type apart.
pub(super) const fn class_and_method(message_type: u16) -> (Class, Method) {
    let class = match message_type & 0x110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    };
    let m = (message_type & 0x00F) | ((message_type & 0x0E0) >> 1) | ((message_type & 0x3E00) >> 2);
    (class, Method(m))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // RFC 8489 section 5 figure 3
    fn every_class_and_method_survives_the_type_field() {
        for number in 0..=0xFFF {
            for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
                let method = Method::new(number);
                assert_eq!(class_and_method(message_type(class, method)), (class, method));
            }
        }
        assert_eq!(message_type(Class::Success, Method::ALLOCATE), 0x0103);
        assert_eq!(message_type(Class::Error, Method::CREATE_PERMISSION), 0x0118);
    }
}
