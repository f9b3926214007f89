//! Credentials, and the caches that their tickets are in.

use std::{
    ffi::{CStr, CString, c_int},
    ptr::{null, null_mut},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{
    Api, Handle, INDEFINITE, KERBEROS, KeyValue, KeyValues, Name, OidSet, PRINCIPAL_NAME, c_string,
    oid,
};
use crate::gss::GssError;

// RFC 2744, appendix A.
const INITIATE: c_int = 1;
const ACCEPT: c_int = 2;

impl Api {
    /// Logs in by a keytab; the tickets live as long as the credential.
    pub(crate) fn log_in(
        &'static self,
        principal: &str,
        keytab: &str,
    ) -> Result<OwnedCredential, GssError> {
        let keytab = c_string(keytab)?;
        let cache = self.cache()?;
        let name = cache.name.clone();
        let store = [(c"client_keytab", &*keytab), (c"ccache", &name)];
        let mut credential = self.acquire(Some(principal), INITIATE, &store)?;
        credential._cache = Some(cache);
        Ok(credential)
    }

    /// Logs in by a keytab, into the default cache.
    pub(crate) fn log_in_for_process(
        &'static self,
        principal: &str,
        keytab: &str,
    ) -> Result<OwnedCredential, GssError> {
        let keytab = c_string(keytab)?;
        self.acquire(Some(principal), INITIATE, &[(c"client_keytab", &keytab)])
    }

    /// The keys of a service.
    pub(crate) fn serve(
        &'static self,
        principal: &str,
        keytab: &str,
    ) -> Result<OwnedCredential, GssError> {
        let keytab = c_string(keytab)?;
        self.acquire(Some(principal), ACCEPT, &[(c"keytab", &keytab)])
    }

    /// The tickets of this process' user.
    pub(crate) fn of_user(&'static self) -> Result<OwnedCredential, GssError> {
        self.acquire(None, INITIATE, &[])
    }

    /// A cache that no other has the name of.
    fn cache(&'static self) -> Result<OwnedCache, GssError> {
        static CACHES: AtomicU64 = AtomicU64::new(0);
        let number = CACHES.fetch_add(1, Ordering::Relaxed);
        Ok(OwnedCache {
            api: self,
            name: c_string(&format!("MEMORY:flume-{number}"))?,
        })
    }

    /// `store` says where keys and tickets are, unless they are in the default places.
    fn acquire(
        &'static self,
        principal: Option<&str>,
        usage: c_int,
        store: &[(&CStr, &CStr)],
    ) -> Result<OwnedCredential, GssError> {
        let name = principal
            .map(|principal| self.name(principal, PRINCIPAL_NAME))
            .transpose()?;
        let kerberos = oid(KERBEROS);
        let mechanisms = OidSet {
            count: 1,
            elements: &raw const kerberos,
        };
        let pair = |(key, value): &(&CStr, &CStr)| KeyValue {
            key: key.as_ptr(),
            value: value.as_ptr(),
        };
        let pairs: Vec<_> = store.iter().map(pair).collect();
        let store = KeyValues {
            count: pairs.len() as u32,
            elements: pairs.as_ptr(),
        };
        let store = if pairs.is_empty() {
            null()
        } else {
            &raw const store
        };
        let mut owned = OwnedCredential {
            api: self,
            handle: null_mut(),
            _cache: None,
        };
        self.call(|minor| {
            // SAFETY: all that is pointed to outlives the call; out-parameters may be null where not wanted.
            unsafe {
                (self.gss_acquire_cred_from)(
                    minor,
                    name.as_ref().map_or(null_mut(), |name| name.handle),
                    INDEFINITE,
                    &raw const mechanisms,
                    usage,
                    store,
                    &raw mut owned.handle,
                    null_mut(),
                    null_mut(),
                )
            }
        })?;
        Ok(owned)
    }
}

/// A cache of tickets in memory, of this process alone.
pub(crate) struct OwnedCache {
    api: &'static Api,
    name: CString,
}

impl Drop for OwnedCache {
    /// Forgets the tickets: the library keeps them for the life of the process otherwise.
    fn drop(&mut self) {
        let mut context = null_mut();
        let mut cache = null_mut();
        // SAFETY: each handle is used only after the call that fills it in has succeeded, and is given back once.
        unsafe {
            if (self.api.krb5_init_context)(&raw mut context) != 0 {
                return;
            }
            if (self.api.krb5_cc_resolve)(context, self.name.as_ptr(), &raw mut cache) == 0 {
                (self.api.krb5_cc_destroy)(context, cache);
            }
            (self.api.krb5_free_context)(context);
        }
    }
}

pub(crate) struct OwnedCredential {
    pub(super) api: &'static Api,
    pub(super) handle: Handle,
    /// Forgotten after the handle is released: fields are dropped after `drop`.
    _cache: Option<OwnedCache>,
}

// SAFETY: MIT's credentials have a lock of their own, and none of their functions cares for the thread.
unsafe impl Send for OwnedCredential {}

impl Drop for OwnedCredential {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's, or null; it is released once.
        unsafe { (self.api.gss_release_cred)(&mut 0, &raw mut self.handle) };
    }
}

impl OwnedCredential {
    /// Its principal, and seconds until it expires.
    pub(crate) fn inquire(&self) -> Result<(String, u32), GssError> {
        let mut name = Name {
            api: self.api,
            handle: null_mut(),
        };
        let mut seconds = 0;
        // SAFETY: the handle is alive; out-parameters may be null where not wanted.
        self.api.call(|minor| unsafe {
            (self.api.gss_inquire_cred)(
                minor,
                self.handle,
                &raw mut name.handle,
                &raw mut seconds,
                null_mut(),
                null_mut(),
            )
        })?;
        Ok((self.api.display(&name)?, seconds))
    }
}
