//! Negotiations against a mechanism that says what it is told.

use flume_kerberos::gss::GssStep;

use super::*;

/// Ready after the second step; wraps by a leading byte.
struct Fake {
    steps: usize,
}

impl SecurityContext for Fake {
    fn step(&mut self, token: &[u8]) -> Result<GssStep, GssError> {
        self.steps += 1;
        let reply = if self.steps == 1 {
            b"hello".to_vec()
        } else {
            vec![]
        };
        assert_eq!(token.is_empty(), self.steps == 1);
        Ok(GssStep {
            token: reply,
            ready: self.steps == 2,
        })
    }

    fn wrap(&mut self, message: &[u8], encrypt: bool) -> Result<Vec<u8>, GssError> {
        Ok([&[encrypt.into()][..], message].concat())
    }

    fn unwrap(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), GssError> {
        match message {
            [first, rest @ ..] => Ok((rest.to_vec(), *first == 1)),
            [] => Err(GssError {
                major: 1,
                minor: 1,
                text: "empty".into(),
            }),
        }
    }

    fn initiator(&self) -> Result<String, GssError> {
        unreachable!("clients do not ask")
    }
}

fn demands(protection: &[Protection]) -> SaslDemands {
    SaslDemands {
        protection: protection.to_vec(),
        server: Some("hdfs/nn.example.com@R".into()),
        server_pattern: None,
        simple_will_do: false,
    }
}

fn kerberos() -> Sasl {
    let auth = |method: &str, mechanism: &str| SaslAuth {
        method: method.into(),
        mechanism: mechanism.into(),
        protocol: Some("hdfs".into()),
        server_id: Some("nn.example.com".into()),
        challenge: None,
    };
    let auths = vec![auth("TOKEN", "DIGEST-MD5"), auth("KERBEROS", "GSSAPI")];
    Sasl {
        state: state::NEGOTIATE,
        auths,
        ..Sasl::default()
    }
}

fn message(state: i32, token: &[u8]) -> Sasl {
    Sasl {
        state,
        token: Some(token.to_vec()),
        ..Sasl::default()
    }
}

fn begin(demands: SaslDemands) -> SaslNegotiation {
    let (negotiation, first) =
        SaslNegotiation::begin(demands, Box::new(|_, _| Ok(Box::new(Fake { steps: 0 }))));
    assert_eq!(first.state, state::NEGOTIATE);
    negotiation
}

/// The negotiation against a server that offers these layers.
fn negotiate(demands: SaslDemands, offered: u8) -> Result<SaslAgreement, RpcError> {
    let mut negotiation = begin(demands);
    let replies = [
        kerberos(),
        message(state::CHALLENGE, b"proof"),
        message(state::CHALLENGE, &[0, offered, 1, 0, 0]),
        message(state::SUCCESS, &[]),
    ];
    let mut sent = vec![];
    for reply in &replies {
        match negotiation.take(reply)? {
            SaslNext::Send(message) => {
                sent.push((message.state, message.token.unwrap_or_default()))
            }
            SaslNext::Agreed(agreement) => {
                assert_eq!(sent[0], (state::INITIATE, b"hello".to_vec()));
                assert_eq!(sent[1], (state::RESPONSE, vec![]));
                let largest = if agreement.layer.is_some() {
                    [1, 0, 0]
                } else {
                    [0; 3]
                };
                let bit = 1 << agreement.protection as u8;
                let choice = [&[0, bit][..], &largest].concat();
                assert_eq!(sent[2], (state::RESPONSE, choice));
                return Ok(agreement);
            }
        }
    }
    panic!("it does not end");
}

#[test]
fn the_first_demand_that_is_offered_is_picked() {
    use Protection::{Authentication, Integrity, Privacy};
    let check = |demanded: &[Protection], offered: u8, expected: Result<Protection, &str>| {
        let agreed = negotiate(demands(demanded), offered);
        let seen = agreed.map(|agreement| {
            assert_eq!(agreement.server.as_deref(), Some("hdfs/nn.example.com@R"));
            assert_eq!(
                agreement.layer.is_some(),
                agreement.protection != Authentication
            );
            agreement.protection
        });
        assert_eq!(
            seen.map_err(|error| error.to_string()),
            expected.map_err(String::from)
        );
    };
    check(&[Authentication], 1, Ok(Authentication));
    check(&[Authentication, Privacy], 7, Ok(Authentication));
    check(&[Privacy, Integrity, Authentication], 3, Ok(Integrity));
    check(&[Authentication], 4, Ok(Privacy));
    check(&[Integrity], 4, Ok(Privacy));
    check(
        &[Privacy],
        3,
        Err("the server offers authentication, integrity, and the client demands privacy"),
    );
    check(
        &[Integrity],
        0,
        Err("the server offers no protection, and the client demands integrity"),
    );
}

#[test]
fn the_server_is_who_it_must_be() {
    let check = |server: Option<&str>, pattern: Option<&str>, expected: Result<&str, &str>| {
        let demands = SaslDemands {
            server: server.map(String::from),
            server_pattern: pattern.map(String::from),
            ..demands(&[Protection::Authentication])
        };
        let agreed = negotiate(demands, 1).map_err(|error| error.to_string());
        let server = agreed.map(|agreement| agreement.server.unwrap_or_default());
        assert_eq!(server.as_deref().map_err(String::as_str), expected);
    };
    check(None, None, Ok("hdfs/nn.example.com"));
    let other = "the server is hdfs/nn.example.com, and must be nn/nn.example.com@R";
    check(Some("nn/nn.example.com@R"), None, Err(other));
    check(
        Some("x/y@R"),
        Some("hdfs/*.example.com@R"),
        Ok("hdfs/nn.example.com@R"),
    );
    check(None, Some("hdfs/n?.*@OTHER"), Ok("hdfs/nn.example.com"));
    let other = "the server is hdfs/nn.example.com@R, and must be hdfs/a*";
    check(Some("x/y@R"), Some("hdfs/a*"), Err(other));
}

#[test]
fn a_server_without_kerberos_is_refused_or_will_do() {
    let simple = Sasl {
        state: state::NEGOTIATE,
        auths: vec![SaslAuth {
            method: "SIMPLE".into(),
            ..SaslAuth::default()
        }],
        ..Sasl::default()
    };
    for reply in [message(state::SUCCESS, &[]), simple] {
        let strict = begin(demands(&[Protection::Authentication]))
            .take(&reply)
            .err()
            .unwrap()
            .to_string();
        assert!(strict.contains("SIMPLE, and no Kerberos"), "{strict}");
        let lenient = SaslDemands {
            simple_will_do: true,
            ..demands(&[Protection::Privacy])
        };
        let next = begin(lenient).take(&reply);
        assert!(matches!(
            next,
            Ok(SaslNext::Agreed(SaslAgreement {
                server: None,
                layer: None,
                ..
            }))
        ));
    }
    let token = SaslAuth {
        method: "TOKEN".into(),
        ..SaslAuth::default()
    };
    let reply = Sasl {
        state: state::NEGOTIATE,
        auths: vec![token],
        ..Sasl::default()
    };
    let error = begin(demands(&[])).take(&reply).err().unwrap().to_string();
    assert_eq!(error, "the server offers TOKEN, and no Kerberos");
}

#[test]
fn messages_out_of_turn_are_refused() {
    for first in [
        message(state::CHALLENGE, b"x"),
        message(state::WRAP, b"x"),
        message(77, b""),
    ] {
        assert!(begin(demands(&[])).take(&first).is_err());
    }
    let mut negotiation = begin(demands(&[Protection::Authentication]));
    assert!(matches!(
        negotiation.take(&kerberos()),
        Ok(SaslNext::Send(_))
    ));
    // A success without the server's proof.
    assert!(negotiation.take(&message(state::SUCCESS, b"")).is_err());
    let mut negotiation = begin(demands(&[Protection::Authentication]));
    for reply in [kerberos(), message(state::CHALLENGE, b"proof")] {
        assert!(matches!(negotiation.take(&reply), Ok(SaslNext::Send(_))));
    }
    assert!(
        negotiation
            .take(&message(state::CHALLENGE, &[0, 1, 2]))
            .is_err()
    );
}

#[test]
fn patterns() {
    let check = |pattern: &str, text: &str, expected: bool| {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    };
    check("*", "", true);
    check("a*c", "abcbc", true);
    check("a*c", "abcb", false);
    check("??", "ab", true);
    check("?", "ab", false);
    check("", "a", false);
    check("*a*b*", "xxaxxbxx", true);
}
