//! SASL's mechanism GSSAPI (RFC 4752), the client's side and the server's, as machines that are fed the other's tokens:
//! Kerberos first, then which protection. They do no I/O; the client's first step may ask a KDC, and block.

use std::fmt;

use crate::gss::{GssContext, GssError, GssStep};

/// What SASL does for the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protection {
    /// Nothing after the login: `auth`.
    Authentication,
    /// A checksum with a key: `auth-int`.
    Integrity,
    /// Encryption: `auth-conf`.
    Privacy,
}

impl Protection {
    /// From the weakest to the strongest.
    pub const ALL: [Protection; 3] = [
        Protection::Authentication,
        Protection::Integrity,
        Protection::Privacy,
    ];

    /// Its name as SASL has it.
    pub fn sasl_name(self) -> &'static str {
        match self {
            Protection::Authentication => "auth",
            Protection::Integrity => "auth-int",
            Protection::Privacy => "auth-conf",
        }
    }

    /// Its bit among the layers of RFC 4752.
    fn bit(self) -> u8 {
        match self {
            Protection::Authentication => 1,
            Protection::Integrity => 2,
            Protection::Privacy => 4,
        }
    }

    /// The first demand that is offered; more than any demand rather than nothing; never less.
    ///
    /// # Errors
    /// When all that is offered is less.
    pub fn agree(offered: &[Protection], demanded: &[Protection]) -> Result<Protection, TooWeak> {
        let wanted = demanded.iter().find(|wanted| offered.contains(wanted));
        let least = demanded.iter().min().unwrap_or(&Protection::Privacy);
        let more = || offered.iter().filter(|offer| *offer > least).min();
        let agreed = wanted.or_else(more).copied();
        agreed.ok_or_else(|| TooWeak {
            offered: list(offered),
            demanded: list(demanded),
        })
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protection::Authentication => "authentication",
            Protection::Integrity => "integrity",
            Protection::Privacy => "privacy",
        })
    }
}

fn list(protections: &[Protection]) -> String {
    let names: Vec<_> = protections.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "no protection".into()
    } else {
        names.join(", ")
    }
}

/// The server protects less than the client demands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offers {offered}, and the client demands {demanded}")]
pub struct TooWeak {
    /// What it offers.
    pub offered: String,
    /// What is demanded.
    pub demanded: String,
}

/// Why a negotiation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GssapiError {
    /// There is no ticket, or one side does not believe the other.
    #[error(transparent)]
    Gss(#[from] GssError),
    /// The server protects less than the client demands.
    #[error("the server {0}")]
    TooWeak(#[from] TooWeak),
    /// What came does not belong here.
    #[error("{0}")]
    Protocol(String),
}

/// A security context of one side, so that tests need no KDC.
pub trait SecurityContext: Send {
    /// Takes what the other side said; nothing when this side begins.
    ///
    /// # Errors
    /// What the KDC or the other side refused.
    fn step(&mut self, token: &[u8]) -> Result<GssStep, GssError>;
    /// Seals a message, and encrypts it if so wanted.
    ///
    /// # Errors
    /// Before the context is ready.
    fn wrap(&mut self, message: &[u8], encrypt: bool) -> Result<Vec<u8>, GssError>;
    /// Opens a message, and says whether it was encrypted.
    ///
    /// # Errors
    /// A message that is not from the other side.
    fn unwrap(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), GssError>;
    /// The principal that began.
    ///
    /// # Errors
    /// Before the context is ready.
    fn initiator(&self) -> Result<String, GssError>;
}

impl SecurityContext for GssContext {
    fn step(&mut self, token: &[u8]) -> Result<GssStep, GssError> {
        GssContext::step(self, token)
    }

    fn wrap(&mut self, message: &[u8], encrypt: bool) -> Result<Vec<u8>, GssError> {
        GssContext::wrap(self, message, encrypt)
    }

    fn unwrap(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), GssError> {
        GssContext::unwrap(self, message)
    }

    fn initiator(&self) -> Result<String, GssError> {
        GssContext::initiator(self)
    }
}

/// The client's side.
pub struct GssapiClient {
    context: Box<dyn SecurityContext>,
    is_established: bool,
    /// In order of preference.
    demanded: Vec<Protection>,
    chosen: Option<Protection>,
}

impl GssapiClient {
    /// With the first token. Asks the KDC for a ticket, and blocks.
    ///
    /// # Errors
    /// Without a ticket.
    pub fn begin(
        mut context: Box<dyn SecurityContext>,
        demanded: Vec<Protection>,
    ) -> Result<(Self, Vec<u8>), GssapiError> {
        let first = context.step(&[])?;
        let client = GssapiClient {
            context,
            is_established: first.ready,
            demanded,
            chosen: None,
        };
        Ok((client, first.token))
    }

    /// Takes the server's next token and gives the answer, which may be empty.
    ///
    /// # Errors
    /// A server that is not who it must be, or protects too little; a token out of turn.
    pub fn answer(&mut self, token: &[u8]) -> Result<Vec<u8>, GssapiError> {
        if self.chosen.is_some() {
            let text = "the server says more after the protection was chosen";
            return Err(GssapiError::Protocol(text.into()));
        }
        if !self.is_established {
            let step = self.context.step(token)?;
            self.is_established = step.ready;
            return Ok(step.token);
        }
        let (offer, _) = self.context.unwrap(token)?;
        let &[bits, high, middle, low] = &offer[..] else {
            let text = format!("an offer of {} bytes of protections", offer.len());
            return Err(GssapiError::Protocol(text));
        };
        let offered: Vec<_> = Protection::ALL
            .into_iter()
            .filter(|protection| bits & protection.bit() != 0)
            .collect();
        let chosen = Protection::agree(&offered, &self.demanded)?;
        // The largest message; without a layer there is none.
        let largest = match chosen {
            Protection::Authentication => [0; 3],
            Protection::Integrity | Protection::Privacy => [high, middle, low],
        };
        let choice = [&[chosen.bit()][..], &largest].concat();
        let answer = self.context.wrap(&choice, false)?;
        self.chosen = Some(chosen);
        Ok(answer)
    }

    /// Which protection was chosen, after the last answer.
    pub fn chosen(&self) -> Option<Protection> {
        self.chosen
    }

    /// What protects the messages from now on.
    pub fn into_context(self) -> Box<dyn SecurityContext> {
        self.context
    }
}

/// The side of a server that wants to know who its clients are, and protects no messages.
pub struct GssapiServer {
    context: Box<dyn SecurityContext>,
    stage: ServerStage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ServerStage {
    /// The client proves who it is.
    Authenticating,
    /// It is known; the protections are to be offered.
    Known,
    /// They were offered.
    Offered,
    Done,
}

impl GssapiServer {
    /// Waits for the client's first token.
    pub fn new(context: Box<dyn SecurityContext>) -> Self {
        GssapiServer {
            context,
            stage: ServerStage::Authenticating,
        }
    }

    /// Takes the client's next token and gives the answer; `ready` once all is agreed.
    ///
    /// # Errors
    /// A client that is not who it says it is, or wants to be somebody else; a token out of turn.
    pub fn answer(&mut self, token: &[u8]) -> Result<GssStep, GssapiError> {
        match self.stage {
            ServerStage::Authenticating => {
                let step = self.context.step(token)?;
                if !step.ready {
                    return Ok(step);
                }
                self.stage = ServerStage::Known;
                if step.token.is_empty() {
                    // The client does not want this side's proof, so it waits for the offer.
                    return self.offer();
                }
                Ok(GssStep {
                    ready: false,
                    ..step
                })
            }
            ServerStage::Known if token.is_empty() => self.offer(),
            ServerStage::Offered => {
                let (choice, _) = self.context.unwrap(token)?;
                self.check(&choice)?;
                self.stage = ServerStage::Done;
                Ok(GssStep {
                    token: vec![],
                    ready: true,
                })
            }
            ServerStage::Known | ServerStage::Done => {
                Err(GssapiError::Protocol("a token out of turn".into()))
            }
        }
    }

    /// Who the client has proved to be.
    ///
    /// # Errors
    /// Before it has.
    pub fn client(&self) -> Result<String, GssError> {
        self.context.initiator()
    }

    fn offer(&mut self) -> Result<GssStep, GssapiError> {
        let offer = [Protection::Authentication.bit(), 0, 0, 0];
        let token = self.context.wrap(&offer, false)?;
        self.stage = ServerStage::Offered;
        Ok(GssStep {
            token,
            ready: false,
        })
    }

    /// The client's choice: one byte of protection, three of the largest message, then as whom it wants to act.
    fn check(&self, choice: &[u8]) -> Result<(), GssapiError> {
        let Some((&[chosen, _, _, _], name)) = choice.split_first_chunk() else {
            let text = format!("a choice of {} bytes of protection", choice.len());
            return Err(GssapiError::Protocol(text));
        };
        if chosen != Protection::Authentication.bit() {
            let text = format!("the client chose protection {chosen}, which was not offered");
            return Err(GssapiError::Protocol(text));
        }
        let client = self.context.initiator()?;
        if !name.is_empty() && name != client.as_bytes() {
            let name = String::from_utf8_lossy(name);
            let name = name.escape_debug();
            let text = format!("{client} wants to act for {name}, and nobody may");
            return Err(GssapiError::Protocol(text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says one thing, is ready after `steps`, and wraps by a leading byte.
    struct Fake {
        steps: usize,
        says: &'static [u8],
    }

    fn fake(steps: usize, says: &'static [u8]) -> Box<Fake> {
        Box::new(Fake { steps, says })
    }

    impl SecurityContext for Fake {
        fn step(&mut self, _: &[u8]) -> Result<GssStep, GssError> {
            self.steps -= 1;
            Ok(GssStep {
                token: std::mem::take(&mut self.says).to_vec(),
                ready: self.steps == 0,
            })
        }

        fn wrap(&mut self, message: &[u8], encrypt: bool) -> Result<Vec<u8>, GssError> {
            Ok([&[encrypt.into()][..], message].concat())
        }

        fn unwrap(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), GssError> {
            let bad = GssError {
                major: 1,
                minor: 1,
                text: "not wrapped".into(),
            };
            let (first, rest) = message.split_first().ok_or(bad)?;
            Ok((rest.to_vec(), *first == 1))
        }

        fn initiator(&self) -> Result<String, GssError> {
            Ok("flume/h@R".into())
        }
    }

    #[test]
    fn the_first_demand_that_is_offered_is_agreed_on() {
        use Protection::{Authentication, Integrity, Privacy};
        let check = |offered: &[Protection], demanded: &[Protection], expected: Result<_, &str>| {
            let agreed = Protection::agree(offered, demanded);
            let agreed = agreed.map_err(|error| error.to_string());
            assert_eq!(agreed, expected.map_err(String::from));
        };
        check(&[Authentication], &[Authentication], Ok(Authentication));
        check(
            &Protection::ALL,
            &[Authentication, Privacy],
            Ok(Authentication),
        );
        check(
            &[Authentication, Integrity],
            &[Privacy, Integrity],
            Ok(Integrity),
        );
        check(&[Privacy], &[Authentication], Ok(Privacy));
        check(&[Privacy], &[Integrity], Ok(Privacy));
        let weak = "offers authentication, integrity, and the client demands privacy";
        check(&[Authentication, Integrity], &[Privacy], Err(weak));
        let none = "offers no protection, and the client demands integrity";
        check(&[], &[Integrity], Err(none));
        assert!(Protection::agree(&Protection::ALL, &[]).is_err());
    }

    /// Both sides until the server is ready, and how many answers of the server that took.
    fn talk(client_steps: usize, server_says: &'static [u8]) -> (GssapiClient, usize) {
        let demanded = vec![Protection::Authentication];
        let context = fake(client_steps, b"ticket");
        let (mut client, mut token) = GssapiClient::begin(context, demanded).unwrap();
        let mut server = GssapiServer::new(fake(1, server_says));
        for answers in 1..5 {
            let step = server.answer(&token).unwrap();
            if step.ready {
                assert_eq!(server.client().as_deref(), Ok("flume/h@R"));
                assert!(server.answer(&[]).is_err());
                return (client, answers);
            }
            token = client.answer(&step.token).unwrap();
        }
        panic!("it does not end");
    }

    #[test]
    fn both_sides_agree_with_and_without_the_servers_proof() {
        let (mut client, answers) = talk(2, b"proof");
        assert_eq!(
            (client.chosen(), answers),
            (Some(Protection::Authentication), 3)
        );
        assert!(client.answer(&[]).is_err());
        let (client, answers) = talk(1, b"");
        assert_eq!(
            (client.chosen(), answers),
            (Some(Protection::Authentication), 2)
        );
    }

    #[test]
    fn a_choice_that_was_not_offered_is_refused() {
        let choose = |choice: &[u8]| {
            let mut server = GssapiServer::new(fake(1, b"proof"));
            server.answer(b"ticket").unwrap();
            server.answer(b"").unwrap();
            server.answer(choice).map(|step| step.ready)
        };
        assert_eq!(choose(&[0, 1, 0, 0, 0]), Ok(true));
        assert_eq!(choose(b"\0\x01\0\0\0flume/h@R"), Ok(true));
        for wrong in [
            &[][..],
            &[0],
            &[0, 1, 0, 0],
            &[0, 4, 0, 0, 0],
            &[0, 3, 0, 0, 0],
        ] {
            assert!(choose(wrong).is_err(), "{wrong:?}");
        }
        let other = choose(b"\0\x01\0\0\0root@R").unwrap_err().to_string();
        assert_eq!(other, "flume/h@R wants to act for root@R, and nobody may");
        let mut server = GssapiServer::new(fake(1, b"proof"));
        server.answer(b"ticket").unwrap();
        assert!(server.answer(b"early").is_err());
    }
}
