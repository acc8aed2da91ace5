//! `/openapi.json`: the API in the words of OpenAPI 3.1. Written by hand; the tests below compare it with the routers.

use super::Shared;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

const DOCUMENT: &str = include_str!("openapi.json");

/// There for everybody: it says nothing of this server but what every one of its kind has.
pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/openapi.json", get(openapi))
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Api, ask, bearer};
    use super::*;
    use crate::auth::Scope;
    use serde_json::{Map, Value};
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).expect("JSON")
    }

    /// Each path with its methods, as the document has them.
    fn documented(document: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
        let paths = document["paths"].as_object().expect("paths");
        let methods = |item: &'_ Value| {
            let has = |method: &&&str| item.get(**method).is_some();
            METHODS.iter().filter(has).copied().collect()
        };
        paths.iter().map(|(path, item)| (path.as_str(), methods(item))).collect()
    }

    /// Each path with its methods, as the sources mount them.
    fn mounted() -> BTreeMap<String, BTreeSet<&'static str>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/api");
        let mut routes = BTreeMap::<String, BTreeSet<_>>::new();
        for file in std::fs::read_dir(folder).expect("our own sources") {
            let path = file.expect("an entry").path();
            let is_source = path.extension().is_some_and(|end| end == "rs") && !path.ends_with("openapi.rs");
            let text = if is_source { std::fs::read_to_string(path).expect("text") } else { String::new() };
            for mount in text.split(".route(").skip(1) {
                let (_, rest) = mount.split_once('"').expect("a path");
                let (path, rest) = rest.split_once('"').expect("its end");
                let mut depth = 1;
                let end = rest.find(|c| {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    depth == 0
                });
                let handlers = &rest[..end.expect("balanced")];
                let has = |method: &&&str| handlers.contains(&format!("{method}("));
                let methods = METHODS.iter().filter(has).copied();
                routes.entry(path.to_owned()).or_default().extend(methods);
            }
        }
        routes.insert("/openapi.json".into(), ["get"].into());
        routes
    }

    #[test]
    fn every_route_is_in_the_document_and_everything_in_it_is_a_route() {
        let (document, mounted) = (document(), mounted());
        let documented: BTreeMap<_, _> =
            documented(&document).into_iter().map(|(path, methods)| (path.to_owned(), methods)).collect();
        assert!(mounted.len() > 8, "{mounted:?}");
        assert_eq!(documented, mounted);
    }

    #[tokio::test]
    async fn each_door_has_the_routes_that_the_document_says_it_has() {
        let (api, document) = (Api::start(), document());
        let key = bearer(&api.key(&[Scope::Admin]));
        for (path, methods) in documented(&document) {
            for (door, address) in [("public", api.public), ("admin", api.admin), ("socket", api.socket)] {
                let is_here = |method: &&str| {
                    let doors = document["paths"][path][*method]["x-doors"].as_array().expect("doors");
                    doors.iter().any(|one| *one == *door)
                };
                let expected: BTreeSet<_> = methods.iter().copied().filter(is_here).collect();
                // No route takes this method, so that each says which it takes.
                let concrete = path.replace(['{', '}'], "");
                let answer = ask(address, "BREW", &concrete, &[&key], "").await;
                let allowed = answer.head.lines().find_map(|line| line.strip_prefix("allow: "));
                let allowed = allowed.unwrap_or_default().split(',').map(str::trim);
                let allowed: BTreeSet<_> =
                    allowed.filter(|method| !method.is_empty() && *method != "head").collect();
                assert_eq!(allowed, expected, "{path} at {door}: {}", answer.status);
            }
        }
    }

    #[tokio::test]
    async fn it_is_there_without_a_key() {
        let api = Api::start();
        for door in [api.public, api.admin] {
            let answer = ask(door, "GET", "/openapi.json", &[], "").await;
            assert_eq!((answer.status, answer.json()), (200, document()));
        }
    }

    #[test]
    fn every_request_has_a_schema_whose_fields_have_ranges() {
        let document = document();
        let mut bodies = 0;
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                for content in
                    operation["requestBody"]["content"].as_object().into_iter().flat_map(Map::values)
                {
                    bodies += 1;
                    has_ranges(&document, &content["schema"], &format!("{method} {path}"));
                }
            }
        }
        assert!(bodies > 5, "{bodies}");
    }

    fn has_ranges(document: &Value, schema: &Value, at: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let target = document.pointer(&name[1..]).unwrap_or_else(|| panic!("{at}: no {name}"));
            return has_ranges(document, target, at);
        }
        for one in schema["oneOf"].as_array().into_iter().flatten() {
            has_ranges(document, one, at);
        }
        let says = |key: &str| schema.get(key).is_some();
        let fine = match schema["type"].as_str() {
            Some("object") => schema["additionalProperties"] == false,
            Some("integer") => says("minimum") && says("maximum"),
            Some("string") => says("maxLength"),
            Some("array") => says("maxItems") && says("items"),
            Some("boolean") => true,
            _ => says("enum") || says("const") || says("oneOf") || says("x-any-json"),
        };
        assert!(fine, "{at}: {schema}");
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            has_ranges(document, property, &format!("{at} {name}"));
        }
    }
}
