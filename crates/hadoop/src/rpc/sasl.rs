//! The negotiation, as a machine that is fed the server's messages and gives the client's: which way, then GSSAPI. It
//! does no I/O; its steps may ask a KDC, and block.

use flume_kerberos::{
    gss::{GssContext, GssCredential, GssError, GssFlags, GssService},
    sasl::{GssapiClient, SecurityContext, TooWeak},
};

use super::{
    RpcError,
    messages::{Sasl, SaslAuth, state},
};
use crate::conf::Protection;

/// What the client insists on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaslDemands {
    /// `hadoop.rpc.protection`: in order of preference.
    pub protection: Vec<Protection>,
    /// Who the server must be, `_HOST` resolved; `None`: whoever it says it is.
    pub server: Option<String>,
    /// The same as a pattern with `*` and `?`, which goes first.
    pub server_pattern: Option<String>,
    /// Whether a server without Kerberos will do.
    pub simple_will_do: bool,
}

/// Why there is no agreement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaslRefusal {
    /// The server offers no Kerberos.
    #[error("the server offers {0}, and no Kerberos")]
    NoKerberos(String),
    /// The server is somebody else.
    #[error("the server is {is}, and must be {wanted}")]
    WrongServer {
        /// Who it says it is.
        is: String,
        /// What the configuration says.
        wanted: String,
    },
    /// The server offers less protection than is demanded.
    #[error("the server {0}")]
    TooWeak(#[from] TooWeak),
}

/// Opens a context with a service, for the machine.
pub type ContextOpener =
    Box<dyn FnOnce(&GssService, GssFlags) -> Result<Box<dyn SecurityContext>, GssError> + Send>;

/// The negotiation so far.
#[derive(Default)]
pub struct SaslNegotiation {
    demands: SaslDemands,
    stage: SaslStage,
}

#[derive(Default)]
enum SaslStage {
    /// NEGOTIATE was sent.
    Asked(ContextOpener),
    /// Tokens go back and forth; SUCCESS is to come when the protection was chosen.
    Authenticating {
        client: Box<GssapiClient>,
        server: String,
    },
    /// Over.
    #[default]
    Done,
}

/// What follows from a message.
pub enum SaslNext {
    /// Send this, and wait for the next message.
    Send(Sasl),
    /// It is done.
    Agreed(SaslAgreement),
}

/// What was agreed on.
pub struct SaslAgreement {
    /// Who the server has proved to be; `None` without Kerberos.
    pub server: Option<String>,
    /// What is done to each frame.
    pub protection: Protection,
    /// What does it, with protection above authentication.
    pub layer: Option<Box<dyn SecurityContext>>,
}

impl SaslNegotiation {
    /// With the message to send first.
    pub fn begin(demands: SaslDemands, open: ContextOpener) -> (SaslNegotiation, Sasl) {
        let first = Sasl {
            state: state::NEGOTIATE,
            ..Sasl::default()
        };
        (
            SaslNegotiation {
                demands,
                stage: SaslStage::Asked(open),
            },
            first,
        )
    }

    /// Takes the server's next message. May ask the KDC, and block.
    ///
    /// # Errors
    /// No agreement; no ticket; a message out of turn.
    pub fn take(&mut self, message: &Sasl) -> Result<SaslNext, RpcError> {
        let token = message.token.as_deref().unwrap_or_default();
        match (std::mem::take(&mut self.stage), message.state) {
            (SaslStage::Asked(_), state::SUCCESS) => self.simple("nothing but SIMPLE"),
            (SaslStage::Asked(open), state::NEGOTIATE) => self.choose(open, &message.auths),
            (SaslStage::Authenticating { mut client, server }, state::CHALLENGE) => {
                let answer = client.answer(token)?;
                self.stage = SaslStage::Authenticating { client, server };
                Ok(SaslNext::Send(Sasl {
                    state: state::RESPONSE,
                    token: Some(answer),
                    ..Sasl::default()
                }))
            }
            (SaslStage::Authenticating { client, server }, state::SUCCESS) => {
                let early = || RpcError::protocol("a SUCCESS before a protection was chosen");
                let protection = client.chosen().ok_or_else(early)?;
                let layer =
                    (protection > Protection::Authentication).then(|| client.into_context());
                Ok(SaslNext::Agreed(SaslAgreement {
                    server: Some(server),
                    protection,
                    layer,
                }))
            }
            (_, state) => Err(RpcError::protocol(format!(
                "a SASL message of state {state} out of turn"
            ))),
        }
    }

    fn simple(&self, offered: &str) -> Result<SaslNext, RpcError> {
        if !self.demands.simple_will_do {
            return Err(SaslRefusal::NoKerberos(offered.into()).into());
        }
        Ok(SaslNext::Agreed(SaslAgreement {
            server: None,
            protection: Protection::Authentication,
            layer: None,
        }))
    }

    fn choose(&mut self, open: ContextOpener, auths: &[SaslAuth]) -> Result<SaslNext, RpcError> {
        let Some(auth) = auths
            .iter()
            .find(|auth| auth.method == "KERBEROS" && auth.mechanism == "GSSAPI")
        else {
            let offered: Vec<_> = auths.iter().map(|auth| auth.method.as_str()).collect();
            return if offered.contains(&"SIMPLE") {
                self.simple(&offered.join(", "))
            } else {
                Err(SaslRefusal::NoKerberos(offered.join(", ")).into())
            };
        };
        let protocol = auth.protocol.as_deref().unwrap_or_default();
        let host = auth.server_id.as_deref().unwrap_or_default();
        let service = self.service(protocol, host)?;
        let most = self.demands.protection.iter().max();
        let flags = GssFlags {
            integrity: most > Some(&Protection::Authentication),
            // Wanted in any case, for a server that insists on it; it costs nothing until it is used.
            confidentiality: true,
        };
        let context = open(&service, flags)?;
        let (client, token) = GssapiClient::begin(context, self.demands.protection.clone())?;
        let server = match service {
            GssService::Principal(name) => name,
            GssService::OnHost(_) => format!("{protocol}/{host}"),
        };
        self.stage = SaslStage::Authenticating {
            client: Box::new(client),
            server,
        };
        let chosen = SaslAuth {
            challenge: None,
            ..auth.clone()
        };
        Ok(SaslNext::Send(Sasl {
            state: state::INITIATE,
            token: Some(token),
            auths: vec![chosen],
            ..Sasl::default()
        }))
    }

    /// Whom a ticket is fetched for: the server that names itself, if it is the one that is demanded.
    fn service(&self, protocol: &str, host: &str) -> Result<GssService, SaslRefusal> {
        let is = format!("{protocol}/{host}");
        let (name, realm) = match self.demands.server.as_deref() {
            Some(wanted) => wanted
                .rsplit_once('@')
                .map_or((wanted, None), |(name, realm)| (name, Some(realm))),
            None => (is.as_str(), None),
        };
        if let Some(pattern) = &self.demands.server_pattern {
            let full = realm.map_or_else(|| is.clone(), |realm| format!("{is}@{realm}"));
            let pattern_name = pattern
                .rsplit_once('@')
                .map_or(pattern.as_str(), |(name, _)| name);
            let fits = matches(pattern, &full) || (realm.is_none() && matches(pattern_name, &is));
            if !fits {
                return Err(SaslRefusal::WrongServer {
                    is: full,
                    wanted: pattern.clone(),
                });
            }
        } else if name != is {
            let wanted = self.demands.server.clone().unwrap_or_default();
            return Err(SaslRefusal::WrongServer { is, wanted });
        }
        Ok(match realm {
            Some(realm) => GssService::Principal(format!("{is}@{realm}")),
            None => GssService::OnHost(format!("{protocol}@{host}")),
        })
    }
}

/// The credential that a context is opened with; `None`: the user's own tickets.
pub(crate) fn opener(
    credential: impl FnOnce() -> Result<GssCredential, GssError> + Send + 'static,
) -> ContextOpener {
    Box::new(move |service, flags| {
        let context = GssContext::initiate(credential()?, service, flags)?;
        Ok(Box::new(context))
    })
}

/// Whether a pattern with `*` and `?` matches the whole text.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<_> = pattern.chars().collect();
    let text: Vec<_> = text.chars().collect();
    // Where to go on when what follows the last star does not fit.
    let mut p = 0;
    let mut t = 0;
    let mut retry = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests;
