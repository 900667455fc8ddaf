//! The stories, each told twice: over `/v3/sync` and over simplified sliding sync.

#![recursion_limit = "256"]

mod devices;
mod friends;
mod passwords;
mod refresh;

/// Makes two tests of one story, an `async fn(Follow) -> anyhow::Result<()>`.
macro_rules! over_both_syncs {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            use clients::device::Follow;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_v3_sync() -> anyhow::Result<()> {
                super::tell::$story(Follow::V3).await
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_sliding_sync() -> anyhow::Result<()> {
                super::tell::$story(Follow::Sliding).await
            }
        }
    )+};
}
pub(crate) use over_both_syncs;
