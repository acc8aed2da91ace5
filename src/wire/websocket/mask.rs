//! The masking of what clients send (RFC 6455 section 5.3).

/// Takes the mask off (or puts it on, which is the same), and turns the key so that it fits the byte
/// behind the last one.
pub(super) fn unmask(bytes: &mut [u8], key: &mut [u8; 4]) {
    let [a, b, c, d] = *key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
    key.rotate_left(rest.len() % 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

    #[test] // RFC 6455 section 5.3: byte i with byte i modulo 4 of the key
    fn every_byte_meets_its_byte_of_the_key_wherever_it_begins_and_is_cut() {
        let plain: Vec<u8> = (0..60).collect();
        let masked: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]).collect();
        for length in 0..=plain.len() {
            for cut in 0..=length {
                let (mut bytes, mut key) = (masked[..length].to_vec(), KEY);
                let (front, back) = bytes.split_at_mut(cut);
                unmask(front, &mut key);
                unmask(back, &mut key);
                assert_eq!(bytes, plain[..length], "{length} bytes cut at {cut}");
            }
        }
    }
}
