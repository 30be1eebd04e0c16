//! Serves the sandbox's DynamoDB on a port: `cargo run -p stillpoint-sandbox --example dynamodb -- 127.0.0.1:8000 60`.
//! The second argument is the time scale. Any access key will do.

use std::{env, error::Error};

use stillpoint_sandbox::{
    clock::Clock,
    dynamodb::{Config, DynamoDb},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let time_scale = arguments.next().map_or(Ok(60.0), |scale| scale.parse())?;
    let db = DynamoDb::new(Config { time_scale, ..Config::default() }, Clock::real());
    let listener = TcpListener::bind(&address).await?;
    println!("serving on http://{}", listener.local_addr()?);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    db.serve(listener, shutdown).await;
    Ok(())
}
