//! How a component of a plan comes to be.

use crate::{BuildError, Context, component::Constructor};

/// Builds a component as often as wanted. The first one may be tried out before anything runs; whoever takes the
/// component gets that one.
pub struct Recipe<K: ?Sized> {
    build: Constructor<K>,
    first: Option<(Context, Box<K>)>,
}

impl<K: ?Sized> Recipe<K> {
    /// Nothing is built yet.
    pub fn new(build: Constructor<K>) -> Self {
        Recipe { build, first: None }
    }

    /// Builds the first one.
    pub fn try_out(&mut self, cx: Context) -> Result<&K, BuildError> {
        let built = (self.build)(&cx)?;
        let (_, component) = self.first.insert((cx, built));
        Ok(component)
    }

    /// The first one, if it was tried out and nobody has taken it.
    pub fn first(&self) -> Option<&K> {
        self.first.as_ref().map(|(_, component)| &**component)
    }

    /// The first one with the context that it was built with; without one, a component with this context.
    pub fn take(&mut self, cx: Context) -> Result<(Context, Box<K>), BuildError> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => (self.build)(&cx).map(|component| (cx, component)),
        }
    }

    /// What builds more of them.
    pub fn constructor(&self) -> Constructor<K> {
        self.build.clone()
    }
}
