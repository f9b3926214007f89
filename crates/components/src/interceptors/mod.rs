//! Interceptors. To add one: write its file, then add its two lines here.

mod dedupe;
mod grok;
mod grok_patterns;
mod host;
mod json_extract;
mod regex_extractor;
mod regex_filter;
mod remove_header;
mod sample;
mod search;
mod search_replace;
mod r#static;
mod throttle;
mod timestamp;
mod uuid;

use flume_core::{Event, Headers, Interceptor, Registration, Str};

/// Every interceptor in this crate. Order is the order of the reference manual.
#[rustfmt::skip]
pub(crate) const INTERCEPTORS: &[Registration<dyn Interceptor>] = &[
    Registration::interceptor::<timestamp::TimestampInterceptor>("timestamp", "org.apache.flume.interceptor.TimestampInterceptor$Builder"),
    Registration::interceptor::<host::HostInterceptor>("host", "org.apache.flume.interceptor.HostInterceptor$Builder"),
    Registration::interceptor::<r#static::StaticInterceptor>("static", "org.apache.flume.interceptor.StaticInterceptor$Builder"),
    Registration::interceptor::<regex_filter::RegexFilterInterceptor>("regex_filter", "org.apache.flume.interceptor.RegexFilteringInterceptor$Builder"),
    Registration::interceptor::<regex_extractor::RegexExtractorInterceptor>("regex_extractor", "org.apache.flume.interceptor.RegexExtractorInterceptor$Builder"),
    Registration::interceptor::<search_replace::SearchReplaceInterceptor>("search_replace", "org.apache.flume.interceptor.SearchAndReplaceInterceptor$Builder"),
    Registration::interceptor::<remove_header::RemoveHeaderInterceptor>("remove_header", "org.apache.flume.interceptor.RemoveHeaderInterceptor$Builder"),
    Registration::interceptor::<uuid::UuidInterceptor>("uuid", "org.apache.flume.sink.solr.morphline.UUIDInterceptor$Builder"),
    Registration::interceptor::<json_extract::JsonExtractInterceptor>("json_extract", ""),
    Registration::interceptor::<grok::GrokInterceptor>("grok", ""),
    Registration::interceptor::<sample::SampleInterceptor>("sample", ""),
    Registration::interceptor::<dedupe::DedupeInterceptor>("dedupe", ""),
    Registration::interceptor::<throttle::ThrottleInterceptor>("throttle", ""),
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
