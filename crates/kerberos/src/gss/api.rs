//! The C functions, their types, and owners of what they hand out.

mod context;
mod credential;

use std::{
    ffi::{CString, c_char, c_int, c_void},
    mem::ManuallyDrop,
    ptr::null_mut,
    slice,
    sync::OnceLock,
};

use libloading::Library;

pub(super) use context::OwnedContext;
pub(super) use credential::OwnedCredential;

use super::GssError;

/// Debian's and RHEL's name; the bare one comes with development files only.
const LIBRARY: &str = "libgssapi_krb5.so.2";

// RFC 2744, appendix A.
const INDEFINITE: u32 = u32::MAX;
const CONTINUE_NEEDED: u32 = 1;
const ERROR_BITS: u32 = 0xffff_0000;
const BY_GSS: c_int = 1;
const BY_MECHANISM: c_int = 2;

/// 1.2.840.113554.1.2.2
static KERBEROS: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// 1.2.840.113554.1.2.2.1
static PRINCIPAL_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01";
/// 1.2.840.113554.1.2.1.4
static HOST_BASED_NAME: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x01\x04";

type Handle = *mut c_void;

#[repr(C)]
struct Buffer {
    length: usize,
    value: *mut c_void,
}

#[repr(C)]
struct Oid {
    length: u32,
    elements: *const c_void,
}

#[repr(C)]
struct OidSet {
    count: usize,
    elements: *const Oid,
}

#[repr(C)]
struct KeyValue {
    key: *const c_char,
    value: *const c_char,
}

#[repr(C)]
struct KeyValues {
    count: u32,
    elements: *const KeyValue,
}

macro_rules! functions {
    ($($name:ident($($argument:ty),*);)*) => {
        /// The functions of the library, which is never unloaded.
        pub(crate) struct Api {
            $($name: unsafe extern "C" fn(*mut u32, $($argument),*) -> u32,)*
            krb5_init_context: unsafe extern "C" fn(*mut Handle) -> i32,
            krb5_free_context: unsafe extern "C" fn(Handle),
            krb5_cc_resolve: unsafe extern "C" fn(Handle, *const c_char, *mut Handle) -> i32,
            krb5_cc_destroy: unsafe extern "C" fn(Handle, Handle) -> i32,
        }

        impl Api {
            fn load() -> Result<Api, libloading::Error> {
                // SAFETY: the library's initializers are those of a system library that other programs load as well.
                let library = ManuallyDrop::new(unsafe { Library::new(LIBRARY) }?);
                Ok(Api {
                    // SAFETY: the types are those of RFC 2744 and MIT's `gssapi_ext.h`; the library stays loaded.
                    $($name: unsafe { *library.get(concat!(stringify!($name), "\0").as_bytes())? },)*
                    // SAFETY: the same, for `krb5.h`; these come with a library that the first one needs.
                    krb5_init_context: unsafe { *library.get(b"krb5_init_context\0")? },
                    // SAFETY: as above.
                    krb5_free_context: unsafe { *library.get(b"krb5_free_context\0")? },
                    // SAFETY: as above.
                    krb5_cc_resolve: unsafe { *library.get(b"krb5_cc_resolve\0")? },
                    // SAFETY: as above.
                    krb5_cc_destroy: unsafe { *library.get(b"krb5_cc_destroy\0")? },
                })
            }
        }
    };
}

functions! {
    gss_import_name(*const Buffer, *const Oid, *mut Handle);
    gss_display_name(Handle, *mut Buffer, *mut *const Oid);
    gss_release_name(*mut Handle);
    gss_release_buffer(*mut Buffer);
    gss_acquire_cred_from(Handle, u32, *const OidSet, c_int, *const KeyValues, *mut Handle, *mut Handle, *mut u32);
    gss_inquire_cred(Handle, *mut Handle, *mut u32, *mut c_int, *mut Handle);
    gss_release_cred(*mut Handle);
    gss_init_sec_context(
        Handle, *mut Handle, Handle, *const Oid, u32, u32, Handle, *const Buffer, *mut Handle, *mut Buffer, *mut u32,
        *mut u32
    );
    gss_accept_sec_context(
        *mut Handle, Handle, *const Buffer, Handle, *mut Handle, *mut *const Oid, *mut Buffer, *mut u32, *mut u32,
        *mut Handle
    );
    gss_inquire_context(
        Handle, *mut Handle, *mut Handle, *mut u32, *mut *const Oid, *mut u32, *mut c_int, *mut c_int
    );
    gss_delete_sec_context(*mut Handle, *mut Buffer);
    gss_wrap(Handle, c_int, u32, *const Buffer, *mut c_int, *mut Buffer);
    gss_unwrap(Handle, *const Buffer, *mut Buffer, *mut c_int, *mut u32);
    gss_display_status(u32, c_int, *const Oid, *mut u32, *mut Buffer);
}

unsafe extern "C" {
    /// Ends the process at once: it may be called at any time, and nothing comes after it.
    pub(crate) safe fn _exit(status: c_int) -> !;
}

fn oid(bytes: &'static [u8]) -> Oid {
    Oid {
        length: bytes.len() as u32,
        elements: bytes.as_ptr().cast(),
    }
}

/// Bytes lent to the library, which only reads them.
fn lent(bytes: &[u8]) -> Buffer {
    Buffer {
        length: bytes.len(),
        value: bytes.as_ptr().cast_mut().cast(),
    }
}

fn empty() -> Buffer {
    Buffer {
        length: 0,
        value: null_mut(),
    }
}

/// No function of the library failed: an argument or the library itself is at fault.
fn own_error(text: String) -> GssError {
    GssError {
        major: 0,
        minor: 0,
        text,
    }
}

fn c_string(text: &str) -> Result<CString, GssError> {
    CString::new(text)
        .map_err(|_| own_error(format!("`{}` has a zero byte in it", text.escape_debug())))
}

impl Api {
    /// The library, loaded at the first call.
    pub(crate) fn get() -> Result<&'static Api, GssError> {
        static LOADED: OnceLock<Result<Api, String>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| Api::load().map_err(|error| error.to_string()));
        loaded
            .as_ref()
            .map_err(|error| own_error(format!("the Kerberos library is not there: {error}")))
    }

    fn name(&'static self, text: &str, kind: &'static [u8]) -> Result<Name, GssError> {
        c_string(text)?;
        let buffer = lent(text.as_bytes());
        let kind = oid(kind);
        let mut owned = Name {
            api: self,
            handle: null_mut(),
        };
        // SAFETY: the arguments outlive the call, which copies them.
        self.call(|minor| unsafe {
            (self.gss_import_name)(
                minor,
                &raw const buffer,
                &raw const kind,
                &raw mut owned.handle,
            )
        })?;
        Ok(owned)
    }

    fn display(&'static self, name: &Name) -> Result<String, GssError> {
        let mut text = Owned::new(self);
        // SAFETY: the name is alive; the buffer is released by its owner.
        self.call(|minor| unsafe {
            (self.gss_display_name)(minor, name.handle, &raw mut text.buffer, null_mut())
        })?;
        Ok(String::from_utf8_lossy(text.bytes()).into_owned())
    }

    /// Makes a call; its status is told apart at once, for the library remembers details by thread.
    fn call(&self, function: impl FnOnce(*mut u32) -> u32) -> Result<u32, GssError> {
        let mut minor = 0;
        let major = function(&raw mut minor);
        if major & ERROR_BITS == 0 {
            Ok(major)
        } else {
            Err(self.error(major, minor))
        }
    }

    fn error(&self, major: u32, minor: u32) -> GssError {
        let mut texts = self.statuses(minor, BY_MECHANISM);
        // A status of GSSAPI alone has no other of Kerberos, which calls that a success.
        texts.retain(|text| minor != 0 && !text.is_empty() && text != "Success");
        if texts.is_empty() {
            texts = self.statuses(major, BY_GSS);
        }
        GssError {
            major,
            minor: minor.cast_signed(),
            text: texts.join(", "),
        }
    }

    /// What the library says about a status. It ends: a few lines at most.
    fn statuses(&self, status: u32, kind: c_int) -> Vec<String> {
        let kerberos = oid(KERBEROS);
        let mut more = 0;
        let mut texts = vec![];
        while texts.len() < 8 {
            let mut minor = 0;
            let mut text = Owned::new(self);
            // SAFETY: the buffer is released by its owner; the rest is plain values and outlives the call.
            let major = unsafe {
                (self.gss_display_status)(
                    &raw mut minor,
                    status,
                    kind,
                    &raw const kerberos,
                    &raw mut more,
                    &raw mut text.buffer,
                )
            };
            if major & ERROR_BITS != 0 {
                break;
            }
            texts.push(String::from_utf8_lossy(text.bytes()).into_owned());
            if more == 0 {
                break;
            }
        }
        texts
    }
}

/// A buffer that the library allocated.
struct Owned<'a> {
    api: &'a Api,
    buffer: Buffer,
}

impl<'a> Owned<'a> {
    /// For the library to fill.
    fn new(api: &'a Api) -> Self {
        let buffer = empty();
        Owned { api, buffer }
    }

    fn bytes(&self) -> &[u8] {
        if self.buffer.value.is_null() {
            return &[];
        }
        // SAFETY: the library filled in the pointer and how many bytes are there; they live until the release.
        unsafe { slice::from_raw_parts(self.buffer.value.cast(), self.buffer.length) }
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        // SAFETY: the buffer is the library's, or empty; it is released once.
        unsafe { (self.api.gss_release_buffer)(&mut 0, &raw mut self.buffer) };
    }
}

struct Name {
    api: &'static Api,
    handle: Handle,
}

// SAFETY: the library keeps no thread with a name.
unsafe impl Send for Name {}

impl Drop for Name {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's, or null; it is released once.
        unsafe { (self.api.gss_release_name)(&mut 0, &raw mut self.handle) };
    }
}
