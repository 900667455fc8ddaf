//! Push rules: client-server API v1.19, "Push Rules: API".

use homeserver::Requester;
use homeserver::push_rules::{PushRuleError, edit, ruleset};
use http::{Method, StatusCode};
use room::push::{EditError, Kind, Neighbours, Rule, Ruleset};
use serde::Deserialize;
use serde_json::{Value, json};

use super::account_data::sentence;
use crate::router::{Route, route};
use crate::{ApiError, Json, PathArgs, Query, State};

pub(super) fn routes() -> Vec<Route> {
    const ALL: &str = "/_matrix/client/v3/pushrules/";
    const GLOBAL: &str = "/_matrix/client/v3/pushrules/global/";
    const RULE: &str = "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}";
    const ACTIONS: &str = "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/actions";
    const ENABLED: &str = "/_matrix/client/v3/pushrules/global/{kind}/{ruleId}/enabled";
    vec![
        route(Method::GET, ALL, get_all),
        // Clients ask without the slash at the end too.
        route(Method::GET, "/_matrix/client/v3/pushrules", get_all),
        route(Method::GET, GLOBAL, get_global),
        route(
            Method::GET,
            "/_matrix/client/v3/pushrules/global",
            get_global,
        ),
        route(Method::GET, RULE, get_rule),
        route(Method::PUT, RULE, put_rule),
        route(Method::DELETE, RULE, delete_rule),
        route(Method::GET, ACTIONS, get_actions),
        route(Method::PUT, ACTIONS, put_actions),
        route(Method::GET, ENABLED, get_enabled),
        route(Method::PUT, ENABLED, put_enabled),
    ]
}

type Shared = axum::extract::State<State>;

impl From<PushRuleError> for ApiError {
    fn from(error: PushRuleError) -> Self {
        let sentence = sentence(&error);
        let bad = |errcode| ApiError::new(StatusCode::BAD_REQUEST, errcode, sentence.clone());
        match error {
            PushRuleError::Edit(EditError::UnknownRule) => ApiError::not_found(sentence),
            PushRuleError::Edit(EditError::UnknownNeighbour(_)) => bad("M_UNKNOWN"),
            PushRuleError::Edit(EditError::ServerDefault | EditError::BadRuleId) => {
                bad("M_INVALID_PARAM")
            }
            PushRuleError::Edit(EditError::Malformed(_)) => bad("M_BAD_JSON"),
            PushRuleError::Edit(EditError::TooMany) => {
                ApiError::new(StatusCode::FORBIDDEN, "M_RESOURCE_LIMIT_EXCEEDED", sentence)
            }
            PushRuleError::Storage(error) => error.into(),
        }
    }
}

fn kind_of(path: &PathArgs) -> Result<Kind, ApiError> {
    let kind = path.get("kind");
    Kind::parse(kind).ok_or_else(|| {
        ApiError::invalid_param(format!(
            "{kind:?} is no kind of push rule; there are override, underride, sender, room and content."
        ))
    })
}

fn rule_of<'r>(rules: &'r Ruleset, path: &PathArgs) -> Result<&'r Rule, ApiError> {
    rules
        .rule(kind_of(path)?, path.get("ruleId"))
        .ok_or_else(|| ApiError::not_found("There is no such push rule."))
}

async fn get_all(
    axum::extract::State(state): Shared,
    requester: Requester,
) -> Result<Json<Value>, ApiError> {
    let rules = ruleset(&state.hs, &requester).await?;
    Ok(Json(json!({ "global": rules })))
}

async fn get_global(
    axum::extract::State(state): Shared,
    requester: Requester,
) -> Result<Json<Ruleset>, ApiError> {
    Ok(Json(ruleset(&state.hs, &requester).await?))
}

async fn get_rule(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Rule>, ApiError> {
    let rules = ruleset(&state.hs, &requester).await?;
    Ok(Json(rule_of(&rules, &path)?.clone()))
}

#[derive(Deserialize)]
struct RuleBody {
    actions: Option<Vec<Value>>,
    conditions: Option<Vec<Value>>,
    pattern: Option<String>,
}

#[derive(Deserialize)]
struct Beside {
    before: Option<String>,
    after: Option<String>,
}

async fn put_rule(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Query(beside): Query<Beside>,
    Json(body): Json<RuleBody>,
) -> Result<Json<Value>, ApiError> {
    let kind = kind_of(&path)?;
    let actions = body
        .actions
        .ok_or_else(|| ApiError::missing_param("The body has no `actions`."))?;
    let rule = Rule {
        actions,
        conditions: body.conditions,
        default: false,
        enabled: true,
        pattern: body.pattern,
        rule_id: path.get("ruleId").to_owned(),
    };
    edit(&state.hs, &requester, move |rules| {
        let beside = Neighbours {
            before: beside.before.as_deref(),
            after: beside.after.as_deref(),
        };
        rules.put(kind, rule.clone(), beside)
    })
    .await?;
    Ok(Json(json!({})))
}

async fn delete_rule(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let (kind, rule_id) = (kind_of(&path)?, path.get("ruleId").to_owned());
    edit(&state.hs, &requester, move |rules| {
        rules.delete(kind, &rule_id)
    })
    .await?;
    Ok(Json(json!({})))
}

async fn get_actions(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let rules = ruleset(&state.hs, &requester).await?;
    Ok(Json(json!({ "actions": rule_of(&rules, &path)?.actions })))
}

#[derive(Deserialize)]
struct ActionsBody {
    actions: Option<Vec<Value>>,
}

async fn put_actions(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<ActionsBody>,
) -> Result<Json<Value>, ApiError> {
    let (kind, rule_id) = (kind_of(&path)?, path.get("ruleId").to_owned());
    let actions = body
        .actions
        .ok_or_else(|| ApiError::missing_param("The body has no `actions`."))?;
    edit(&state.hs, &requester, move |rules| {
        rules.set_actions(kind, &rule_id, actions.clone())
    })
    .await?;
    Ok(Json(json!({})))
}

async fn get_enabled(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
) -> Result<Json<Value>, ApiError> {
    let rules = ruleset(&state.hs, &requester).await?;
    Ok(Json(json!({ "enabled": rule_of(&rules, &path)?.enabled })))
}

#[derive(Deserialize)]
struct EnabledBody {
    enabled: Option<bool>,
}

async fn put_enabled(
    axum::extract::State(state): Shared,
    requester: Requester,
    path: PathArgs,
    Json(body): Json<EnabledBody>,
) -> Result<Json<Value>, ApiError> {
    let (kind, rule_id) = (kind_of(&path)?, path.get("ruleId").to_owned());
    let enabled = body
        .enabled
        .ok_or_else(|| ApiError::missing_param("The body has no `enabled`."))?;
    edit(&state.hs, &requester, move |rules| {
        rules.set_enabled(kind, &rule_id, enabled)
    })
    .await?;
    Ok(Json(json!({})))
}
