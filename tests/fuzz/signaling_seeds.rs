//! Seeds for the signaling wires, written by hand.

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// Seeds of `engine_io`: packets, bodies, queries, and sessions as the body reads them.
pub(crate) fn engine_io() -> Seeds {
    let texts = [
        ("message", "4hello"),
        ("body", "4hello\x1e2\x1ebAQIDBA==\x1e6"),
        ("base64-without-padding", "bAQIDBA"),
        ("body-cut", "4hello\x1e"),
        ("probe", "2probe"),
        ("query", "EIO=4&transport=polling&t=abc&sid=lv_VI97HAXpY6yYWAAAC"),
        ("query-websocket", "b64=1&EIO=4&transport=websocket"),
        ("query-old", "EIO=3&transport=polling"),
        ("query-twice", "EIO=4&transport=polling&sid=a&sid=b"),
        ("query-jsonp", "EIO=4&transport=polling&j=0"),
    ];
    let sessions: [(&'static str, &[u8]); 7] = [
        ("session-upgrade", &[0, 0x00, 0x60, 0x90, 0x91, 0x93]),
        ("session-late-get", &[0, 0x60, 0x90, 0x00, 0xE2, 0x00, 0x91]),
        ("session-overlap", &[0, 0x00, 0x00]),
        ("session-post", &[0, 0x30, 0x83, 0x85, 0x40]),
        ("session-heartbeat", &[1, 0xFF, 0xFA, 0x92, 0xFF, 0xFA, 0xFF, 0xFF]),
        ("session-closed", &[0, 0x60, 0x90, 0xD0, 0x91]),
        ("session-lost", &[1, 0x70, 0x60]),
    ];
    let bytes = |(name, bytes): (&'static str, &[u8])| (name, bytes.to_vec());
    let crowd = ("body-crowded", "4\x1e".repeat(2000).into_bytes());
    texts
        .into_iter()
        .map(|(name, text)| bytes((name, text.as_bytes())))
        .chain(sessions.map(bytes))
        .chain([crowd])
        .collect()
}

/// Seeds of `socket_io`: messages with 0xFF between two.
pub(crate) fn socket_io() -> Seeds {
    let lines: [(&'static str, &[u8]); 20] = [
        ("connect", b"0{\"token\":\"123\"}"),
        ("connect-namespace", b"0/chat?a=b,{\"pid\":\"P\",\"offset\":\"E.7\"}"),
        ("disconnect", b"1/chat"),
        ("event", b"2[\"call:start\",{\"to\":\"bob\"}]"),
        ("event-many", b"2/chat,456[ \"m\" , 1 , \"2,]\" ,{\"3\":[true]}, null ]"),
        ("event-escapes", b"2[\"a\\u0062\\n\",\"\\ud800\",1e999]"),
        ("event-reserved", b"2[\"connect\"]"),
        ("event-candidate", b"27[\"webrtc:ice-candidate\",{\"to\":\"bob\",\"candidate\":{\"candidate\":\"candidate:8421 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0\",\"sdpMid\":\"0\",\"sdpMLineIndex\":0}}]"),
        ("ack", b"37[{\"ok\":true},2]"),
        ("binary", b"52-7[\"x\",{\"_placeholder\":true,\"num\":0},{\"a\":{\"num\":1,\"_placeholder\":true}}]\xFF\x01\x02\xFF\x80\xFF2[\"y\"]"),
        ("binary-ack", b"61-/chat,7[{\"_placeholder\":true,\"num\":0}]\xFF\xC0"),
        ("binary-placeholder", b"51-[\"x\",{\"_placeholder\":true,\"num\":7}]"),
        ("binary-twice", b"51-[\"x\",{\"_placeholder\":true,\"num\":0,\"num\":7}]"),
        ("binary-missing", b"51-[\"x\"]\xFF2[\"y\"]"),
        ("binary-unannounced", b"2[\"x\"]\xFF\x80"),
        ("binary-huge", b"5999999999-[\"x\"]"),
        ("no-name", b"2[{}]"),
        ("no-end", b"2[\"x\""),
        ("no-comma", b"2/admin[\"x\"]"),
        ("number-too-large", b"29007199254740992[\"x\"]"),
    ];
    let deep = |levels: usize| format!("2[\"x\",{}{}]", "[".repeat(levels), "]".repeat(levels)).into_bytes();
    let mut seeds: Seeds = lines.into_iter().map(|(name, bytes)| (name, bytes.to_vec())).collect();
    seeds.extend([
        ("deep", deep(31)),
        ("too-deep", deep(32)),
        ("abyss", "2".bytes().chain(vec![b'['; 5000]).collect()),
    ]);
    seeds
}

/// Seeds of `plain`.
pub(crate) fn plain() -> Seeds {
    let lines = [
        (
            "hello",
            r#"{"hello":{"token":"a.b.c","resume":{"pid":"P","offset":"E.7"},"caps":["glare"],"device":"phone"}}"#,
        ),
        ("hello-bare", r#"{"hello":{}}"#),
        ("hello-twice", r#"{"hello":{"token":"a","token":"b"}}"#),
        ("hello-newer", r#"{"hello":{"token":null,"theme":[{}]},"v":2}"#),
        ("request", r#"{"id":7,"ev":"call:start","data":{"to":"bob"}}"#),
        ("request-bare", r#"{"ev":"heartbeat"}"#),
        ("request-escapes", r#"{ "data" : "\ud800" , "ev" : "a\"b" , "id" : null }"#),
        ("request-twice", r#"{"ev":"x","ev":"y"}"#),
        ("request-number", r#"{"ev":"x","id":9007199254740992}"#),
        ("request-fraction", r#"{"ev":"x","id":1.0}"#),
        ("array", r#"[7,"x",{}]"#),
        ("cut", r#"{"ev":"x""#),
    ];
    let deep = format!("{{\"ev\":\"x\",\"data\":{}{}}}", "[".repeat(32), "]".repeat(32)).into_bytes();
    lines
        .into_iter()
        .map(|(name, text)| (name, text.as_bytes().to_vec()))
        .chain([("too-deep", deep)])
        .collect()
}
