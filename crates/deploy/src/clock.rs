//! The clock of a KDC. MIT's tools forgive a wrong clock where they can, other programs do not, so it is asked for: a
//! ticket is requested for a client that no realm has, and the refusal (KRB-ERROR, RFC 4120, 5.9.1) carries the time.

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs, UdpSocket},
    time::{Duration, Instant},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const PORT: u16 = 88;
const PATIENCE: Duration = Duration::from_secs(3);
const ANSWER_BYTES_MAX: u32 = 65_536;
/// The client that no realm has.
const NOBODY: &str = "flume-clock";

/// How far this host's clock is ahead of the KDC's, in seconds; negative if it is behind. The time that the question
/// takes is counted half.
///
/// # Errors
/// No KDC of the list, `host` or `host:port`, gives an answer with a time: what the last one did.
pub(crate) fn ahead_of(kdcs: &[String], realm: &str) -> io::Result<i64> {
    let mut last = io::Error::other("no KDC is known");
    for kdc in kdcs {
        let kdc = kdc
            .strip_prefix("tcp/")
            .or_else(|| kdc.strip_prefix("udp/"))
            .unwrap_or(kdc);
        let asked = Timestamp::now();
        let began = Instant::now();
        match ask(kdc, &request(realm, nonce(asked))) {
            Ok(answer) => {
                let theirs = server_time(&answer)
                    .ok_or_else(|| io::Error::other("the answer has no time"))?;
                let middle = asked.as_millisecond()
                    + i64::try_from(began.elapsed().as_millis() / 2).unwrap_or(0);
                return Ok(middle / 1000 - theirs);
            }
            Err(error) => last = io::Error::new(error.kind(), format!("{kdc}: {error}")),
        }
    }
    Err(last)
}

/// The KDCs that can be asked directly, not through an HTTPS proxy (MS-KKDCP).
pub(crate) fn askable(kdcs: &[String]) -> Vec<String> {
    let direct = |kdc: &&String| !kdc.to_ascii_lowercase().starts_with("https://");
    kdcs.iter().filter(direct).cloned().collect()
}

/// By TCP, else by UDP.
fn ask(kdc: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let with_port = match kdc.rsplit_once(':') {
        Some((host, port))
            if port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']')) =>
        {
            kdc.to_string()
        }
        _ => format!("{kdc}:{PORT}"),
    };
    let mut last = io::Error::other("the name has no address");
    for address in with_port.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE)
            .and_then(|stream| over_tcp(stream, request))
        {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
        if let Ok(answer) = over_udp(&address, request) {
            return Ok(answer);
        }
    }
    Err(last)
}

/// Four bytes of length before the message, both ways.
fn over_tcp(mut stream: TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request].concat())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > ANSWER_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("an answer of {length} bytes"),
        ));
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn over_udp(address: &std::net::SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(request)?;
    let mut answer = vec![0; ANSWER_BYTES_MAX as usize];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// One DER element; lengths up to 65535 are enough for what is made here.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, content.to_vec()].concat()
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const GENERALIZED_TIME: u8 = 0x18;
const GENERAL_STRING: u8 = 0x1b;

/// `[number]`, explicit.
fn context(number: u8, content: &[u8]) -> Vec<u8> {
    der(0xa0 | number, content)
}

fn integer(value: u8) -> Vec<u8> {
    der(INTEGER, &[value])
}

/// PrincipalName: a type and its parts.
fn principal(kind: u8, parts: &[&str]) -> Vec<u8> {
    let parts: Vec<_> = parts
        .iter()
        .flat_map(|part| der(GENERAL_STRING, part.as_bytes()))
        .collect();
    der(
        SEQUENCE,
        &[
            context(0, &integer(kind)),
            context(1, &der(SEQUENCE, &parts)),
        ]
        .concat(),
    )
}

/// A number that no question had before: a KDC answers the same question with the same answer, of then.
fn nonce(now: Timestamp) -> [u8; 4] {
    let mut bytes = (now.as_microsecond() as u32).to_be_bytes();
    // Positive, and as short as DER wants it.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    bytes
}

/// An AS-REQ of nobody's for a ticket-granting ticket.
fn request(realm: &str, nonce: [u8; 4]) -> Vec<u8> {
    // A name too long for DER as made here is no realm.
    let realm = realm.get(..realm.len().min(255)).unwrap_or_default();
    let body = [
        context(0, &der(BIT_STRING, &[0, 0, 0, 0, 0])),
        context(1, &principal(1, &[NOBODY])),
        context(2, &der(GENERAL_STRING, realm.as_bytes())),
        context(3, &principal(2, &["krbtgt", realm])),
        context(5, &der(GENERALIZED_TIME, b"19700101000000Z")),
        context(7, &der(INTEGER, &nonce)),
        // AES with SHA-1 and with SHA-2.
        context(
            8,
            &der(
                SEQUENCE,
                &[integer(18), integer(17), integer(20), integer(19)].concat(),
            ),
        ),
    ];
    let request = [
        context(1, &integer(5)),
        context(2, &integer(10)),
        context(4, &der(SEQUENCE, &body.concat())),
    ];
    der(0x6a, &der(SEQUENCE, &request.concat()))
}

/// The next DER element: its tag, its content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return None;
        }
        let digits = rest.get(..count)?;
        length = digits
            .iter()
            .fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = rest.get(count..)?;
    }
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// `stime` of a KRB-ERROR, in seconds of the epoch.
pub fn server_time(answer: &[u8]) -> Option<i64> {
    let (0x7e, error, _) = element(answer)? else {
        return None;
    };
    let (SEQUENCE, mut fields, _) = element(error)? else {
        return None;
    };
    while let Some((tag, field, rest)) = element(fields) {
        if tag == 0xa4 {
            let (GENERALIZED_TIME, text, _) = element(field)? else {
                return None;
            };
            let time = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
            return Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second());
        }
        fields = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_with(time: &[u8]) -> Vec<u8> {
        let fields = [
            context(0, &integer(5)),
            context(1, &integer(30)),
            context(4, &der(GENERALIZED_TIME, time)),
            context(5, &integer(0)),
            context(6, &integer(6)),
        ];
        der(0x7e, &der(SEQUENCE, &fields.concat()))
    }

    #[test]
    fn the_time_of_a_refusal_is_read() {
        assert_eq!(
            server_time(&error_with(b"20261124183000Z")),
            Some(1_795_545_000)
        );
        assert_eq!(server_time(&error_with(b"yesterday")), None);
        assert_eq!(server_time(&[0x7e, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_refusal_cut_or_changed_anywhere_is_no_time_and_no_panic() {
        let whole = error_with(b"20261124183000Z");
        for at in 0..whole.len() {
            assert_eq!(server_time(&whole[..at]), None);
            for byte in 0..=255 {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = server_time(&changed);
            }
        }
    }

    #[test]
    fn the_request_is_well_formed() {
        let realm = "R".repeat(300);
        let request = request(&realm, nonce(Timestamp::now()));
        let (tag, content, rest) = element(&request).unwrap();
        assert_eq!((tag, rest.len()), (0x6a, 0));
        let (tag, fields, rest) = element(content).unwrap();
        assert_eq!((tag, rest.len()), (SEQUENCE, 0));
        let (tag, _, rest) = element(fields).unwrap();
        assert_eq!((tag, rest.is_empty()), (0xa1, false));
    }
}
