//! Interceptors. To add one: write its file, then add its two lines here.

mod r#static;

use flume_core::{Interceptor, Registration};

/// Every interceptor in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub const INTERCEPTORS: &[Registration<dyn Interceptor>] = &[
    Registration::interceptor::<r#static::StaticInterceptor>("static", "org.apache.flume.interceptor.StaticInterceptor$Builder"),
];
