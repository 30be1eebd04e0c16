//! Requests written out as commands of the AWS command line.

use super::plan::Request;
use crate::limits::Service;

/// The command that sends exactly this request.
pub(super) fn of(request: &Request, region: &str) -> String {
    let service = match request.operation.service {
        Service::DynamoDb => "dynamodb",
        Service::AutoScaling => "application-autoscaling",
        Service::CloudWatch => "cloudwatch",
    };
    let body = quoted(&request.body.to_string());
    format!("aws {service} {} --region {region} --cli-input-json {body}", kebab(request.operation.name))
}

/// `UpdateTimeToLive` as `update-time-to-live`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

/// One word for a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::UPDATE_TIME_TO_LIVE;
    use serde_json::json;

    #[test]
    fn a_command_is_one_line_that_a_shell_reads_as_it_is_meant() {
        let request = Request { operation: UPDATE_TIME_TO_LIVE, body: json!({ "TableName": "it's" }) };
        assert_eq!(
            of(&request, "eu-west-1"),
            r#"aws dynamodb update-time-to-live --region eu-west-1 --cli-input-json '{"TableName":"it'\''s"}'"#
        );
    }
}
