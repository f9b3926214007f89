//! Interceptors. To add one: write its file, then add its two lines here.

mod host;
mod r#static;
mod timestamp;

use flume_core::{Event, Headers, Interceptor, Registration, Str};

/// Every interceptor in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const INTERCEPTORS: &[Registration<dyn Interceptor>] = &[
    Registration::interceptor::<timestamp::TimestampInterceptor>("timestamp", "org.apache.flume.interceptor.TimestampInterceptor$Builder"),
    Registration::interceptor::<host::HostInterceptor>("host", "org.apache.flume.interceptor.HostInterceptor$Builder"),
    Registration::interceptor::<r#static::StaticInterceptor>("static", "org.apache.flume.interceptor.StaticInterceptor$Builder"),
];

/// Gives every event of a batch the same header. Events that come without any share one allocation.
fn set_header(batch: &mut [Event], name: &Str, value: &Str, preserve_existing: bool) {
    let alone = Headers::from_iter([(name.clone(), value.clone())]);
    for Event { headers, .. } in batch {
        if headers.is_empty() {
            *headers = alone.clone();
        } else if !preserve_existing || headers.get(name).is_none() {
            headers.set(name.clone(), value.clone());
        }
    }
}
