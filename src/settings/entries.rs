//! Targets and databases, entry by entry.

use super::resolve::Resolver;
use super::source::{Problem, Source, Told};
use super::written::{WrittenDatabase, WrittenEndpoints, WrittenTarget};
use super::{
    DatabaseSettings, Endpoints, PodSource, ProviderName, TargetSettings, address, aws, kubernetes, reader, rules, srv,
    tls, urls,
};
use serde_json::{Value, json};
use url::Url;

impl Resolver<'_> {
    /// One target; `None` where its pods cannot be found as written.
    pub(super) fn target(&mut self, n: usize, written: WrittenTarget) -> Option<TargetSettings> {
        let WrittenTarget { path, source, name, addresses, kubernetes, srv, resolver, tls } = written;
        let name = self.name("target", &path, &source, name);
        let tls = tls.map(|t| tls::resolve(self, &format!("{path}.tls"), t));
        let ways = [
            ("addresses", addresses.as_ref().map(|told| &told.source)),
            ("kubernetes", kubernetes.as_ref().map(|told| &told.source)),
            ("srv", srv.as_ref().map(|told| &told.source)),
        ];
        let given: Vec<(&str, &Source)> = ways.into_iter().filter_map(|(key, source)| Some((key, source?))).collect();
        if let [(key, source), (other, _), ..] = given.as_slice() {
            let message = format!("`{path}.{key}` and `{path}.{other}` exclude each other");
            let hint = "a target's pods are found in one way; for more, add a [[target]]";
            let key = format!("{path}.{key}");
            self.problems.push(Problem::of_key("contradiction", key, Some(source), message, hint));
            return None;
        }
        if let (Some(told), None) = (&resolver, &srv) {
            srv::idle(self, &path, told);
        }
        let pods = match (addresses, kubernetes, srv) {
            (Some(addresses), _, _) => PodSource::Addresses(self.addresses(&path, addresses)?),
            (None, Some(written), _) => {
                PodSource::Kubernetes(kubernetes::resolve(self, &format!("{path}.kubernetes"), written)?)
            }
            (None, None, Some(written)) => PodSource::Srv(srv::resolve(self, &path, written, resolver)?),
            (None, None, None) => {
                let message = format!("target {} says nothing of its pods", name.as_deref().unwrap_or(&path));
                let hint = "write kubernetes = { namespace = \"...\", release = \"...\" }, or srv = \"_scalardb._tcp.NAME\", or addresses = [\"10.0.0.4:60051\"], one entry for each pod";
                let key = format!("{path}.addresses");
                self.problems.push(Problem::of_key("missing_key", key, Some(&source), message, hint));
                return None;
            }
        };
        Some(TargetSettings { name: name.unwrap_or_else(|| format!("target-{n}")), pods, tls })
    }

    fn addresses(&mut self, path: &str, addresses: Told<Vec<Told<String>>>) -> Option<Vec<String>> {
        let key = format!("{path}.addresses");
        self.show(&key, json!(addresses.value.iter().map(|a| &a.value).collect::<Vec<_>>()), &addresses.source);
        if addresses.value.is_empty() {
            let hint = "write one entry for each pod: addresses = [\"10.0.0.4:60051\"]";
            let message = format!("`{key}` is empty");
            self.problems.push(Problem::of_key("empty", key.clone(), Some(&addresses.source), message, hint));
        }
        let mut whole = !addresses.value.is_empty();
        for (m, told) in addresses.value.iter().enumerate() {
            let Err((why, hint)) = address::check(&told.value) else { continue };
            let key = format!("{key}[{m}]");
            let message = format!("`{key}` {:?}: {why}", told.value);
            self.problems.push(Problem::of_key("bad_address", key, Some(&told.source), message, hint));
            whole = false;
        }
        whole.then(|| addresses.value.into_iter().map(|a| a.value).collect())
    }

    /// One database; `None` where it could not be connected to as written.
    pub(super) fn database(&mut self, written: WrittenDatabase) -> Option<DatabaseSettings> {
        let WrittenDatabase {
            path,
            source,
            name,
            provider,
            region,
            endpoint,
            endpoints,
            prefix,
            metadata_namespace,
            coordinator_namespace,
            tables,
            table_prefix,
        } = written;
        let name = self.name("database", &path, &source, name);
        let provider = self.provider(&path, &source, provider)?;
        let namespaces = [
            ("prefix", &prefix),
            ("metadata_namespace", &metadata_namespace),
            ("coordinator_namespace", &coordinator_namespace),
        ];
        rules::one_way_to_tables(self, &path, &tables, &table_prefix, &namespaces);
        let called = name.clone().unwrap_or_else(|| path.clone());
        let region = self.region(&path, &called, &source, region);
        let (endpoint, endpoints) = self.endpoints(&path, endpoint, endpoints);
        let prefix = self.optional(&format!("{path}.prefix"), prefix);
        let text = |v: &String| json!(v);
        let metadata = format!("{path}.metadata_namespace");
        let metadata_namespace = self.settle(&metadata, metadata_namespace, "scalardb".to_owned(), text);
        let coordinator = format!("{path}.coordinator_namespace");
        let coordinator_namespace = self.settle(&coordinator, coordinator_namespace, "coordinator".to_owned(), text);
        let tables = self.tables(&path, tables);
        let table_prefix = self.optional(&format!("{path}.table_prefix"), table_prefix);
        Some(DatabaseSettings {
            name: name?,
            provider,
            region: region?,
            endpoint,
            endpoints,
            prefix,
            metadata_namespace,
            coordinator_namespace,
            tables,
            table_prefix,
        })
    }

    fn name(&mut self, kind: &str, path: &str, source: &Source, name: Option<Told<String>>) -> Option<String> {
        let key = format!("{path}.name");
        let Some(told) = name else {
            let message = format!("`{path}` has no name");
            let hint = format!("write name = \"...\" in this [[{kind}]]; points and messages call it so");
            self.problems.push(Problem::of_key("missing_key", key, Some(source), message, hint));
            return None;
        };
        self.show(&key, json!(told.value), &told.source);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if told.value.len() > 63 || !told.value.chars().all(plain) {
            let message = format!("`{key}`: {:?} is not a plain name", told.value);
            let hint = "use up to 63 letters, digits, `-`, `_` and `.`";
            self.problems.push(Problem::of_key("bad_name", key, Some(&told.source), message, hint));
            return None;
        }
        Some(told.value)
    }

    fn provider(&mut self, path: &str, source: &Source, told: Option<Told<String>>) -> Option<ProviderName> {
        let key = format!("{path}.provider");
        let Some(told) = told else {
            let message = format!("`{path}` has no provider");
            let hint = "write provider = \"dynamodb\"";
            self.problems.push(Problem::of_key("missing_key", key, Some(source), message, hint));
            return None;
        };
        self.show(&key, json!(told.value), &told.source);
        let (name, message, hint) = match told.value.as_str() {
            "dynamodb" => return Some(ProviderName::Dynamodb),
            "cosmos" => (
                "not_in_this_version",
                format!("`{key}`: \"cosmos\" is not in this version"),
                "this version serves \"dynamodb\"".to_owned(),
            ),
            other => {
                let near = reader::nearest(other, ["dynamodb"]).map(|n| format!("did you mean \"{n}\"? "));
                let hint = format!("{}allowed: \"dynamodb\"", near.unwrap_or_default());
                ("unknown_provider", format!("`{key}`: unknown provider {other:?}"), hint)
            }
        };
        self.problems.push(Problem::of_key(name, key, Some(&told.source), message, hint));
        None
    }

    fn region(&mut self, path: &str, called: &str, source: &Source, told: Option<Told<String>>) -> Option<String> {
        let key = format!("{path}.region");
        let Some(told) = told.or_else(|| aws::region(self.environment)) else {
            let message = format!("no region for database `{called}`");
            let hint = "write region = \"ap-northeast-1\" in this [[database]], or set AWS_REGION";
            self.problems.push(Problem::of_key("region_missing", key, Some(source), message, hint));
            return None;
        };
        self.show(&key, json!(told.value), &told.source);
        if told.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Some(told.value);
        }
        let message = format!("`{key}`: {:?} is not the name of a region", told.value);
        self.problems.push(Problem::of_key("bad_region", key, Some(&told.source), message, "write e.g. \"eu-west-1\""));
        None
    }

    fn endpoints(
        &mut self,
        path: &str,
        endpoint: Option<Told<String>>,
        endpoints: WrittenEndpoints,
    ) -> (Option<Url>, Endpoints) {
        let WrittenEndpoints { dynamodb, autoscaling, cloudwatch } = endpoints;
        // A written endpoint serves every API, so a variable for a single service must not divert one of them.
        let environment = self.environment;
        let written = endpoint.is_some();
        let service = |told: Option<Told<String>>, variable| {
            told.or_else(|| if written { None } else { aws::service_endpoint(environment, variable) })
        };
        let dynamodb = service(dynamodb, "AWS_ENDPOINT_URL_DYNAMODB");
        let autoscaling = service(autoscaling, "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING");
        let cloudwatch = service(cloudwatch, "AWS_ENDPOINT_URL_CLOUDWATCH");
        let endpoint = endpoint.or_else(|| aws::endpoint(environment));
        let endpoint = self.endpoint(&format!("{path}.endpoint"), endpoint);
        let endpoints = Endpoints {
            dynamodb: self.endpoint(&format!("{path}.endpoints.dynamodb"), dynamodb),
            autoscaling: self.endpoint(&format!("{path}.endpoints.autoscaling"), autoscaling),
            cloudwatch: self.endpoint(&format!("{path}.endpoints.cloudwatch"), cloudwatch),
        };
        (endpoint, endpoints)
    }

    fn endpoint(&mut self, key: &str, told: Option<Told<String>>) -> Option<Url> {
        let Some(told) = told else {
            self.show(key, Value::Null, &Source::Default);
            return None;
        };
        match urls::endpoint(&told.value) {
            Ok(url) => {
                self.show(key, json!(told.value), &told.source);
                Some(url)
            }
            Err((why, hint)) => {
                let message = format!("`{key}`: {why}");
                self.problems.push(Problem::of_key("bad_url", key, Some(&told.source), message, hint));
                None
            }
        }
    }

    fn tables(&mut self, path: &str, told: Option<Told<Vec<Told<String>>>>) -> Vec<String> {
        let key = format!("{path}.tables");
        let Some(told) = told else {
            self.show(&key, json!([]), &Source::Default);
            return Vec::new();
        };
        rules::table_names(self, &key, &told);
        let names: Vec<_> = told.value.into_iter().map(|t| t.value).collect();
        self.show(&key, json!(names), &told.source);
        names
    }
}
