//! Security contexts of both sides.

use std::ptr::{null, null_mut};

use super::{
    Api, CONTINUE_NEEDED, HOST_BASED_NAME, Handle, INDEFINITE, KERBEROS, Name, Owned,
    OwnedCredential, PRINCIPAL_NAME, lent, oid, own_error,
};
use crate::gss::{GssError, GssFlags, GssStep};

// RFC 2744, appendix A.
const MUTUAL: u32 = 2;
const REPLAY: u32 = 4;
const SEQUENCE: u32 = 8;
const CONFIDENTIALITY: u32 = 16;
const INTEGRITY: u32 = 32;

impl OwnedCredential {
    pub(crate) fn initiate(
        self,
        service: &str,
        principal: bool,
        flags: GssFlags,
    ) -> Result<OwnedContext, GssError> {
        let kind = if principal {
            PRINCIPAL_NAME
        } else {
            HOST_BASED_NAME
        };
        let target = self.api.name(service, kind)?;
        let mut wanted = MUTUAL | REPLAY | SEQUENCE;
        if flags.integrity || flags.confidentiality {
            wanted |= INTEGRITY;
        }
        if flags.confidentiality {
            wanted |= CONFIDENTIALITY;
        }
        Ok(OwnedContext {
            api: self.api,
            handle: null_mut(),
            credential: self,
            side: Side::Client { target, wanted },
        })
    }

    pub(crate) fn accept(self) -> OwnedContext {
        OwnedContext {
            api: self.api,
            handle: null_mut(),
            credential: self,
            side: Side::Service,
        }
    }
}

pub(crate) struct OwnedContext {
    api: &'static Api,
    handle: Handle,
    credential: OwnedCredential,
    side: Side,
}

enum Side {
    Client { target: Name, wanted: u32 },
    Service,
}

// SAFETY: none of the functions of a context cares for the thread; that there is one call at a time is `&mut self`.
unsafe impl Send for OwnedContext {}

impl Drop for OwnedContext {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's, or null; it is deleted once, without a token for the other side.
        unsafe { (self.api.gss_delete_sec_context)(&mut 0, &raw mut self.handle, null_mut()) };
    }
}

impl OwnedContext {
    pub(crate) fn step(&mut self, token: &[u8]) -> Result<GssStep, GssError> {
        let input = lent(token);
        let mut output = Owned::new(self.api);
        let major = match &self.side {
            Side::Client { target, wanted } => {
                let kerberos = oid(KERBEROS);
                let input = if token.is_empty() {
                    null()
                } else {
                    &raw const input
                };
                // SAFETY: all handles are alive, all buffers outlive the call; out-parameters may be null where not
                // wanted.
                self.api.call(|minor| unsafe {
                    (self.api.gss_init_sec_context)(
                        minor,
                        self.credential.handle,
                        &raw mut self.handle,
                        target.handle,
                        &raw const kerberos,
                        *wanted,
                        INDEFINITE,
                        null_mut(),
                        input,
                        null_mut(),
                        &raw mut output.buffer,
                        null_mut(),
                        null_mut(),
                    )
                })?
            }
            // SAFETY: the same.
            Side::Service => self.api.call(|minor| unsafe {
                (self.api.gss_accept_sec_context)(
                    minor,
                    &raw mut self.handle,
                    self.credential.handle,
                    &raw const input,
                    null_mut(),
                    null_mut(),
                    null_mut(),
                    &raw mut output.buffer,
                    null_mut(),
                    null_mut(),
                    null_mut(),
                )
            })?,
        };
        Ok(GssStep {
            token: output.bytes().to_vec(),
            ready: major & CONTINUE_NEEDED == 0,
        })
    }

    /// The name of the client.
    pub(crate) fn initiator(&self) -> Result<String, GssError> {
        self.check()?;
        let mut name = Name {
            api: self.api,
            handle: null_mut(),
        };
        // SAFETY: the context is alive; out-parameters may be null where not wanted.
        self.api.call(|minor| unsafe {
            (self.api.gss_inquire_context)(
                minor,
                self.handle,
                &raw mut name.handle,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
            )
        })?;
        self.api.display(&name)
    }

    pub(crate) fn wrap(&mut self, message: &[u8], encrypt: bool) -> Result<Vec<u8>, GssError> {
        self.check()?;
        let input = lent(message);
        let mut output = Owned::new(self.api);
        let mut encrypted = 0;
        // SAFETY: the context is alive, the buffers outlive the call.
        self.api.call(|minor| unsafe {
            (self.api.gss_wrap)(
                minor,
                self.handle,
                encrypt.into(),
                0,
                &raw const input,
                &raw mut encrypted,
                &raw mut output.buffer,
            )
        })?;
        if encrypt && encrypted == 0 {
            return Err(own_error("the security context does not encrypt".into()));
        }
        Ok(output.bytes().to_vec())
    }

    pub(crate) fn unwrap(&mut self, message: &[u8]) -> Result<(Vec<u8>, bool), GssError> {
        self.check()?;
        let input = lent(message);
        let mut output = Owned::new(self.api);
        let mut encrypted = 0;
        // SAFETY: the context is alive, the buffers outlive the call.
        self.api.call(|minor| unsafe {
            (self.api.gss_unwrap)(
                minor,
                self.handle,
                &raw const input,
                &raw mut output.buffer,
                &raw mut encrypted,
                null_mut(),
            )
        })?;
        Ok((output.bytes().to_vec(), encrypted != 0))
    }

    fn check(&self) -> Result<(), GssError> {
        if self.handle.is_null() {
            Err(own_error("the security context is not set up".into()))
        } else {
            Ok(())
        }
    }
}
