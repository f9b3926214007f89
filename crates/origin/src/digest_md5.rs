//! A guard before the ZooKeeper client's DIGEST-MD5, which loops or panics at some challenges with a backslash. Nobody
//! has proved anything yet when a challenge comes, so it must not reach that code.

use rsasl::{
    mechanism::{Authentication, MechanismData, MechanismError, MechanismErrorKind},
    mechname::Mechname,
    prelude::{SASLError, SessionError, State},
    registry::{MECHANISMS, Matches, Mechanism, Named, Selection, Side, distributed_slice},
};

/// No server needs longer ones.
const MAX_CHALLENGE_BYTES: usize = 4096;

/// Takes precedence over the client's own mechanism, whose priority is 0.
#[distributed_slice(MECHANISMS)]
pub static GUARDED: Mechanism = Mechanism::build(
    Mechname::const_new_unchecked(b"DIGEST-MD5"),
    1,
    Some(begin),
    None,
    Side::Server,
    |_| -> Option<Selection> { Some(Matches::<Guard>::name()) },
    |_| true,
);

struct Guard {
    mechanism: Box<dyn Authentication>,
}

impl Named for Guard {
    fn mech() -> &'static Mechanism {
        &GUARDED
    }
}

/// The client's mechanism, behind the guard.
fn begin() -> Result<Box<dyn Authentication>, SASLError> {
    let is_guarded = |other: &&Mechanism| {
        other.mechanism == GUARDED.mechanism && !std::ptr::eq(*other, &GUARDED)
    };
    let found = MECHANISMS.iter().find(is_guarded);
    let mechanism = found.and_then(Mechanism::client);
    let mechanism = mechanism.unwrap_or(Err(SASLError::NoSharedMechanism))?;
    Ok(Box::new(Guard { mechanism }))
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the server's challenge has a backslash, which is not supported")]
    Backslash,
    #[error("the server's challenge is longer than {MAX_CHALLENGE_BYTES} bytes")]
    Long,
}

impl MechanismError for Refused {
    fn kind(&self) -> MechanismErrorKind {
        MechanismErrorKind::Protocol
    }
}

impl Authentication for Guard {
    fn step(
        &mut self,
        session: &mut MechanismData,
        input: Option<&[u8]>,
        writer: &mut dyn std::io::Write,
    ) -> Result<State, SessionError> {
        let challenge = input.unwrap_or_default();
        if challenge.contains(&b'\\') {
            return Err(Refused::Backslash.into());
        }
        if challenge.len() > MAX_CHALLENGE_BYTES {
            return Err(Refused::Long.into());
        }
        self.mechanism.step(session, input, writer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rsasl::{
        callback::{Context, Request, SessionCallback, SessionData},
        config::SASLConfig,
        prelude::SASLClient,
        property::{AuthId, Password},
    };

    use super::*;

    struct Login;

    impl SessionCallback for Login {
        fn callback(
            &self,
            _: &SessionData,
            _: &Context<'_>,
            request: &mut Request<'_>,
        ) -> Result<(), SessionError> {
            request.satisfy::<AuthId>("u")?;
            request.satisfy::<Password>(b"p")?;
            Ok(())
        }
    }

    /// What the client answers; it chooses its mechanism as here.
    fn answer(challenge: &str) -> Result<String, String> {
        let config: Arc<SASLConfig> = SASLConfig::builder()
            .with_defaults()
            .with_callback(Login)
            .unwrap();
        let mut session = SASLClient::new(config)
            .start_suggested(&[GUARDED.mechanism])
            .unwrap();
        let mut answer = vec![];
        let step = session.step(Some(challenge.as_bytes()), &mut answer);
        step.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(answer).unwrap())
    }

    #[test]
    fn no_challenge_reaches_the_clients_parser_that_it_fails_at() {
        zookeeper_client::SaslOptions::digest_md5("u", "p");
        let challenge =
            |realm: &str| format!("realm=\"{realm}\",nonce=\"n\",charset=utf-8,algorithm=md5-sess");
        let answered = answer(&challenge("zk-sasl-md5")).unwrap();
        assert!(
            answered.contains("username=\"u\",realm=\"zk-sasl-md5\""),
            "{answered}"
        );
        for realm in ["\\é", "\\aaaa\\b"] {
            let error = answer(&challenge(realm)).unwrap_err();
            assert!(error.contains("has a backslash"), "{error}");
        }
        let error = answer(&challenge(&"r".repeat(MAX_CHALLENGE_BYTES))).unwrap_err();
        assert!(error.contains("longer than"), "{error}");
    }
}
