//! Verification by comparing emoji (SAS). Client-server API v1.19, "Short Authentication String verification".

use anyhow::{Context, Result, bail, ensure};
use futures_util::{Stream, StreamExt, pin_mut};
use matrix_sdk::encryption::verification::{
    SasState, SasVerification, Verification, VerificationRequest, VerificationRequestState,
};

use crate::{device::Device, within};

/// One device asks to verify, the other agrees, both compare the emoji and confirm.
pub async fn verify_by_emoji(
    asking: &Device,
    request: VerificationRequest,
    answering: &Device,
) -> Result<()> {
    let answer = answering
        .until_verification_request(request.flow_id())
        .await;
    answer.accept().await?;
    let (asked, answered) = (start(&request).await?, joined(&answer).await?);
    let asked_emoji = emoji(&asked).await?;
    let answered_emoji = emoji(&answered).await?;
    ensure!(
        asked_emoji == answered_emoji,
        "the emoji differ: {asked_emoji:?} and {answered_emoji:?}"
    );
    asked.confirm().await?;
    answered.confirm().await?;
    done(&asked)
        .await
        .with_context(|| format!("for {}", asking.user_id()))?;
    done(&answered)
        .await
        .with_context(|| format!("for {}", answering.user_id()))
}

/// Starts comparing, once the other side is ready to.
pub async fn start(request: &VerificationRequest) -> Result<SasVerification> {
    let ready = |state: &_| matches!(state, VerificationRequestState::Ready { .. });
    until(
        "the other side is ready to verify",
        request.changes(),
        request.state(),
        ready,
    )
    .await?;
    request.start_sas().await?.context("cannot start comparing")
}

/// Joins the comparing that the other side starts.
pub async fn joined(request: &VerificationRequest) -> Result<SasVerification> {
    let started = |state: &_| matches!(state, VerificationRequestState::Transitioned { .. });
    let what = "the other side starts comparing";
    let state = until(what, request.changes(), request.state(), started).await?;
    let VerificationRequestState::Transitioned {
        verification: Verification::SasV1(sas),
    } = state
    else {
        bail!("not a comparison of emoji");
    };
    sas.accept().await?;
    Ok(sas)
}

/// The seven emoji to compare, by their names.
pub async fn emoji(sas: &SasVerification) -> Result<Vec<String>> {
    let shown = |state: &_| matches!(state, SasState::KeysExchanged { .. });
    until("the emoji are shown", sas.changes(), sas.state(), shown).await?;
    let emoji = sas.emoji().context("no emoji to compare")?;
    Ok(emoji
        .iter()
        .map(|emoji| emoji.description.to_owned())
        .collect())
}

/// Waits until both sides have confirmed.
pub async fn done(sas: &SasVerification) -> Result<()> {
    let done = |state: &_| matches!(state, SasState::Done { .. });
    until("both have confirmed", sas.changes(), sas.state(), done)
        .await
        .map(|_| ())
}

/// What a verification, or a request for one, goes through.
trait State: std::fmt::Debug {
    fn is_cancelled(&self) -> bool;
}

impl State for VerificationRequestState {
    fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }
}

impl State for SasState {
    fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }
}

/// Waits until the state is as wanted. The changes are listened to before the state of now is read
/// (arguments are evaluated in order), so none is missed.
async fn until<T: State>(
    what: &str,
    changes: impl Stream<Item = T>,
    now: T,
    wanted: impl Fn(&T) -> bool,
) -> Result<T> {
    pin_mut!(changes);
    let mut state = now;
    let reached = async {
        while !wanted(&state) {
            ensure!(!state.is_cancelled(), "before {what}: {state:?}");
            state = changes
                .next()
                .await
                .with_context(|| format!("it ended before {what}"))?;
        }
        Ok(state)
    };
    within(what, reached).await
}
