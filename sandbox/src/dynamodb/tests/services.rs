use super::*;

impl Bench {
    fn scaling(&self, operation: &str, body: Value) -> Result<Value, ServiceError> {
        self.db.call(&format!("AnyScaleFrontendService.{operation}"), body)
    }

    fn cloudwatch(&self, operation: &str, body: Value) -> Result<Value, ServiceError> {
        self.db.call(&format!("GraniteServiceVersion20100801.{operation}"), body)
    }

    fn alarms(&self) -> usize {
        let answer = self.cloudwatch("DescribeAlarms", json!({})).expect("alarms");
        answer["MetricAlarms"].as_array().map_or(0, Vec::len)
    }
}

const READ: &str = "dynamodb:table:ReadCapacityUnits";

fn target(table: &str, more: Value) -> Value {
    let mut body = more;
    body["ServiceNamespace"] = "dynamodb".into();
    body["ResourceId"] = format!("table/{table}").into();
    body["ScalableDimension"] = READ.into();
    body
}

fn policy(table: &str, name: &str) -> Value {
    let configuration = json!({
        "TargetValue": 70.0,
        "PredefinedMetricSpecification": { "PredefinedMetricType": "DynamoDBReadCapacityUtilization" },
    });
    target(
        table,
        json!({
            "PolicyName": name, "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": configuration,
        }),
    )
}

fn range(min: i64, max: i64) -> Value {
    json!({ "MinCapacity": min, "MaxCapacity": max })
}

#[test]
fn a_target_is_registered_changed_tagged_and_deregistered_with_all_it_has() {
    let bench = Bench::quick();
    assert_eq!(
        bench.scaling("RegisterScalableTarget", target("src", range(1, 10))).unwrap_err().code,
        "ValidationException"
    );
    bench.table("src");
    assert_eq!(bench.scaling("PutScalingPolicy", policy("src", "p")).unwrap_err().code, "ObjectNotFoundException");
    let mut register = target("src", range(1, 10));
    register["Tags"] = json!({ "team": "x" });
    let arn = bench.scaling("RegisterScalableTarget", register).expect("registered")["ScalableTargetARN"].clone();
    let suspend = json!({ "MaxCapacity": 20, "SuspendedState": { "ScheduledScalingSuspended": true } });
    let again = bench.scaling("RegisterScalableTarget", target("src", suspend)).expect("changed");
    assert_eq!(again["ScalableTargetARN"], arn);
    let all = json!({ "ServiceNamespace": "dynamodb" });
    let found = bench.scaling("DescribeScalableTargets", all.clone()).expect("listed")["ScalableTargets"][0].clone();
    assert_eq!((found["MinCapacity"].as_i64(), found["MaxCapacity"].as_i64()), (Some(1), Some(20)));
    assert_eq!(found["SuspendedState"]["ScheduledScalingSuspended"], true);
    assert_eq!(found["SuspendedState"]["DynamicScalingInSuspended"], false);
    let tags = bench.scaling("ListTagsForResource", json!({ "ResourceARN": arn })).expect("tags");
    assert_eq!(tags["Tags"], json!({ "team": "x" }));

    let put = bench.scaling("PutScalingPolicy", policy("src", "p")).expect("a policy");
    assert_eq!((put["Alarms"].as_array().map(Vec::len), bench.alarms()), (Some(4), 4));
    let again = bench.scaling("PutScalingPolicy", policy("src", "p")).expect("an update");
    assert_eq!((&again["PolicyARN"], bench.alarms()), (&put["PolicyARN"], 4));
    let action = target("src", json!({ "ScheduledActionName": "night", "Schedule": "rate(1 day)" }));
    bench.scaling("PutScheduledAction", action).expect("an action");
    let actions = bench.scaling("DescribeScheduledActions", all.clone()).expect("listed");
    assert_eq!(actions["ScheduledActions"][0]["ScheduledActionName"], "night");

    bench.scaling("DeregisterScalableTarget", target("src", json!({}))).expect("known");
    assert_eq!(bench.alarms(), 0);
    for (operation, member) in [
        ("DescribeScalableTargets", "ScalableTargets"),
        ("DescribeScalingPolicies", "ScalingPolicies"),
        ("DescribeScheduledActions", "ScheduledActions"),
    ] {
        assert_eq!(bench.scaling(operation, all.clone()).expect("listed")[member], json!([]), "{operation}");
    }
    let gone = bench.scaling("DeregisterScalableTarget", target("src", json!({}))).unwrap_err();
    assert_eq!(gone.code, "ObjectNotFoundException");
}

#[test]
fn scaling_outlives_its_table() {
    let bench = Bench::quick();
    bench.table("src");
    bench.scaling("RegisterScalableTarget", target("src", range(1, 10))).expect("registered");
    bench.scaling("PutScalingPolicy", policy("src", "p")).expect("a policy");
    bench.ok("DeleteTable", json!({ "TableName": "src" }));
    let left = bench.scaling("DescribeScalingPolicies", json!({ "ServiceNamespace": "dynamodb" })).expect("listed");
    assert_eq!((left["ScalingPolicies"].as_array().map(Vec::len), bench.alarms()), (Some(1), 4));
}

#[test]
fn targets_come_50_and_policies_10_at_a_time() {
    let bench = Bench::quick();
    for n in 0..60 {
        let name = format!("t{n:02}");
        bench.table(&name);
        bench.scaling("RegisterScalableTarget", target(&name, range(1, 10))).expect("registered");
        bench.scaling("PutScalingPolicy", policy(&name, "p")).expect("a policy");
    }
    for (operation, member, sizes) in [
        ("DescribeScalableTargets", "ScalableTargets", vec![50, 10]),
        ("DescribeScalingPolicies", "ScalingPolicies", vec![10; 6]),
    ] {
        let mut body = json!({ "ServiceNamespace": "dynamodb" });
        let mut seen = Vec::new();
        loop {
            let page = bench.scaling(operation, body.clone()).expect("a page");
            seen.push(page[member].as_array().map_or(0, Vec::len));
            match page.get("NextToken") {
                Some(next) => body["NextToken"] = next.clone(),
                None => break,
            }
        }
        assert_eq!(seen, sizes, "{operation}");
    }
    let one = json!({ "ServiceNamespace": "dynamodb", "ResourceIds": ["table/t07"] });
    let found = bench.scaling("DescribeScalableTargets", one).expect("a page");
    assert_eq!(found["ScalableTargets"].as_array().map(Vec::len), Some(1));
}

#[test]
fn alarms_are_put_found_and_deleted() {
    let bench = Bench::quick();
    for name in ["mine-1", "mine-2", "other"] {
        let alarm = json!({
            "AlarmName": name, "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1,
            "Threshold": 5.5, "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:topic"],
        });
        bench.cloudwatch("PutMetricAlarm", alarm).expect("put");
    }
    let found = bench.cloudwatch("DescribeAlarms", json!({ "AlarmNamePrefix": "mine" })).expect("listed");
    assert_eq!(found["MetricAlarms"].as_array().map(Vec::len), Some(2));
    assert_eq!(found["MetricAlarms"][0]["StateValue"], "INSUFFICIENT_DATA");
    let page = bench.cloudwatch("DescribeAlarms", json!({ "MaxRecords": 2 })).expect("listed");
    let rest = bench.cloudwatch("DescribeAlarms", json!({ "NextToken": page["NextToken"] })).expect("listed");
    assert_eq!(rest["MetricAlarms"].as_array().map(Vec::len), Some(1));
    let some_missing = json!({ "AlarmNames": ["mine-1", "gone"] });
    assert_eq!(bench.cloudwatch("DeleteAlarms", some_missing).unwrap_err().status, 404);
    bench.cloudwatch("DeleteAlarms", json!({ "AlarmNames": ["mine-1", "mine-2"] })).expect("deleted");
    assert_eq!(bench.alarms(), 1);
}
