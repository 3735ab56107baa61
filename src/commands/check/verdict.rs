//! The verdict on one token for programs: a line of JSON in, a line of JSON out.
//!
//! The members are those of the oracle in `tests/oracle`, which asks the Go library the same questions.

use serde::{Deserialize, Serialize};

use crate::jwt::{
    AccountJwt, ActivationJwt, AnyJwt, Body, DecodeError, GenericJwt, Issues, Jwt, MAX_TOKEN_BYTES, OperatorJwt,
    Registered, activation_hash_id,
};
use crate::key::PublicKey;

/// One question.
#[derive(Debug, Default, Deserialize)]
pub struct CheckQuestion {
    /// Copied to the answer.
    #[serde(default)]
    pub id: String,
    /// `account`, `activation`, `operator` or `generic`: decode as such and validate. `hash`: an activation hash id of
    /// `iss`, `sub` and `subject`. `nkey`: whether `key` is a public key. `any`: decode as what it is.
    #[serde(default)]
    pub kind: String,
    /// The token.
    #[serde(default)]
    pub token: String,
    /// Instead of `token`: texts to repeat and join, for very long ones.
    #[serde(default)]
    pub recipe: Vec<CheckPart>,
    /// An operator JWT; asks whether that operator signed the token.
    #[serde(default)]
    pub operator: String,
    /// Issuer, for kind `hash`.
    #[serde(default)]
    pub iss: String,
    /// Subject of the claims, for kind `hash`.
    #[serde(default)]
    pub sub: String,
    /// What is imported, for kind `hash`.
    #[serde(default)]
    pub subject: String,
    /// For kind `nkey`.
    #[serde(default)]
    pub key: String,
}

/// A text and how often it occurs.
#[derive(Debug, Deserialize)]
pub struct CheckPart {
    text: String,
    times: usize,
}

/// The answer. After a failed decode only `id` and `decode` mean something.
#[derive(Debug, Default, Serialize)]
pub struct CheckVerdict {
    /// The question's.
    pub id: String,
    /// `ok`, or why the token cannot be decoded.
    pub decode: String,
    /// For likeness with the Go library's answers; never true.
    pub panicked: bool,
    /// The kind of claims that were found, for kind `any`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Subject of the claims.
    pub sub: String,
    /// Issuer.
    pub iss: String,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires after, Unix seconds; 0: never.
    pub exp: i64,
    /// Not valid before, Unix seconds.
    pub nbf: i64,
    /// Identifier.
    pub jti: String,
    /// Name.
    pub name: String,
    /// Version of the claims.
    pub version: i64,
    /// What validation found.
    pub issues: Vec<Finding>,
    /// Whether the claims are refused whatever the time.
    pub blocking_without_time: bool,
    /// Whether the claims are refused now.
    pub blocking_with_time: bool,
    /// `ok`, or why the operator JWT of the question cannot be decoded.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operator_decode: String,
    /// Whether the operator of the question signed the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_sign: Option<bool>,
    /// The activation's hash id, or `error: ` and why there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hash_id: String,
    /// For kind `nkey`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyVerdict>,
}

/// One finding of the validation.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub text: String,
    /// Whether the claims are refused for it.
    pub blocking: bool,
    /// Whether it is about time.
    pub time_check: bool,
}

/// Whether a text is a public key.
#[derive(Debug, Serialize)]
pub struct KeyVerdict {
    /// Whether it is the one spelling of a public key, which is all that this program takes for one.
    pub canonical: bool,
}

/// Answers one question. `now` is in Unix seconds.
pub fn judge(question: &CheckQuestion, now: i64) -> CheckVerdict {
    let mut verdict = CheckVerdict { id: question.id.clone(), decode: "ok".to_owned(), ..CheckVerdict::default() };
    match question.kind.as_str() {
        "hash" => verdict.hash_id = hash_id(&question.iss, &question.sub, &question.subject),
        "nkey" => verdict.key = Some(KeyVerdict { canonical: PublicKey::parse(&question.key).is_ok() }),
        _ => {
            if let Err(reason) = verdict.judge_token(question, now) {
                verdict.decode = reason;
            }
        }
    }
    verdict
}

impl CheckVerdict {
    fn judge_token(&mut self, question: &CheckQuestion, now: i64) -> Result<(), String> {
        let said = |error: DecodeError| error.to_string();
        let text = question.text();
        // Generic claims may have any length.
        let too_long = text.len() > MAX_TOKEN_BYTES && question.kind != "generic";
        let token = if too_long { &text } else { line_ends_trimmed(&text) };
        match question.kind.as_str() {
            "account" => {
                let jwt = AccountJwt::decode(token).map_err(said)?;
                self.take(&jwt, jwt.body.common.version, &jwt.validate(now));
            }
            "operator" => {
                let jwt = OperatorJwt::decode(token).map_err(said)?;
                self.take(&jwt, jwt.body.common.version, &jwt.validate(now));
            }
            "activation" => {
                let jwt = ActivationJwt::decode(token).map_err(said)?;
                self.take(&jwt, jwt.body.common.version, &jwt.validate(now));
                self.hash_id = hash_id(&jwt.claims.iss, &jwt.claims.sub, &jwt.body.subject);
            }
            "generic" => {
                let jwt = GenericJwt::decode(token).map_err(said)?;
                self.take(&jwt, jwt.body.version(), &jwt.validate(now));
            }
            "any" => self.judge_any(&AnyJwt::decode(token).map_err(said)?, now),
            other => return Err(format!("unknown kind {other:?}")),
        }
        if !question.operator.is_empty() {
            self.ask_operator(&question.operator);
        }
        Ok(())
    }

    fn judge_any(&mut self, jwt: &AnyJwt, now: i64) {
        self.kind = jwt.body.kind().to_owned();
        self.take(jwt, jwt.version, &jwt.validate(now));
        if let Body::Activation(activation) = &jwt.body {
            self.hash_id = hash_id(&jwt.claims.iss, &jwt.claims.sub, &activation.subject);
        }
    }

    fn take<B>(&mut self, jwt: &Jwt<B>, version: i64, issues: &Issues) {
        let Registered { aud: _, jti, iss, name, sub, iat, exp, nbf } = jwt.claims.clone();
        (self.jti, self.iss, self.name, self.sub) = (jti, iss, name, sub);
        (self.iat, self.exp, self.nbf, self.version) = (iat, exp, nbf, version);
        self.blocking_without_time = issues.is_blocking(false);
        self.blocking_with_time = issues.is_blocking(true);
        self.issues = issues
            .iter()
            .map(|issue| Finding { text: issue.text.clone(), blocking: issue.blocking, time_check: issue.time_check })
            .collect();
    }

    fn ask_operator(&mut self, operator: &str) {
        let (decode, signed) = match OperatorJwt::decode(line_ends_trimmed(operator)) {
            Ok(operator) => ("ok".to_owned(), operator.did_sign(&self.iss, &self.sub)),
            Err(error) => (error.to_string(), false),
        };
        (self.operator_decode, self.did_sign) = (decode, Some(signed));
    }
}

impl CheckQuestion {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        if self.recipe.is_empty() {
            return self.token.as_str().into();
        }
        self.recipe.iter().map(|part| part.text.repeat(part.times)).collect::<String>().into()
    }
}

/// Line ends behind a token are not part of it: the Go library passes over them, and so does intake. Anything else
/// after it is judged as it is.
fn line_ends_trimmed(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

fn hash_id(iss: &str, sub: &str, subject: &str) -> String {
    activation_hash_id(iss, sub, subject).unwrap_or_else(|error| format!("error: {error}"))
}
