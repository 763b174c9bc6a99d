//! Parts of OpenAPI descriptions that all APIs of the server share. Written by hand instead of derived
//! with utoipa and schemars: most bodies are JSON of other APIs that no Rust type describes.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::named_enum::Named;

/// Names of an enum.
pub(crate) fn names_of<T: Named>() -> Vec<&'static str> {
    T::ALL.iter().map(|row| row.1).collect()
}

/// Reference to a schema.
pub(crate) fn schema_ref(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// Response with a body of this schema.
pub(crate) fn response(description: &str, media_type: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { media_type: { "schema": schema } } })
}

/// Response with a JSON body of this schema.
pub(crate) fn json_body(description: &str, schema: Value) -> Value {
    response(description, "application/json", schema)
}

/// Object schema; all properties but `optional` are required.
pub(crate) fn object(properties: Value, optional: &[&str]) -> Value {
    let names = properties.as_object().into_iter().flat_map(Map::keys);
    let required: Vec<&String> = names
        .filter(|name| !optional.contains(&name.as_str()))
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// Object with the properties of all parts.
pub(crate) fn merge(parts: impl IntoIterator<Item = Value>) -> Value {
    let mut merged = Map::new();
    for part in parts {
        if let Value::Object(part) = part {
            merged.extend(part);
        }
    }
    Value::Object(merged)
}

/// Errors of every operation with a request body.
pub(crate) const BODY_ERRORS: &[&str] = &["400", "408", "413", "415", "422", "503"];

/// Response with problem details.
pub(crate) fn problem() -> Value {
    let schema = schema_ref("Problem");
    response("What is wrong.", "application/problem+json", schema)
}

/// Description of an operation.
#[derive(Serialize)]
pub(crate) struct ApiOperation(Value);

impl ApiOperation {
    /// An operation that responds with 200 and this body.
    pub(crate) fn new(id: &str, summary: &str, success: Value) -> Self {
        Self::with_status(id, summary, "200", success)
    }

    /// An operation that responds with this status and body.
    pub(crate) fn with_status(id: &str, summary: &str, status: &str, success: Value) -> Self {
        let responses = json!({ status: success, "401": problem(), "403": problem() });
        Self(json!({ "operationId": id, "summary": summary, "responses": responses }))
    }

    /// Sets the parameters.
    pub(crate) fn parameters(mut self, parameters: Value) -> Self {
        self.0["parameters"] = parameters;
        self
    }

    /// Sets the request body: schemas by media type.
    pub(crate) fn body(mut self, schemas: &[(&str, &str)]) -> Self {
        let mut content = json!({});
        for (media_type, schema) in schemas {
            content[media_type] = json!({ "schema": schema_ref(schema) });
        }
        self.0["requestBody"] = json!({ "required": true, "content": content });
        self
    }

    /// Sets the response of these statuses.
    pub(crate) fn responses(mut self, statuses: &[&str], response: &Value) -> Self {
        for status in statuses {
            self.0["responses"][status] = response.clone();
        }
        self
    }
}
