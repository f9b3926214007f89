//! `json_extract`: fields of a JSON body as headers.

use flume_core::{
    BuildError, Component, Config, Context, Event, InterceptError, Interceptor, Str,
    config::{Prefix, Scalar},
    metrics::Counter,
};
use flume_wire::json::{FieldPath, FieldPaths};

/// Copies fields of a JSON body into headers. Text comes without quotes; numbers and `true` or `false` as they are
/// written; arrays and objects as JSON. A field that is absent or `null` sets nothing. A body that is not JSON passes
/// unchanged; `JsonUnreadableCount` counts these. Not an interceptor of Flume.
#[derive(Clone, Config)]
pub(super) struct JsonExtractConfig {
    /// `fields.HEADER`: the place of the value for this header, as a JSON pointer (`/user/name`, `/tags/0`) or as a path
    /// (`$.user.name`, `$.tags[0]`, `$['a.b']`).
    #[prop("fields")]
    fields: Prefix<JsonPlace>,
    /// Whether a header that is already there stays.
    #[prop("preserveExisting", default = false)]
    preserve_existing: bool,
}

#[derive(Clone)]
struct JsonPlace(FieldPath);

impl Scalar for JsonPlace {
    const TYPE: &'static str = "JSON pointer";
    fn parse(text: &str) -> Result<Self, String> {
        FieldPath::parse(text)
            .map(JsonPlace)
            .map_err(|wrong| format!("a JSON pointer `/a/b` or a path `$.a.b` ({wrong})"))
    }
}

pub(super) struct JsonExtractInterceptor {
    paths: FieldPaths,
    /// In the order of the paths.
    names: Vec<Str>,
    preserve_existing: bool,
    unreadable: Counter,
}

impl Component for JsonExtractInterceptor {
    type Config = JsonExtractConfig;
    fn build(config: JsonExtractConfig, cx: &Context) -> Result<Self, BuildError> {
        let fields = config.fields.0;
        if fields.is_empty() {
            let text = "no field is named, so nothing is extracted; set `fields.HEADER = /place`";
            return Err(BuildError::at("fields", text));
        }
        Ok(JsonExtractInterceptor {
            names: fields.keys().map(|name| Str::from(name.clone())).collect(),
            paths: FieldPaths::new(fields.into_values().map(|place| place.0)),
            preserve_existing: config.preserve_existing,
            unreadable: cx.metrics.counter("JsonUnreadableCount"),
        })
    }
}

impl Interceptor for JsonExtractInterceptor {
    fn intercept(&self, batch: &mut Vec<Event>) -> Result<(), InterceptError> {
        for event in batch {
            let Ok(values) = self.paths.values(&event.body) else {
                self.unreadable.add(1);
                continue;
            };
            for (name, value) in self.names.iter().zip(values) {
                let Some(value) = value else { continue };
                if !self.preserve_existing || event.headers.get(name).is_none() {
                    event.headers.set(name.clone(), value.into());
                }
            }
        }
        Ok(())
    }

    fn may_set(&self, name: &str) -> bool {
        self.names.iter().any(|known| &**known == name)
    }
}
