//! Calls that may block.

/// Runs a call where it holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    let outcome = tokio::task::spawn_blocking(call).await;
    // It is never cancelled, so what is left is its panic.
    outcome.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
