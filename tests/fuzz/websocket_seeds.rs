//! Inputs of `websocket` that people found interesting, by name: the bound of a message (squared), how the
//! stream is cut, the stream.

const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = FIN | 8;
const PING: u8 = FIN | 9;
const PONG: u8 = FIN | 10;

/// Seeds of `websocket`.
pub(crate) fn websocket() -> Vec<(&'static str, Vec<u8>)> {
    let seed = |frames: &[Vec<u8>]| [vec![40, 3], frames.concat()].concat();
    let hello = frame(FIN | TEXT, b"Hello");
    let fragments = [frame(TEXT, b"Hel"), frame(PING, b"?"), frame(0, b""), frame(FIN, b"lo")];
    let raw = |bytes: &[u8]| seed(&[bytes.to_vec()]);
    vec![
        ("empty", Vec::new()),
        ("no-stream", vec![40, 3]),
        ("hello", seed(std::slice::from_ref(&hello))),
        ("fragments", seed(&fragments)),
        (
            "messages",
            seed(&[hello.clone(), frame(FIN | BINARY, &[0xFF; 300]), frame(PONG, b""), hello.clone()]),
        ),
        ("cut", seed(&[hello.clone(), hello[..8].to_vec()])),
        ("cut-in-fragments", seed(&fragments[..3])),
        ("close", seed(&[frame(CLOSE, b"\x03\xE8bye"), hello.clone()])),
        ("close-without-code", seed(&[frame(CLOSE, b""), hello.clone()])),
        ("close-of-one-byte", seed(&[frame(CLOSE, b"\x03")])),
        ("close-with-inside-code", seed(&[frame(CLOSE, b"\x03\xED")])),
        ("close-not-utf8", seed(&[frame(CLOSE, b"\x03\xE8\xFF")])),
        ("close-inside-a-message", seed(&[frame(BINARY, b"a"), frame(CLOSE, b"\x0F\xA0")])),
        ("utf8-across-fragments", seed(&[frame(TEXT, b"\xCE"), frame(FIN, b"\xBA")])),
        ("not-utf8", seed(&[frame(FIN | TEXT, b"\xED\xA0\x80")])),
        ("not-utf8-at-the-end", seed(&[frame(TEXT, b"a"), frame(FIN, b"\xE2\x82")])),
        ("nothing-to-continue", seed(&[frame(FIN, b"lo")])),
        ("message-inside-message", seed(&[frame(TEXT, b"a"), hello.clone()])),
        ("unmasked", raw(b"\x81\x05Hello")),
        ("reserved-bit", raw(&[0xC1, 0x80, 0, 0, 0, 0])),
        ("reserved-opcode", raw(&[0x83, 0x80, 0, 0, 0, 0])),
        ("ping-in-pieces", seed(&[frame(0x9, b"a")])),
        ("ping-of-the-bound", seed(&[frame(PING, &[7; 125])])),
        ("ping-too-long", seed(&[frame(PING, &[7; 126])])),
        ("length-of-16-bits-too-long", raw(&[0x82, 0xFE, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5])),
        ("length-of-64-bits-too-long", raw(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0])),
        ("length-maximum", raw(&[0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0])),
        ("length-with-top-bit", raw(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0])),
        ("message-of-the-bound", seed(&[frame(FIN | BINARY, &[7; 1600])])),
        ("message-too-big", seed(&[frame(FIN | BINARY, &[7; 1601])])),
        ("fragments-too-big", seed(&[frame(BINARY, &[7; 1600]), frame(0, b"x")])),
        ("no-message-but-empty-ones", [vec![0, 9], frame(FIN | TEXT, b""), hello].concat()),
        ("too-many-fragments", seed(&[frame(BINARY, b""), frame(0, b"").repeat(1024)])),
    ]
}

/// A frame of a client, masked with zeroes but for the last byte of the key.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0xFE);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    let key = [0, 0, 0, 0x20];
    bytes.extend(key);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}
