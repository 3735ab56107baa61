//! The OpenAPI document, and whether answers are as it says.

use serde_json::Value;

use super::Http;

/// The OpenAPI document of the API.
pub(crate) struct Document(pub(crate) Value);

impl Document {
    pub(crate) async fn of(http: &Http) -> Self {
        Self(http.get("/api/v1/openapi.json").await.expect(200).json())
    }

    /// Fails the test unless an answer of a route is as the document says.
    #[track_caller]
    pub(crate) fn check(&self, route: &str, answer: &Value) {
        let schema = &self.0["paths"][route]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{route} is not described");
        assert_eq!(self.faults(schema, answer, route), Vec::<String>::new(), "{answer}");
    }

    /// What a schema refers to.
    fn resolved<'d>(&'d self, schema: &'d Value) -> &'d Value {
        match schema["$ref"].as_str() {
            Some(place) => self.0.pointer(place.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("no {place}")),
            None => schema,
        }
    }

    /// The members of an object's schema, and which of them are required; also of those that it is made of.
    fn members<'d>(&'d self, schema: &'d Value) -> (Vec<(&'d String, &'d Value)>, Vec<&'d str>) {
        let schema = self.resolved(schema);
        let (mut members, mut required) = (Vec::new(), Vec::new());
        members.extend(schema["properties"].as_object().into_iter().flatten());
        required.extend(schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()));
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let (more, needed) = self.members(part);
            members.extend(more);
            required.extend(needed);
        }
        (members, required)
    }

    /// What of a value is not as its schema says.
    pub(crate) fn faults(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let schema = self.resolved(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let fits = choices.iter().filter(|choice| self.faults(choice, value, at).is_empty()).count();
            return if fits == 1 { Vec::new() } else { vec![format!("{at} fits {fits} of {schema}: {value}")] };
        }
        let is_object = !self.members(schema).0.is_empty();
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().map(|one| one.as_str().unwrap()).collect(),
            _ if is_object => vec!["object"],
            _ => return Vec::new(),
        };
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = types.contains(&found) || found == "integer" && types.contains(&"number");
        if !fits {
            return vec![format!("{at} is {found}, not {types:?}")];
        }
        let mut faults = Vec::new();
        for (place, item) in value.as_array().into_iter().flatten().enumerate() {
            faults.extend(self.faults(&schema["items"], item, &format!("{at}[{place}]")));
        }
        if let (Some(object), true) = (value.as_object(), is_object) {
            let (members, required) = self.members(schema);
            faults.extend(
                required
                    .iter()
                    .filter(|name| !object.contains_key(**name))
                    .map(|name| format!("{at}.{name} is missing")),
            );
            for (name, value) in object {
                match members.iter().find(|(known, _)| *known == name) {
                    Some((_, schema)) => faults.extend(self.faults(schema, value, &format!("{at}.{name}"))),
                    None => faults.push(format!("{at}.{name} is not in the schema")),
                }
            }
        }
        faults
    }
}
