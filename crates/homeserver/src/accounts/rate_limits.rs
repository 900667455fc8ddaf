//! Rate limits of signing in and registering, per account and per client address: token buckets, bounded in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::Homeserver;

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Attempts to sign in from an address.
    LoginFrom(Network),
    /// Failed attempts on one account, by what was typed: accounts that do not exist are counted alike.
    LoginAs(String),
    /// Registrations from an address.
    RegisterFrom(Network),
    /// Looks at names and registration tokens from an address.
    LookFrom(Network),
}

/// An address as limits count it: of IPv6, the /64 that one household is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
            v4 => v4,
        })
    }
}

/// How much may happen at once, and how soon one more may.
struct Rate {
    burst: u32,
    refill_ms: u64,
}

impl Counted {
    fn rate(&self) -> Rate {
        match self {
            // A household or an office signs in through one address, each with several devices.
            Counted::LoginFrom(_) => Rate {
                burst: 30,
                refill_ms: 2_000,
            },
            // 10 guesses at once and 2 a minute: far from any list of common passwords.
            Counted::LoginAs(_) => Rate {
                burst: 10,
                refill_ms: 30_000,
            },
            // A party of friends registers within minutes; a script does not get far.
            Counted::RegisterFrom(_) => Rate {
                burst: 20,
                refill_ms: 15_000,
            },
            // A form that looks while somebody types.
            Counted::LookFrom(_) => Rate {
                burst: 60,
                refill_ms: 1_000,
            },
        }
    }
}

/// Buckets held: at about 100 bytes each. Full ones are forgotten first, as they say nothing.
const BUCKETS_MAX: usize = 50_000;

/// Buckets that are not full.
#[derive(Default)]
pub struct RateLimits {
    // Held for arithmetic alone, never across an await.
    buckets: Mutex<HashMap<Counted, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// Left, in thousandths.
    left: u64,
    at_ms: u64,
}

/// Too much was asked: one more may come after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; the next may be made in {retry_after_ms} ms")]
pub struct TooMany {
    pub retry_after_ms: u64,
}

/// Counts one attempt, or refuses it. Counts nothing where limits are off.
pub fn take(hs: &Homeserver, counted: Counted) -> Result<(), TooMany> {
    if !hs.settings.limits {
        return Ok(());
    }
    hs.accounts.limits.take(counted, hs.now_ms())
}

/// Takes an attempt back: it succeeded, so it was no guess.
pub fn give_back(hs: &Homeserver, counted: &Counted) {
    let mut buckets = hs.accounts.limits.lock();
    if let Some(bucket) = buckets.get_mut(counted) {
        bucket.left = (bucket.left + 1000).min(u64::from(counted.rate().burst) * 1000);
    }
}

impl RateLimits {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Counted, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, counted: Counted, now_ms: u64) -> Result<(), TooMany> {
        let rate = counted.rate();
        let mut buckets = self.lock();
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&counted) {
            buckets.retain(|counted, bucket| bucket.is_partly_used(&counted.rate(), now_ms));
            if buckets.len() >= BUCKETS_MAX {
                // So many at once is an attack from everywhere: forget the past of some rather than refuse everybody.
                let some: Vec<_> = buckets.keys().take(BUCKETS_MAX / 8).cloned().collect();
                for counted in some {
                    buckets.remove(&counted);
                }
            }
        }
        let bucket = buckets.entry(counted).or_insert(Bucket {
            left: u64::from(rate.burst) * 1000,
            at_ms: now_ms,
        });
        bucket.left = bucket.left_at(&rate, now_ms);
        bucket.at_ms = now_ms;
        if bucket.left < 1000 {
            let retry_after_ms = (1000 - bucket.left) * rate.refill_ms / 1000;
            return Err(TooMany {
                retry_after_ms: retry_after_ms.max(1),
            });
        }
        bucket.left -= 1000;
        Ok(())
    }
}

impl Bucket {
    fn left_at(&self, rate: &Rate, now_ms: u64) -> u64 {
        let refilled = now_ms.saturating_sub(self.at_ms).saturating_mul(1000) / rate.refill_ms;
        (self.left.saturating_add(refilled)).min(u64::from(rate.burst) * 1000)
    }

    fn is_partly_used(&self, rate: &Rate, now_ms: u64) -> bool {
        self.left_at(rate, now_ms) < u64::from(rate.burst) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_with_time() {
        let limits = RateLimits::default();
        let ada = || Counted::LoginAs("ada".into());
        for _ in 0..10 {
            limits.take(ada(), 1_000).unwrap();
        }
        assert_eq!(
            limits.take(ada(), 1_000),
            Err(TooMany {
                retry_after_ms: 30_000
            })
        );
        assert_eq!(
            limits.take(ada(), 16_000),
            Err(TooMany {
                retry_after_ms: 15_000
            })
        );
        limits.take(ada(), 31_000).unwrap();
        limits.take(Counted::LoginAs("eve".into()), 1_000).unwrap();
    }

    #[test]
    fn memory_is_bounded() {
        let limits = RateLimits::default();
        for number in 0..BUCKETS_MAX + 10 {
            limits
                .take(Counted::LoginAs(number.to_string()), 0)
                .unwrap();
        }
        assert!(limits.lock().len() <= BUCKETS_MAX);
    }

    #[test]
    fn one_household_is_one_address() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
