//! Any bytes as the start of a connection behind a load balancer, whole and as they arrive.

use turnstone::wire::Malformed;
use turnstone::wire::proxy_protocol::{HEADER_BYTES_MAX, Parsed, looks_like, parse};

pub(crate) fn run(data: &[u8]) {
    let whole = parse(data);
    // Bytes arrive one by one: the first answer that is not "wait" is the only one, and it stays.
    let decided = (0..=data.len()).find(|end| parse(&data[..*end]) != Ok(Parsed::Incomplete));
    match decided {
        None => assert_eq!(whole, Ok(Parsed::Incomplete)),
        Some(end) => (end..=data.len()).for_each(|more| assert_eq!(parse(&data[..more]), whole)),
    }
    assert!(looks_like(data) == looks_like(&data[..data.len().min(12)]));
    match whole {
        Ok(Parsed::Header { length, source }) => {
            assert_eq!(decided, Some(length), "nothing behind the header was needed");
            assert!(looks_like(data) && length <= HEADER_BYTES_MAX);
            for end in source.into_iter().flat_map(|(source, destination)| [source, destination]) {
                assert_eq!(end.ip(), end.ip().to_canonical());
            }
        }
        Ok(Parsed::Incomplete) => assert!(data.len() < HEADER_BYTES_MAX, "endless"),
        Err(Malformed::BadProxyHeader) => assert!(looks_like(data)),
        Err(Malformed::NotProxyProtocol) => assert!(!looks_like(data)),
        Err(other) => panic!("{other:?} is of another protocol"),
    }
}
